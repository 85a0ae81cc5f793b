"""How a source stands, out of real runs over a real database: coverage, empty items, alarms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.collect.scripted import END, Desk, found
from twin_core.collect import run
from twin_core.collect.alarms import AlarmKind
from twin_core.collect.standing import Standing, standings
from twin_core.features.clean import clean_author
from twin_core.records import Failed, Found, Item, Listed, Skipped, Unchanged
from twin_core.settings import Settings
from twin_core.store import authors, ledger
from twin_core.store.database import Database


@pytest.fixture
def desk(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(database, settings)
    monkeypatch.setattr(run, "collector_for", lambda _platform: made.collector)
    return made


def standing(desk: Desk, now: datetime | None = None) -> Standing:
    with desk.database.transaction() as conn:
        (one,) = standings(conn, now or datetime.now(UTC), desk.author.id)
    return one


def texts(count: int) -> list[Found]:
    return [found(str(number), f"Text number {number} of the author.") for number in range(count)]


def empty(native_id: str) -> Skipped:
    return Skipped(native_id=native_id, location=f"/notes/{native_id}", reason="empty: no text in it", empty=True)


def test_a_source_that_was_never_collected_stands_at_nothing(desk: Desk) -> None:
    one = standing(desk)
    assert (one.held, one.own_count, one.coverage, one.last_success_at, one.last_run, one.alarms) == (
        0, None, None, None, None, (),
    )  # fmt: skip


def test_coverage_is_what_is_held_of_what_the_source_counts(desk: Desk) -> None:
    broken = Failed(native_id="9", location="/notes/9", reason="unreadable")
    desk.sync(*texts(3), broken, Listed(own_count=4))
    one = standing(desk)
    assert (one.held, one.own_count, one.coverage) == (3, 4, 0.75)
    assert one.last_success_at is not None
    assert one.last_run is not None
    assert one.last_run.failed == 1


def test_items_that_come_empty_are_counted_once_and_raise_an_alarm_until_texts_come(desk: Desk) -> None:
    desk.sync(*texts(4), empty("placeholder"), END)
    assert standing(desk).alarms == ()
    gone_empty = [empty(str(number)) for number in range(4)]
    desk.sync(*gone_empty, empty("placeholder"), END)
    (alarm,) = standing(desk).alarms
    assert alarm.kind is AlarmKind.EMPTY
    assert "4 of 4 items" in alarm.said

    desk.sync(*gone_empty, empty("placeholder"), END)
    one = standing(desk)
    assert one.last_run is not None
    assert one.last_run.empty == 0, "they were empty before"
    assert [alarm.kind for alarm in one.alarms] == [AlarmKind.EMPTY]
    assert one.held == 4, "what was stored stays"

    desk.sync(*(found(str(number), f"Text {number}, back again.") for number in range(4)), END)
    assert standing(desk).alarms == ()


def test_coverage_that_falls_raises_an_alarm(desk: Desk) -> None:
    everything: list[Item] = [*texts(20)]
    desk.sync(*everything, Listed(own_count=20))
    desk.sync(*everything, Listed(own_count=20))
    lost = [Failed(native_id=str(number), location=f"/notes/{number}", reason="HTTP 403") for number in range(8)]
    desk.sync(*lost, *everything[8:], Listed(own_count=20))
    assert [alarm.kind for alarm in standing(desk).alarms] == [AlarmKind.COVERAGE]


def test_a_source_that_used_to_write_weekly_is_silent_after_a_month_unless_it_is_paused(desk: Desk) -> None:
    now = datetime.now(UTC)
    weekly = [
        Found(
            native_id=one.native_id, location=one.location, category=one.category, media_type=one.media_type,
            body=one.body, content_hash=one.content_hash, written_at=now - timedelta(weeks=number + 1),
        )
        for number, one in enumerate(texts(6))
    ]  # fmt: skip
    desk.sync(*weekly, END)
    clean_author(desk.database, desk.warehouse, desk.author, settings=desk.settings)
    assert standing(desk, now).alarms == ()
    (alarm,) = standing(desk, now + timedelta(days=30)).alarms
    assert alarm.kind is AlarmKind.SILENT
    with desk.database.transaction() as conn:
        authors.pause_source(conn, desk.source.id, paused=True)
    assert standing(desk, now + timedelta(days=30)).alarms == ()


def test_items_are_paged_by_what_came_last_in_the_same_order(desk: Desk) -> None:
    report = desk.sync(
        *texts(5), Failed(native_id="f", location="/f", reason="broken"), empty("e"), Unchanged(native_id="never seen")
    )
    with desk.database.transaction() as conn:
        whole = ledger.items_of_run(conn, report.run_id)
        paged: list[ledger.LedgerItem] = []
        while page := ledger.items_of_run(conn, report.run_id, limit=3, after=paged[-1] if paged else None):
            paged += page
    assert paged == whole
    assert len(whole) == 8
    assert [item.native_id for item in whole if item.empty] == ["e"]
