"""How people in general use function words, marks and phrases: means and how far authors lie apart.

Against whom an author's habits stand out. Without it a measure can only say "this is unusual for the author", not "this
is usual for anybody"; with it, a habit counts by how far authors differ in it. The table `population.tsv` holds numbers alone
(no sentence, no word of any subject) over 45 people's and teams' English blogs about software; how it is made is in
`benchmarks/population.py`, what it does and does not stand for in docs/evaluate.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin_core.evaluation.habits import Habits

Kind = Literal["words", "marks", "phrases"]
KINDS: tuple[Kind, ...] = ("words", "marks", "phrases")
TABLE = Path(__file__).with_name("population.tsv")

UNKNOWN_SPREAD = 0.3
"""Between authors, squared coefficient of variation of a habit of which nothing is known; about the median of the table."""
PRIOR_AUTHORS = 5
"""The spread of a habit is drawn towards UNKNOWN_SPREAD as if so many authors had shown it."""
RAREST = 5e-5
"""Habits rarer than this per word (once in 20,000) say nothing about a text of a few hundred words."""


@dataclass(frozen=True, slots=True)
class Population:
    """Habits of one kind: `mean` in uses per word, `spread` between authors as squared coefficient of variation."""

    habits: tuple[str, ...]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]


@lru_cache(maxsize=1)
def english() -> dict[Kind, Population]:
    """The table that comes with the product."""
    rows = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {
        kind: Population(
            tuple(habit for of, habit, _, _ in rows if of == kind),
            np.array([float(mean) / 1000 for of, _, mean, _ in rows if of == kind]),
            np.array([float(spread) for of, _, _, spread in rows if of == kind]),
        )
        for kind in KINDS
    }


def measured(authors: Sequence[Habits]) -> dict[Kind, Population]:
    """The population of these authors, each counted as one text, each weighing the same whatever they wrote.

    The spread is the variance between authors beyond what counting alone gives (Poisson), by moments.
    """
    lengths = np.array([author.length for author in authors], dtype=float)
    found: dict[Kind, Population] = {}
    for kind in KINDS:
        total: Counter[str] = Counter()
        for author in authors:
            total.update(getattr(author, kind))
        habits = tuple(habit for habit, count in total.most_common() if count > RAREST * lengths.sum())
        counts = matrix(authors, kind, habits)
        rates = counts / lengths[:, None]
        mean = rates.mean(axis=0)
        noise = (mean / lengths[:, None]).mean(axis=0)
        between = (
            np.maximum(rates.var(axis=0, ddof=1) - noise, 0) / mean**2 if len(authors) > 1 else np.zeros_like(mean)
        )
        spread = (between * len(authors) + UNKNOWN_SPREAD * PRIOR_AUTHORS) / (len(authors) + PRIOR_AUTHORS)
        found[kind] = Population(habits, mean, spread)
    return found


def matrix(texts: Sequence[Habits], kind: Kind, habits: Sequence[str]) -> NDArray[np.float64]:
    """Counts, one row per text and one column per habit."""
    column = {habit: index for index, habit in enumerate(habits)}
    counts = np.zeros((len(texts), len(habits)))
    for row, text in enumerate(texts):
        for habit, count in getattr(text, kind).items():
            index = column.get(habit)
            if index is not None:
                counts[row, index] = count
    return counts
