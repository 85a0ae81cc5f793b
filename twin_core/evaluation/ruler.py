"""How well scores tell texts apart: the area under the ROC curve, with an interval by documents.

Measures a measure. What is measured with it is in `benchmarks/ruler.py` and its figures in docs/evaluate.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from twin_core.evaluation.pieces import Piece

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2_000


def area(own: ArrayLike, others: ArrayLike) -> float:
    """The chance that a text of the author scores above one of somebody else; ties count half. 0.5 is chance."""
    mine, theirs = np.asarray(own, dtype=float), np.asarray(others, dtype=float)
    return float(_weighted(mine, np.ones((1, len(mine))), theirs, np.ones((1, len(theirs))))[0])


def area_interval(
    own: ArrayLike, own_pieces: Sequence[Piece], others: ArrayLike, other_pieces: Sequence[Piece], *, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of `area` when documents, not texts, are drawn anew (2,000 resamples).

    Texts cut from one document are alike, so drawing texts would give an interval that is too narrow. A text that was
    joined from several documents counts with the mean of their draws.
    """
    random = np.random.default_rng(seed)
    found = _weighted(
        np.asarray(own, dtype=float),
        _draws(own_pieces, random),
        np.asarray(others, dtype=float),
        _draws(other_pieces, random),
    )
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _draws(cut: Sequence[Piece], random: np.random.Generator) -> NDArray[np.float64]:
    """How often each text was drawn, shape (RESAMPLES, texts)."""
    documents = sorted({index for piece in cut for index in piece.documents})
    column = {index: at for at, index in enumerate(documents)}
    membership = np.zeros((len(documents), len(cut)))
    for at, piece in enumerate(cut):
        for index in piece.documents:
            membership[column[index], at] = 1 / len(piece.documents)
    drawn = random.multinomial(len(documents), np.full(len(documents), 1 / len(documents)), size=RESAMPLES)
    weights: NDArray[np.float64] = drawn @ membership
    return weights


def _weighted(
    own: NDArray[np.float64],
    own_weights: NDArray[np.float64],
    others: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """One area per row of weights."""
    order = np.argsort(others, kind="stable")
    below = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights[:, order], axis=1)], axis=1)
    left = np.searchsorted(others[order], own, side="left")
    right = np.searchsorted(others[order], own, side="right")
    wins = (below[:, left] + below[:, right]) / 2
    found: NDArray[np.float64] = (wins * own_weights).sum(axis=1) / (own_weights.sum(axis=1) * weights.sum(axis=1))
    return found
