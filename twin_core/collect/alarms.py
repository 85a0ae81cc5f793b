"""When a source needs a person's eye although its runs succeed: the rules, pure, over what is known of it.

"Connected" while nothing comes is how such tools fail: a site changed its markup, an interface lists less, a feed
moved. Each rule holds a source to its own habit, because no number is right for a daily feed and a yearly essay. What
is known comes from `store/habits.py`; who is told, from `standing.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median

from twin_core.store.ledger import Run

LEAST_EMPTY = 3
"""Empty items that raise an alarm: one or two are an author's placeholder, three at once are a pattern."""
EMPTY_ABOVE_HABIT = 0.25
"""Share of newly read items that came empty, above the source's habit. A quarter is more than any run of bad luck that
was seen on real sites, and a changed layout empties all of them."""
COVERAGE_FALL = 0.1
"""Fall of (items had / items the source counts) below its habit. Single failures of a run stay under a tenth."""
LISTS_FEWER = 0.5
"""A source that counts under half of what it used to has lost its listing more often than its author half the work."""
LEAST_COUNT = 5
"""Items below which shares say nothing: one of four is a quarter."""
LEAST_GAPS = 4
"""Gaps between days of writing from which a rhythm can be read."""
SILENCE_FACTOR = 3.0
"""How many times its long gap a source may be silent. Twice happens in every holiday."""
LEAST_SILENCE = timedelta(days=14)
"""Nobody is asked about two weeks, however often they wrote before."""


class AlarmKind(StrEnum):
    """What is wrong with a source."""

    EMPTY = "empty"
    COVERAGE = "coverage"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm in words: numbers and dates, never a text or a title."""

    kind: AlarmKind
    said: str


def alarms_of(runs: Sequence[Run], written: Sequence[datetime], now: datetime, *, followed: bool) -> list[Alarm]:
    """The alarms of one source. `runs` and `written` are newest first.

    `followed`: new items are expected. Not so of a paused source, nor of an export, which stands still.
    """
    over = [run for run in runs if run.finished_at is not None]
    found = [empty_items(over), falling_coverage(over), silence(written, now) if followed else None]
    return [alarm for alarm in found if alarm is not None]


def empty_items(runs: Sequence[Run]) -> Alarm | None:
    """Of the items that the latest reading run read anew, more came empty than is this source's habit.

    A run that read nothing new says nothing: the alarm stands until the source gives texts again.
    """
    reading = [run for run in runs if run.fetched + run.empty > 0]
    if not reading:
        return None
    latest, before = reading[0], reading[1:]
    read = latest.fetched + latest.empty
    share = latest.empty / read
    read_before = sum(run.fetched + run.empty for run in before)
    habit = sum(run.empty for run in before) / read_before if read_before else 0.0
    if latest.empty < LEAST_EMPTY or share < habit + EMPTY_ABOVE_HABIT:
        return None
    return Alarm(
        kind=AlarmKind.EMPTY,
        said=f"{latest.empty} of {read} items read on {latest.started_at:%Y-%m-%d} came without text ({share:.0%}; "
        f"before {habit:.0%}): the source, or the way it is read, has changed",
    )


def falling_coverage(runs: Sequence[Run]) -> Alarm | None:
    """Less of what the source counts was had than usual, or the source counts far fewer than it used to."""
    counted = [run for run in runs if run.own_count is not None and run.error is None]
    if len(counted) < 2:
        return None
    latest, before = counted[0], counted[1:]
    usual_count = median(run.own_count or 0 for run in before)
    if usual_count < LEAST_COUNT:
        return None
    own = latest.own_count or 0
    if own < usual_count * LISTS_FEWER:
        return Alarm(
            kind=AlarmKind.COVERAGE,
            said=f"it lists {own} items on {latest.started_at:%Y-%m-%d}, where it used to list {usual_count:.0f}",
        )
    now, usual = _coverage(latest), median(_coverage(run) for run in before)
    if now > usual - COVERAGE_FALL:
        return None
    return Alarm(
        kind=AlarmKind.COVERAGE,
        said=f"{latest.fetched + latest.unchanged} of the {own} items that it counts were had on "
        f"{latest.started_at:%Y-%m-%d} ({now:.0%}; before {usual:.0%})",
    )


def silence(written: Sequence[datetime], now: datetime) -> Alarm | None:
    """Nothing new for longer than three times the gap that nine in ten of its gaps keep below."""
    days = sorted({moment.astimezone(UTC).date() for moment in written if moment <= now}, reverse=True)
    gaps = sorted(newer - older for newer, older in pairwise(days))
    if len(gaps) < LEAST_GAPS:
        return None
    long_gap = gaps[min(len(gaps) - 1, int(len(gaps) * 0.9))]
    quiet = now.astimezone(UTC).date() - days[0]
    if quiet <= max(long_gap * SILENCE_FACTOR, LEAST_SILENCE):
        return None
    return Alarm(
        kind=AlarmKind.SILENT,
        said=f"nothing written since {days[0]:%Y-%m-%d}, {quiet.days} days; its gaps are seldom longer than "
        f"{long_gap.days}",
    )


def _coverage(run: Run) -> float:
    return min(1.0, (run.fetched + run.unchanged) / run.own_count) if run.own_count else 1.0
