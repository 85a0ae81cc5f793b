# SPDX-License-Identifier: Apache-2.0
"""How long to wait before knocking again."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits, capped, and jittered over their whole length.

    ``attempts`` counts every try including the first, since that is how people
    read it; six attempts have five waits between them.

    >>> Backoff(base_s=1, cap_s=10, attempts=6).ceilings()
    [1.0, 2.0, 4.0, 8.0, 10.0]
    """

    base_s: float = 0.5
    factor: float = 2.0
    cap_s: float = 60.0
    attempts: int = 8

    def __post_init__(self) -> None:
        if self.base_s <= 0 or self.cap_s < self.base_s:
            raise ValueError(f"need 0 < base_s <= cap_s, got {self.base_s} and {self.cap_s}")
        if self.factor < 1:
            raise ValueError(f"a factor of {self.factor} would hurry; use 1 or more")
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {self.attempts}")

    def ceilings(self) -> list[float]:
        """The longest each wait may be, in order."""
        waits: list[float] = []
        wait = float(self.base_s)
        for _ in range(self.attempts - 1):
            waits.append(wait)
            wait = min(float(self.cap_s), wait * self.factor)
        return waits

    def delays(self, rng: random.Random | None = None) -> Iterator[float]:
        """The waits themselves, each drawn evenly from nought to its ceiling.

        Drawing from the whole length looks slack. It is what stops a hundred
        callers who failed together from returning together.
        """
        dice = rng if rng is not None else random.Random()
        for ceiling in self.ceilings():
            yield dice.uniform(0.0, ceiling)

    def worst_case_s(self) -> float:
        """All the waiting, if the dice are against you. Compare your timeout.

        >>> Backoff(base_s=1, cap_s=10, attempts=6).worst_case_s()
        25.0
        """
        return sum(self.ceilings())
