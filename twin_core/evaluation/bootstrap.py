"""Means of paired differences with intervals that know that prompts of one document are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from twin_core.errors import InvalidInput
from twin_core.records import Difference

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

RESAMPLES = 10_000
_AT_ONCE = 1_000
"""Resamples in memory at once: a million documents would still fit."""


def difference(
    values: ArrayLike, documents: Sequence[str], *, weights: ArrayLike | None = None, seed: int = 0
) -> Difference:
    """The mean of per-prompt differences, and its 95 % interval by drawing documents, with all their prompts, 10,000 times.

    With `weights` the mean is sum(values) / sum(weights): bits over bytes. A value that is not a number stands for a
    prompt on which nothing can be measured, and is left out. Percentile bootstrap; the same seed gives the same
    interval. Raises InvalidInput when nothing is left.
    """
    measured = np.asarray(values, dtype=float)
    weight = np.ones_like(measured) if weights is None else np.asarray(weights, dtype=float)
    present = np.isfinite(measured)
    if not present.any():
        raise InvalidInput("Nothing was measured on any prompt: there is no difference to speak of.")
    _, cluster = np.unique(np.asarray(documents)[present], return_inverse=True)
    sums = np.bincount(cluster, measured[present]).astype(float)
    sizes = np.bincount(cluster, weight[present]).astype(float)
    low, high = np.quantile(_means(sums, sizes, seed), [0.025, 0.975])
    return Difference(float(sums.sum() / sizes.sum()), float(low), float(high))


def _means(sums: NDArray[np.float64], sizes: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    count = len(sums)
    found = []
    for _ in range(0, RESAMPLES, _AT_ONCE):
        drawn = random.multinomial(count, np.full(count, 1 / count), size=_AT_ONCE)
        found.append((drawn @ sums) / (drawn @ sizes))
    return np.concatenate(found)
