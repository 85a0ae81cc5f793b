from __future__ import annotations

import numpy as np
import pytest

from twin_core.errors import InvalidInput
from twin_core.evaluation.bootstrap import difference


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(1)
    covered = 0
    for _ in range(60):
        of_document = draw.normal(0.5, 1, 40)
        values = np.repeat(of_document, 3) + draw.normal(0, 0.2, 120)
        found = difference(values, [f"d{index // 3}" for index in range(120)])
        covered += found.low <= 0.5 <= found.high
    assert 51 <= covered <= 60


def test_prompts_of_one_document_are_not_independent_evidence() -> None:
    draw = np.random.default_rng(2)
    values = np.repeat(draw.normal(0, 1, 20), 10)
    clustered = difference(values, [f"d{index // 10}" for index in range(200)])
    naive = difference(values, [f"p{index}" for index in range(200)])
    assert clustered.high - clustered.low > 2 * (naive.high - naive.low)
    assert clustered.mean == pytest.approx(naive.mean)


def test_weights_make_it_a_ratio_of_sums() -> None:
    found = difference([10.0, 90.0], ["a", "b"], weights=[10.0, 30.0])
    assert found.mean == pytest.approx(2.5)
    assert (found.low, found.high) == (1.0, 3.0)


def test_what_could_not_be_measured_is_left_out_and_nothing_at_all_is_refused() -> None:
    assert difference([1.0, float("nan")], ["a", "b"]).mean == 1.0
    with pytest.raises(InvalidInput, match="Nothing was measured"):
        difference([float("nan")], ["a"])


def test_the_same_figures_give_the_same_interval() -> None:
    values = np.random.default_rng(3).normal(size=50)
    documents = [str(index) for index in range(50)]
    assert difference(values, documents) == difference(values, documents)
