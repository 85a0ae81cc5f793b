# SPDX-License-Identifier: Apache-2.0
"""A token bucket, for not being a nuisance."""

import threading
import time
from collections.abc import Callable


class TokenBucket:
    """Allows ``rate_per_s`` on average and ``capacity`` in a burst.

    It starts full. It fills by arithmetic when looked at, so there is no
    thread behind it and nothing to shut down.

    >>> now = 0.0
    >>> bucket = TokenBucket(rate_per_s=2, capacity=3, clock=lambda: now)
    >>> [bucket.try_take() for _ in range(4)]
    [True, True, True, False]
    >>> bucket.wait_s()
    0.5
    >>> now = 0.5
    >>> bucket.try_take()
    True
    """

    def __init__(
        self,
        rate_per_s: float,
        capacity: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if rate_per_s <= 0 or capacity <= 0:
            raise ValueError(f"need a positive rate and capacity, got {rate_per_s} and {capacity}")
        self._rate = float(rate_per_s)
        self._capacity = float(capacity)
        self._clock = clock
        self._level = self._capacity
        self._seen = clock()
        self._lock = threading.Lock()

    def _fill(self) -> None:
        now = self._clock()
        # A clock that steps back adds nothing; it must not take away either.
        passed = max(0.0, now - self._seen)
        self._level = min(self._capacity, self._level + passed * self._rate)
        self._seen = now

    def try_take(self, tokens: float = 1.0) -> bool:
        """Take tokens if they are there. Never waits."""
        self._check(tokens)
        with self._lock:
            self._fill()
            if self._level < tokens:
                return False
            self._level -= tokens
            return True

    def wait_s(self, tokens: float = 1.0) -> float:
        """Seconds until that many could be taken, if nobody else comes by."""
        self._check(tokens)
        with self._lock:
            self._fill()
            return max(0.0, (tokens - self._level) / self._rate)

    def _check(self, tokens: float) -> None:
        if not 0 < tokens <= self._capacity:
            raise ValueError(f"this bucket holds {self._capacity}; it cannot serve {tokens}")
