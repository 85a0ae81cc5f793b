"""Calls that come while one is at work wait and are then carried out as one: batching where nobody waits for a batch.

A model takes little longer for eight texts than for one, and callers of a server come one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Together(Generic[T, R]):
    """`work` over the items of every thread that calls at the same time. The first caller never waits for others.

    `work` gives one result per item, in order, and is never called twice at once. What it raises, every caller of
    that batch gets.
    """

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]]) -> None:
        self._work = work
        self._lock = Lock()
        self._busy = False
        self._waiting: list[tuple[Sequence[T], Future[list[R] | None]]] = []
        """None as a result says: it is your turn to work, for all that wait."""

    def __call__(self, items: Sequence[T]) -> list[R]:
        """The results of these items, in their order."""
        mine: Future[list[R] | None] = Future()
        with self._lock:
            self._waiting.append((items, mine))
            waits, self._busy = self._busy, True
        if waits and (found := mine.result()) is not None:
            return found
        with self._lock:
            batch, self._waiting = self._waiting, []
        try:
            results = self._work([item for asked, _ in batch for item in asked])
        except BaseException as error:
            for _, other in batch:
                if other is not mine:
                    other.set_exception(error)
            raise
        else:
            return self._share(batch, results, mine)
        finally:
            self._pass_on()

    def _share(
        self,
        batch: Sequence[tuple[Sequence[T], Future[list[R] | None]]],
        results: Sequence[R],
        mine: Future[list[R] | None],
    ) -> list[R]:
        own: list[R] = []
        at = 0
        for asked, caller in batch:
            share = list(results[at : at + len(asked)])
            at += len(asked)
            if caller is mine:
                own = share
            else:
                caller.set_result(share)
        return own

    def _pass_on(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting[0][1].set_result(None)
            else:
                self._busy = False
