"""Calls from many threads: each gets its own results, and those that come meanwhile are answered at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin_core.models.together import Together


class Slow:
    """Doubles numbers, one batch at a time, and holds the first batch until it is told to go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.at_work = 0

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.at_work += 1
        assert self.at_work == 1
        self.batches.append(list(numbers))
        self.entered.set()
        assert self.go_on.wait(30)
        self.at_work -= 1
        if -1 in numbers:
            raise ValueError("minus one")
        return [2 * number for number in numbers]


def waiting(together: Together[int, int]) -> int:
    return len(together._waiting)


def until_waiting(together: Together[int, int], count: int) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if waiting(together) == count:
            return
        pause.wait(0.01)
    raise AssertionError(f"{waiting(together)} wait")


def test_those_who_come_while_one_is_at_work_are_answered_in_one_batch_each_with_their_own() -> None:
    work = Slow()
    together = Together(work)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(together, [1])
        assert work.entered.wait(30)
        later = [pool.submit(together, [number, number + 1]) for number in (10, 20, 30)]
        until_waiting(together, 3)
        work.go_on.set()
        assert first.result() == [2]
        assert [one.result() for one in later] == [[20, 22], [40, 42], [60, 62]]
    assert (work.batches[0], sorted(work.batches[1])) == ([1], [10, 11, 20, 21, 30, 31])


def test_an_error_reaches_everyone_of_its_batch_and_nobody_after() -> None:
    work = Slow()
    together = Together(work)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(together, [1])
        assert work.entered.wait(30)
        later = [pool.submit(together, [number]) for number in (-1, 5)]
        until_waiting(together, 2)
        work.go_on.set()
        assert first.result() == [2]
        for one in later:
            with pytest.raises(ValueError, match="minus one"):
                one.result()
    assert together([7]) == [14]


@given(st.lists(st.lists(st.integers(0, 100), max_size=4), min_size=1, max_size=12))
def test_whatever_is_asked_at_once_everyone_gets_their_own(asked: list[list[int]]) -> None:
    together: Together[int, int] = Together(lambda numbers: [2 * number for number in numbers])
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(together, asked)) == [[2 * number for number in one] for one in asked]
