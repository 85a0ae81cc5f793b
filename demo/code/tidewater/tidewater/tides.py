# SPDX-License-Identifier: Apache-2.0
"""Windows that come round, and plans made backwards.

The mean interval between high waters on a coast with two tides a day is about
12 h 25 min. That is good enough for deciding when to bake and not good enough
for deciding when to sail; for the second, buy the almanac.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tidewater.intervals import Interval, merge

LUNAR_SEMIDIURNAL_S = 44_714.0
"""The principal lunar period, twelve hours and some 25.2 minutes, in seconds."""


@dataclass(frozen=True, slots=True)
class Tide:
    """A window open either side of something that recurs.

    >>> lock = Tide(first_high=1000, period_s=600, before_s=50, after_s=100)
    >>> lock.windows(Interval(900, 1700))
    [Interval(start=950, end=1100), Interval(start=1550, end=1700)]
    """

    first_high: float
    period_s: float = LUNAR_SEMIDIURNAL_S
    before_s: float = 7200.0
    after_s: float = 7200.0

    def __post_init__(self) -> None:
        if self.period_s <= 0:
            raise ValueError(f"period_s must be positive, got {self.period_s}")
        if self.before_s < 0 or self.after_s < 0:
            raise ValueError("before_s and after_s cannot be negative")

    def highs(self, within: Interval) -> Iterator[float]:
        """Each high inside ``within``, whether before or after the first."""
        n = math.ceil((within.start - self.first_high) / self.period_s)
        while (high := self.first_high + n * self.period_s) < within.end:
            yield high
            n += 1

    def windows(self, within: Interval) -> list[Interval]:
        """The open windows, trimmed to ``within`` and joined where they meet."""
        reach = Interval(within.start - self.after_s, within.end + self.before_s)
        found: list[Interval] = []
        for high in self.highs(reach):
            trimmed = Interval(high - self.before_s, high + self.after_s).overlap(within)
            if trimmed is not None:
                found.append(trimmed)
        return merge(found)


def first_fit(windows: Iterable[Interval], duration_s: float) -> float | None:
    """The earliest start at which the whole job fits inside one window.

    >>> first_fit([Interval(0, 5), Interval(8, 20)], 6)
    8
    """
    for window in merge(windows):
        if window.length >= duration_s:
            return window.start
    return None


@dataclass(frozen=True, slots=True)
class Step:
    """Something to be done, and how long it takes on a bad day."""

    name: str
    takes_s: float

    def __post_init__(self) -> None:
        if self.takes_s < 0:
            raise ValueError(f"step {self.name!r} cannot take {self.takes_s} seconds")


def plan_back(done_by: float, steps: Sequence[Step]) -> list[tuple[str, Interval]]:
    """Start from when it must be true, and walk back to when you must begin.

    >>> plan_back(100, [Step("prove", 60), Step("bake", 30)])[0]
    ('prove', Interval(start=10, end=70))
    """
    plan: list[tuple[str, Interval]] = []
    end = done_by
    for step in reversed(steps):
        begin = end - step.takes_s
        plan.append((step.name, Interval(begin, end)))
        end = begin
    plan.reverse()
    return plan
