"""When a source needs a person's eye: each rule told as the history of one source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from twin_core.collect.alarms import AlarmKind, alarms_of, empty_items, falling_coverage, silence
from twin_core.store.ledger import Run

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
ID = UUID(int=1)


def run(
    day: int, *, fetched: int = 0, unchanged: int = 0, empty: int = 0, own: int | None = None, error: str | None = None
) -> Run:
    """A run so many days ago."""
    at = NOW - timedelta(days=day)
    return Run(
        id=ID, source_id=ID, started_at=at, finished_at=at, fetched=fetched, unchanged=unchanged, skipped=empty,
        failed=0, deleted=0, own_count=own, seconds=1.0, error=error, empty=empty,
    )  # fmt: skip


def days(*ago: int) -> list[datetime]:
    return [NOW - timedelta(days=day) for day in sorted(ago)]


def test_a_redesign_that_empties_every_page_raises_an_alarm() -> None:
    history = [run(0, empty=40), run(1, unchanged=40), run(2, fetched=40)]
    found = empty_items(history)
    assert found is not None
    assert found.kind is AlarmKind.EMPTY
    assert "40 of 40" in found.said


def test_the_alarm_stands_while_nothing_new_is_read_and_ends_with_texts() -> None:
    broken = [run(1, empty=12), run(2, fetched=12)]
    assert empty_items([run(0, unchanged=0), *broken]) is not None
    assert empty_items([run(0, fetched=12), *broken]) is None


@pytest.mark.parametrize(
    "history",
    [
        [],
        [run(0, fetched=100, empty=2)],
        [run(0, empty=2), run(1, fetched=50)],
        [run(0, fetched=6, empty=5), run(1, fetched=60, empty=50)],
    ],
    ids=["never read", "a few of many", "two placeholders", "a habit of this source"],
)
def test_what_is_usual_for_a_source_raises_none(history: list[Run]) -> None:
    assert empty_items(history) is None


def test_the_first_run_may_raise_it_too() -> None:
    assert empty_items([run(0, fetched=1, empty=9)]) is not None


def test_coverage_that_falls_raises_an_alarm() -> None:
    steady = [run(day, unchanged=98, own=100) for day in range(1, 8)]
    assert falling_coverage([run(0, unchanged=95, own=100), *steady]) is None
    found = falling_coverage([run(0, unchanged=80, own=100), *steady])
    assert found is not None
    assert "80 of the 100" in found.said
    assert "before 98%" in found.said


def test_a_source_that_counts_half_of_what_it_did_raises_an_alarm() -> None:
    steady = [run(day, unchanged=100, own=100) for day in range(1, 4)]
    found = falling_coverage([run(0, unchanged=40, own=40), *steady])
    assert found is not None
    assert "it lists 40 items" in found.said
    assert falling_coverage([run(0, unchanged=60, own=60), *steady]) is None


def test_a_run_that_broke_says_nothing_about_coverage() -> None:
    steady = [run(day, unchanged=100, own=100) for day in range(1, 4)]
    assert falling_coverage([run(0, unchanged=3, error="reset"), *steady]) is None
    assert falling_coverage([run(0, own=3, unchanged=3), run(1, own=4, unchanged=4)]) is None, "too few to say"


def test_a_weekly_source_is_silent_after_three_weeks_and_a_yearly_one_is_not() -> None:
    weekly = days(25, 32, 39, 46, 53, 60)
    found = silence(weekly, NOW)
    assert found is not None
    assert "25 days" in found.said
    assert silence(days(20, 27, 34, 41, 48), NOW) is None
    assert silence(days(200, 500, 900, 1200, 1600), NOW) is None


def test_a_daily_source_is_given_a_holiday() -> None:
    daily = range(13, 40)
    assert silence(days(*daily), NOW) is None
    assert silence(days(*(day + 3 for day in daily)), NOW) is not None


def test_several_posts_of_one_day_are_one_day_and_a_date_in_the_future_none() -> None:
    assert silence([NOW + timedelta(days=400), *days(30, 30, 30, 30, 30, 31)], NOW) is None


def test_a_source_that_is_not_followed_is_never_silent() -> None:
    weekly = days(25, 32, 39, 46, 53, 60)
    assert [alarm.kind for alarm in alarms_of([], weekly, NOW, followed=True)] == [AlarmKind.SILENT]
    assert alarms_of([], weekly, NOW, followed=False) == []


def test_a_run_that_is_not_over_is_not_judged() -> None:
    at = NOW - timedelta(hours=1)
    running = Run(
        id=ID, source_id=ID, started_at=at, finished_at=None, fetched=0, unchanged=0, skipped=9, failed=0, deleted=0,
        own_count=None, seconds=None, error=None, empty=9,
    )  # fmt: skip
    assert alarms_of([running], [], NOW, followed=True) == []
