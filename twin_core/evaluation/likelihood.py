"""How much likelier a text's habits are from the author than from somebody else: the forensic likelihood ratio.

Each habit is a count that follows a gamma-Poisson (negative binomial) law: its rate varies from text to text of one
author and, more widely, from author to author. Counts, and not z-scores of frequencies, because in a hundred words most
habits occur no more than once. A habit in which authors hardly differ, or which the author keeps loosely, weighs little
by itself; nothing is tuned. The two-level model is that of forensic text comparison (Aitken and Lucy 2004; Ishihara 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin_core.evaluation.population import Kind, Population, matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin_core.evaluation.habits import Habits

TYPICAL_VARIATION = 0.3
"""Between an author's own texts, squared coefficient of variation of a habit of which too little was seen."""
PRIOR_TEXTS = 20
"""The variation measured in the author's texts is drawn towards it as if so many texts had shown it."""
SMALLEST = 0.01
"""No habit is kept more evenly than this; a smaller figure is chance."""
NEVER = 0.02
"""Of what others do: a habit never seen in the author may still come once."""


@dataclass(frozen=True, slots=True)
class Rates:
    """The author's rates of one kind of habit, and the population's, both with their squared coefficients of variation."""

    kind: Kind
    population: Population
    mean: NDArray[np.float64]
    variation: NDArray[np.float64]
    """Of a text of the author about `mean`, the uncertainty of `mean` included."""
    variation_of_others: NDArray[np.float64]


def rates(texts: Sequence[Habits], kind: Kind, population: Population) -> Rates:
    """The author's rates from texts of like length. The population is the prior, so a few texts suffice."""
    counts = matrix(texts, kind, population.habits)
    lengths = np.array([text.length for text in texts], dtype=float)
    expected = np.outer(lengths, (counts.sum(axis=0) + 0.5) / (lengths.sum() + 0.5 / population.mean))
    # Moments of var = m + variation * m^2, with the typical variation as so many texts more.
    prior = PRIOR_TEXTS * expected.mean(axis=0) ** 2
    excess = np.maximum(((counts - expected) ** 2 - expected).sum(axis=0), 0)
    variation = (excess + TYPICAL_VARIATION * prior) / ((expected**2).sum(axis=0) + prior)
    variation = np.maximum(variation, SMALLEST)
    uncertainty = 1 / (lengths.sum() * population.mean) + variation / len(texts)
    trust = population.spread / (population.spread + uncertainty)
    mean = trust * counts.sum(axis=0) / lengths.sum() + (1 - trust) * population.mean
    return Rates(
        kind,
        population,
        np.maximum(mean, NEVER * population.mean),
        variation + trust * uncertainty,
        variation + population.spread,
    )


def log_ratios(texts: Sequence[Habits], of: Rates) -> NDArray[np.float64]:
    """One per text, in nats per word: above 0 speaks for the author, below 0 for somebody else.

    Habits are added up as if they were independent, which they are not: a ranking, not odds. `style.py` calibrates it.
    """
    counts = matrix(texts, of.kind, of.population.habits)
    lengths = np.array([text.length for text in texts], dtype=float)[:, None]
    author = _log_probability(counts, lengths * of.mean, of.variation)
    anybody = _log_probability(counts, lengths * of.population.mean, of.variation_of_others)
    ratios: NDArray[np.float64] = (author - anybody).sum(axis=1) / lengths[:, 0]
    return ratios


def _log_probability(
    counts: NDArray[np.float64], mean: NDArray[np.float64], variation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of the counts under a negative binomial law, less the term that does not depend on the parameters."""
    from scipy.special import gammaln

    shape = 1 / variation
    found: NDArray[np.float64] = (
        gammaln(counts + shape)
        - gammaln(shape)
        + shape * np.log(shape / (shape + mean))
        + counts * np.log(mean / (shape + mean))
    )
    return found
