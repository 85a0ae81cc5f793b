"""Has the author's writing moved away from what the twin learnt? Two tests on embeddings, one on plain numbers.

Maximum mean discrepancy with a permutation test finds any difference of two samples, also one too small to matter; so it
counts only together with a shift of the centroid beyond what chance gives (Gretton et al. 2012). The population
stability index is the usual measure for lengths and topics, with its usual threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGNIFICANT = 0.01
"""Of the permutation test: it is asked for every new dataset, so one in twenty would be too often."""
NULL_QUANTILE = 0.99
UNSTABLE = 0.2
"""PSI above which a distribution has changed; 0.1 to 0.2 is the grey zone of the trade's rule of thumb."""
FEWEST = 20
"""Texts on either side; with fewer nothing is tested."""
PERMUTATIONS = 499
BINS = 5
CHI_SQUARED = 13.277
"""0.99 quantile with four degrees of freedom: PSI over five bins, divided by 1/n + 1/m, follows it (Yurdakul 2018)."""
_SMALLEST_SHARE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What the tests found."""

    p: float
    shift: float
    """Distance of the centroids."""
    shift_by_chance: float
    """The 99 % quantile of that distance between two samples of what was learnt."""
    length_psi: float
    length_by_chance: float
    """PSI that two samples of this size of one distribution exceed once in a hundred times."""

    @property
    def moved(self) -> bool:
        """Whether the writing has moved on."""
        longer_or_shorter = self.length_psi > max(UNSTABLE, self.length_by_chance)
        return longer_or_shorter or (self.p < SIGNIFICANT and self.shift > self.shift_by_chance)

    def __str__(self) -> str:
        return (
            f"MMD p {self.p:.3f}, centroid shift {self.shift:.3f} (by chance up to {self.shift_by_chance:.3f}), "
            f"PSI of length {self.length_psi:.2f} (by chance up to {self.length_by_chance:.2f})"
        )


def drift(
    learnt: NDArray[np.float64],
    new: NDArray[np.float64],
    *,
    learnt_lengths: NDArray[np.float64],
    new_lengths: NDArray[np.float64],
    seed: int = 0,
) -> Drift | None:
    """Compare embeddings (one row per text) and lengths in words. None with fewer than 20 texts on a side."""
    if min(len(learnt), len(new)) < FEWEST:
        return None
    draw = np.random.default_rng(seed)
    return Drift(
        p=mmd_p(learnt, new, draw=draw),
        shift=_distance(learnt, new),
        shift_by_chance=shift_by_chance(learnt, len(new), draw=draw),
        length_psi=psi(learnt_lengths, new_lengths),
        length_by_chance=CHI_SQUARED * (1 / len(learnt_lengths) + 1 / len(new_lengths)),
    )


def mmd_p(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    *,
    draw: np.random.Generator,
    permutations: int = PERMUTATIONS,
) -> float:
    """The share of random splits of both samples together whose discrepancy is at least theirs.

    Gaussian kernel, its width the median distance; the biased estimate of the discrepancy, which serves as well for ranking.
    """
    both = np.vstack([first, second])
    squares = np.maximum(_squared_distances(both), 0)
    kernel = np.exp(-squares / max(float(np.median(squares[np.triu_indices(len(both), 1)])), 1e-12))
    signs = np.full(len(both), -1 / len(second))
    signs[: len(first)] = 1 / len(first)
    orders = np.stack([signs, *(draw.permutation(signs) for _ in range(permutations))])
    found = np.einsum("pi,ij,pj->p", orders, kernel, orders, optimize=True)
    return float((1 + (found[1:] >= found[0] - 1e-12).sum()) / (1 + permutations))


def shift_by_chance(
    learnt: NDArray[np.float64], size: int, *, draw: np.random.Generator, samples: int = PERMUTATIONS
) -> float:
    """How far the centroid of `size` texts lies from that of all that was learnt when they are drawn from it."""
    distances = [
        _distance(learnt[draw.integers(0, len(learnt), len(learnt))], learnt[draw.integers(0, len(learnt), size)])
        for _ in range(samples)
    ]
    return float(np.quantile(distances, NULL_QUANTILE))


def psi(learnt: NDArray[np.float64], new: NDArray[np.float64], bins: int = BINS) -> float:
    """Population stability index over bins that hold equal shares of what was learnt. 0: the same shares."""
    edges = np.unique(np.quantile(learnt, np.linspace(0, 1, bins + 1)[1:-1]))
    shares = []
    for values in (learnt, new):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        shares.append(np.maximum(counts / len(values), _SMALLEST_SHARE))
    before, now = shares
    return float(((now - before) * np.log(now / before)).sum())


def _distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(first.mean(axis=0) - second.mean(axis=0)))


def _squared_distances(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = (rows**2).sum(axis=1)
    found: NDArray[np.float64] = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
    return found
