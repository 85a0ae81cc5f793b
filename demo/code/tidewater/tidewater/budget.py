# SPDX-License-Identifier: Apache-2.0
"""Retries are a loan, and this is the overdraft.

Each honest first attempt earns a fraction of a retry. When the account is
empty a failure is reported at once, which is to say that we stop leaning on
something that is already falling over.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tidewater.backoff import Backoff

T = TypeVar("T")


class RetryBudget:
    """Lets retries be ``ratio`` of first attempts, with ``reserve`` in hand.

    The reserve is what a quiet service may spend before it has earned
    anything. It is also the most that can be saved up.

    >>> budget = RetryBudget(ratio=0.5, reserve=1)
    >>> budget.spend(), budget.spend()
    (True, False)
    >>> budget.earn(); budget.earn()
    >>> budget.spend()
    True
    """

    def __init__(self, ratio: float = 0.1, reserve: float = 10.0) -> None:
        if ratio < 0 or reserve < 0:
            raise ValueError(f"ratio and reserve cannot be negative, got {ratio} and {reserve}")
        self._ratio = float(ratio)
        self._reserve = float(reserve)
        self._balance = self._reserve
        self._lock = threading.Lock()

    @property
    def balance(self) -> float:
        """Retries in hand. Chart it; it falls before anything else does."""
        with self._lock:
            return self._balance

    def earn(self) -> None:
        """Note one first attempt."""
        with self._lock:
            self._balance = min(self._reserve, self._balance + self._ratio)

    def spend(self) -> bool:
        """Pay for one retry, or be told no."""
        with self._lock:
            # Ten tenths fall a hair short of one in floating point.
            if self._balance < 1.0 - 1e-9:
                return False
            self._balance = max(0.0, self._balance - 1.0)
            return True


def attempt(
    action: Callable[[], T],
    *,
    backoff: Backoff,
    budget: RetryBudget,
    retry_on: tuple[type[Exception], ...],
    sleep: Callable[[float], object] = time.sleep,
    rng: random.Random | None = None,
) -> T:
    """Do ``action``, trying again while both the waits and the budget last.

    ``retry_on`` has no default. You must say which failures are weather; the
    others are faults, and retrying a fault gets you the same fault, later.
    The action has to be safe to repeat. Nothing here can check that.
    """
    budget.earn()
    delays = backoff.delays(rng)
    while True:
        try:
            return action()
        except retry_on:
            delay = next(delays, None)
            if delay is None or not budget.spend():
                raise
            sleep(delay)
