"""Burrows' delta: the classic of authorship attribution, on function words alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin_core.evaluation.population import matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin_core.evaluation.habits import Habits

COMMONEST = 150
"""Function words that count: the author's commonest. Rarer ones are noise in a text of a few hundred words."""
HALF_A_USE = 0.5
"""Added to the spread of every word, in uses per text: a word that never varied in the sample is not a fingerprint."""


@dataclass(frozen=True, slots=True)
class Frequencies:
    """Uses per word of the author's commonest function words: mean and spread over texts of like length."""

    words: tuple[str, ...]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]


def frequencies(texts: Sequence[Habits]) -> Frequencies:
    """The author's frequencies, from texts of like length."""
    seen = sorted({word for text in texts for word in text.words})
    lengths = np.array([text.length for text in texts], dtype=float)
    found = matrix(texts, "words", seen) / lengths[:, None]
    top = np.argsort(-found.mean(axis=0), kind="stable")[:COMMONEST]
    spread = np.hypot(found[:, top].std(axis=0), HALF_A_USE / lengths.mean())
    return Frequencies(tuple(seen[index] for index in top), found[:, top].mean(axis=0), spread)


def deltas(texts: Sequence[Habits], author: Frequencies) -> NDArray[np.float64]:
    """Mean absolute z-score over the author's commonest function words, one per text (Burrows 2002). Lower is closer.

    z is against the author's own texts, since no other author's are known; in a text shorter than those that the spread
    was measured on it is larger by chance alone, so compare like lengths.
    """
    lengths = np.array([text.length for text in texts], dtype=float)
    scores = (matrix(texts, "words", author.words) / lengths[:, None] - author.mean) / author.spread
    found: NDArray[np.float64] = np.abs(scores).mean(axis=1)
    return found
