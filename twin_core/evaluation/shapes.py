"""Jensen-Shannon distances between a text and its author: marks, sentence lengths, casing.

The distance (square root of the divergence, base 2) lies between 0 and 1. Rates of marks per word, which also see how
often a mark comes at all, are in `likelihood.py`; these see the shape only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin_core.evaluation.habits import Habits

COMMONEST_MARKS = 25
SENTENCE_LENGTHS = (0, 4, 7, 10, 13, 16, 19, 23, 28, 35, 10_000)
"""Edges, in words: about a tenth of the sentences of English prose in each."""
PRIOR = 0.3
"""Added to every class, so that a text of a few sentences is not far away only because most classes are empty."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """The author's distributions, each adding up to 1."""

    marks: tuple[str, ...]
    mark_shares: NDArray[np.float64]
    sentence_shares: NDArray[np.float64]
    case_shares: NDArray[np.float64]


def shapes(author: Habits) -> Shapes:
    """The author's distributions, from everything they wrote counted as one text."""
    marks = tuple(mark for mark, _ in author.marks.most_common(COMMONEST_MARKS))
    return Shapes(marks, _marks(author.marks, marks), _sentences(author), _shares(np.array(author.casing, dtype=float)))


def distances(texts: Sequence[Habits], author: Shapes) -> dict[str, NDArray[np.float64]]:
    """`punctuation`, `sentence_length` and `casing`: one distance per text, 0 (the same) to 1 (nothing in common)."""
    from scipy.spatial.distance import jensenshannon

    def to(reference: NDArray[np.float64], own: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.array([jensenshannon(one, reference, base=2) for one in own])

    return {
        "punctuation": to(author.mark_shares, [_marks(text.marks, author.marks) for text in texts]),
        "sentence_length": to(author.sentence_shares, [_sentences(text) for text in texts]),
        "casing": to(author.case_shares, [_shares(np.array(text.casing, dtype=float)) for text in texts]),
    }


def _marks(counts: Counter[str], known: Sequence[str]) -> NDArray[np.float64]:
    own = [counts[mark] for mark in known]
    return _shares(np.array([*own, counts.total() - sum(own)], dtype=float))


def _sentences(text: Habits) -> NDArray[np.float64]:
    return _shares(np.histogram(text.sentences, bins=SENTENCE_LENGTHS)[0].astype(float))


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    smoothed = counts + PRIOR
    shares: NDArray[np.float64] = smoothed / smoothed.sum()
    return shares
