"""Which passages go into a prompt: relevant, unlike each other, within the budget."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_core.records import Category, Passage
from twin_core.retrieval.pack import mmr, pack


def passage(number: int, text: str, score: float) -> Passage:
    return Passage(
        chunk_id=UUID(int=number), document_id=UUID(int=number), revision_id=UUID(int=number), category=Category.POST,
        title=f"{number}", location="", context="", text=text, start=0, end=len(text),
        written_at=datetime(2025, 1, 1, tzinfo=UTC), score=score, legs={},
    )  # fmt: skip


def numbers(passages: list[Passage]) -> list[int]:
    return [one.chunk_id.int for one in passages]


def test_a_passage_that_repeats_another_gives_way_to_one_that_does_not():
    queue, again, other = (
        passage(1, "jobs in a queue", 1.0),
        passage(2, "jobs in a queue", 0.98),
        passage(3, "salt", 0.9),
    )
    assert numbers(pack([queue, again, other], budget_tokens=1000)) == [1, 3, 2]


def test_vectors_say_what_is_alike_where_there_are_any():
    passages = [passage(n, f"word{n}", 1 - n / 100) for n in range(3)]
    vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    assert numbers(pack(passages, vectors, budget_tokens=1000)) == [0, 2, 1]


def test_a_passage_that_does_not_fit_is_left_out_and_a_shorter_one_goes_in():
    passages = [passage(1, "a " * 10, 1.0), passage(2, "b " * 500, 0.9), passage(3, "c " * 10, 0.8)]
    assert numbers(pack(passages, budget_tokens=40, count=lambda text: len(text.split()))) == [1, 3]
    assert pack(passages, budget_tokens=0) == []


def test_nothing_to_pack_is_nothing():
    assert pack([], budget_tokens=100) == []
    assert mmr([], np.zeros((0, 0))) == []


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 1), max_size=12), st.floats(0.05, 1), st.randoms(use_true_random=False))
def test_every_passage_is_placed_once_and_the_best_one_first(scores, relevance, random):
    alike = np.array([[random.random() for _ in scores] for _ in scores]).reshape(len(scores), len(scores))
    order = mmr(scores, alike, relevance=relevance)
    assert sorted(order) == list(range(len(scores)))
    if scores:
        assert scores[order[0]] == max(scores)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1), max_size=10))
def test_relevance_alone_is_the_order_of_the_search(scores):
    order = mmr(scores, np.ones((len(scores), len(scores))), relevance=1.0)
    assert [scores[index] for index in order] == sorted(scores, reverse=True)


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), max_size=10), st.integers(0, 60))
def test_the_budget_is_kept(lengths, budget):
    passages = [passage(n, "w " * length, 1.0 - n / 20) for n, length in enumerate(lengths)]
    packed = pack(passages, budget_tokens=budget, count=lambda text: len(text.split()))
    assert sum(len(one.text.split()) for one in packed) <= budget
