# SPDX-License-Identifier: Apache-2.0
"""Half-open stretches of time.

``[start, end)`` has its start in it and not its end. Two neighbours may then
share a boundary and own no instant in common, like berths along a quay.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """A stretch of time, which may be empty and may not be backwards.

    >>> Interval(10, 20).length
    10
    >>> 20 in Interval(10, 20)
    False
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        # Written this way round so that a NaN is refused as well.
        if not self.start <= self.end:
            raise ValueError(f"an interval cannot run from {self.start} back to {self.end}")

    def __contains__(self, instant: float) -> bool:
        return self.start <= instant < self.end

    @property
    def length(self) -> float:
        """How long it lasts, in seconds."""
        return self.end - self.start

    def overlap(self, other: "Interval") -> "Interval | None":
        """The part both cover, or None. Touching is not overlapping.

        >>> Interval(0, 10).overlap(Interval(6, 14))
        Interval(start=6, end=10)
        >>> Interval(0, 10).overlap(Interval(10, 14)) is None
        True
        """
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Interval(start, end) if start < end else None


def merge(stretches: Iterable[Interval]) -> list[Interval]:
    """Sort them, drop the empty ones and join those that touch.

    >>> merge([Interval(5, 9), Interval(0, 3), Interval(3, 4)])
    [Interval(start=0, end=4), Interval(start=5, end=9)]
    """
    joined: list[Interval] = []
    for stretch in sorted(s for s in stretches if s.length > 0):
        if joined and stretch.start <= joined[-1].end:
            last = joined.pop()
            stretch = Interval(last.start, max(last.end, stretch.end))
        joined.append(stretch)
    return joined


def subtract(whole: Iterable[Interval], taken: Iterable[Interval]) -> list[Interval]:
    """What is left of ``whole`` once ``taken`` has been taken out.

    >>> subtract([Interval(0, 10)], [Interval(2, 4), Interval(8, 12)])
    [Interval(start=0, end=2), Interval(start=4, end=8)]
    """
    cuts = merge(taken)
    left: list[Interval] = []
    for stretch in merge(whole):
        at = stretch.start
        for cut in cuts:
            if cut.end <= at:
                continue
            if cut.start >= stretch.end:
                break
            if cut.start > at:
                left.append(Interval(at, cut.start))
            at = max(at, cut.end)
        if at < stretch.end:
            left.append(Interval(at, stretch.end))
    return left


def common(one: Iterable[Interval], other: Iterable[Interval]) -> list[Interval]:
    """The time that both have. Walks the two lists side by side, once.

    >>> common([Interval(0, 5), Interval(8, 12)], [Interval(4, 9)])
    [Interval(start=4, end=5), Interval(start=8, end=9)]
    """
    a, b = merge(one), merge(other)
    i = j = 0
    shared: list[Interval] = []
    while i < len(a) and j < len(b):
        both = a[i].overlap(b[j])
        if both is not None:
            shared.append(both)
        if a[i].end <= b[j].end:
            i += 1
        else:
            j += 1
    return shared


def gaps(within: Interval, busy: Iterable[Interval]) -> list[Interval]:
    """The free time inside ``within``. Usually less than one had hoped."""
    return subtract([within], busy)


def total(stretches: Iterable[Interval]) -> float:
    """Seconds covered, counting any overlap once.

    >>> total([Interval(0, 10), Interval(5, 15)])
    15
    """
    return sum(stretch.length for stretch in merge(stretches))
