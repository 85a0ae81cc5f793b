"""Which documents are held out: whole, the newest, and never more than half."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin_core.datasets.split import Dated, split
from twin_core.errors import InvalidInput
from twin_core.records import Split

BEGUN = datetime(2020, 1, 1, tzinfo=UTC)


def documents(count: int, clusters: dict[int, int] | None = None) -> list[Dated]:
    """One document a day; `clusters` says which are copies of which."""
    return [
        Dated(
            document_id=UUID(int=number),
            cluster_id=UUID(int=(clusters or {}).get(number, number)),
            at=BEGUN + timedelta(days=number),
        )
        for number in range(count)
    ]


def held(sides: dict[UUID, Split]) -> list[int]:
    return sorted(document.int for document, side in sides.items() if side == Split.TEST)


def test_the_newest_fifth_of_a_large_collection_is_held_out() -> None:
    assert held(split(documents(461))) == list(range(461 - 93, 461))


def test_it_is_thirty_where_a_fifth_would_be_fewer() -> None:
    assert held(split(documents(100))) == list(range(70, 100))


def test_of_a_small_collection_every_second_block_of_time_is_held_out() -> None:
    assert held(split(documents(24))) == [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23]


def test_what_is_too_short_to_be_measured_does_not_count_among_the_thirty() -> None:
    given_ones = [replace(one, measurable=one.document_id.int % 10 != 9) for one in documents(100)]
    sides = held(split(given_ones))
    assert sides == list(range(66, 100))
    assert sum(number % 10 != 9 for number in sides) == 30


def test_code_that_shares_a_date_is_on_both_sides_and_prose_is_split_as_if_it_were_not_there() -> None:
    repository = [
        Dated(document_id=UUID(int=1000 + number), cluster_id=UUID(int=1000 + number), at=BEGUN, code=True)
        for number in range(12)
    ]
    sides = held(split([*documents(100), *repository]))
    assert [number for number in sides if number < 1000] == list(range(70, 100))
    assert len([number for number in sides if number >= 1000]) == 6


def test_a_copy_goes_where_its_original_goes() -> None:
    sides = split(documents(100, {99: 3}))
    assert sides[UUID(int=99)] == sides[UUID(int=3)] == Split.TRAIN
    assert len(held(sides)) == 30


def test_a_crowd_of_copies_that_is_more_than_half_is_learnt_from() -> None:
    sides = split(documents(100, dict.fromkeys(range(40, 100), 40)))
    assert all(sides[UUID(int=number)] == Split.TRAIN for number in range(40, 100))
    assert 0 < len(held(sides)) <= 50


@pytest.mark.parametrize(("count", "clusters", "says"), [
    (0, {}, "0 different texts"),
    (7, {}, "7 different texts"),
    (50, dict.fromkeys(range(50), 0), "1 different texts (50 documents"),
])  # fmt: skip
def test_too_few_different_texts_are_refused_with_their_number(count: int, clusters: dict[int, int], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        split(documents(count, clusters))
    assert says in str(refused.value)


@given(st.integers(8, 300), st.data())
def test_whatever_the_clusters_they_stay_whole_and_at_most_half_is_held_out(count: int, data: st.DataObject) -> None:
    clusters = data.draw(st.dictionaries(st.integers(0, count - 1), st.integers(0, count // 3), max_size=count // 2))
    given_ones = documents(count, clusters)
    try:
        sides = split(given_ones)
    except InvalidInput:
        assert len({one.cluster_id for one in given_ones}) < 8
        return
    assert set(sides) == {one.document_id for one in given_ones}
    assert 0 < len(held(sides)) <= count // 2
    for one in given_ones:
        for other in given_ones:
            if one.cluster_id == other.cluster_id:
                assert sides[one.document_id] == sides[other.document_id]
