"""Drift is found where there is some, and not where there is none, at the rate that its threshold promises."""

from __future__ import annotations

import numpy as np

from twin_core.monitoring.drift import FEWEST, UNSTABLE, drift, mmd_p, psi


def texts(seed: int, count: int = 60, *, towards: float = 0.0, size: int = 16) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, size))
    rows[:, 0] += towards
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def lengths(seed: int, median: float = 300.0, count: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(np.log(median), 0.5, count)


def test_the_same_writing_is_hardly_ever_called_drift() -> None:
    found = [
        mmd_p(texts(seed), texts(seed + 1000), draw=np.random.default_rng(0), permutations=99) for seed in range(60)
    ]
    assert sum(p <= 0.05 for p in found) <= 8, "about one in twenty by chance"
    assert 0.35 < float(np.mean(found)) < 0.65


def test_another_subject_is_drift_and_the_same_is_not() -> None:
    same = drift(texts(1), texts(2), learnt_lengths=lengths(1), new_lengths=lengths(2))
    other = drift(texts(1), texts(2, towards=2.0), learnt_lengths=lengths(1), new_lengths=lengths(2))
    assert same is not None
    assert other is not None
    assert not same.moved, str(same)
    assert other.moved
    assert other.p < 0.01
    assert other.shift > 1.5 * other.shift_by_chance


def test_a_spread_that_changes_without_the_centre_is_no_drift() -> None:
    wide = texts(2)
    narrow = np.vstack([wide[:30] * 0.2, wide[:30] * -0.2])
    found = drift(texts(1), narrow, learnt_lengths=lengths(1), new_lengths=lengths(2))
    assert found is not None
    assert found.p < 0.01
    assert not found.moved


def test_texts_that_become_short_are_drift_by_length_alone() -> None:
    found = drift(texts(1), texts(2), learnt_lengths=lengths(1), new_lengths=lengths(2, median=60))
    assert found is not None
    assert found.length_psi > found.length_by_chance > UNSTABLE
    assert found.moved


def test_psi_is_nought_for_equal_shares_and_has_no_infinity() -> None:
    values = np.arange(100.0)
    assert psi(values, values) == 0
    assert np.isfinite(psi(values, np.full(30, 1000.0)))
    assert np.isfinite(psi(np.zeros(30), np.ones(30)))


def test_a_handful_of_texts_says_nothing() -> None:
    few = texts(1, FEWEST - 1)
    assert drift(texts(2), few, learnt_lengths=lengths(1), new_lengths=lengths(2)) is None
