"""Authors and their sources: who may be added, what consent is needed, when a source is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from twin_core.errors import InvalidInput, NotFound, Refused
from twin_core.records import Author, Consent, Source
from twin_core.store import authors
from twin_core.store.database import Database

CONSENT = Consent(claimed_by="Jane", proof="rel=me", claimed_at=datetime(2024, 5, 1, tzinfo=UTC))
NOON = datetime(2030, 6, 3, 12, 0, tzinfo=UTC)


def jane(database: Database) -> Author:
    with database.transaction() as conn:
        return authors.add_author(conn, slug="jane", name="Jane Doe")


def source(database: Database, author: Author, **changes: object) -> Source:
    values: dict[str, object] = {"platform": "folder", "locator": "/notes", "consent": CONSENT, **changes}
    with database.transaction() as conn:
        return authors.add_source(conn, author_id=author.id, **values)  # type: ignore[arg-type]


def test_adding_the_same_author_twice_changes_nothing(database: Database) -> None:
    assert jane(database) == jane(database)


def test_a_taken_slug_is_refused_with_the_name_that_has_it(database: Database) -> None:
    jane(database)
    with database.transaction() as conn, pytest.raises(InvalidInput, match="Jane Doe"):
        authors.add_author(conn, slug="jane", name="Jane Roe")


@pytest.mark.parametrize("slug", ["", "Jane", "a b", "-a", "a" * 64, "jané"])
def test_a_slug_that_cannot_be_an_address_is_refused(database: Database, slug: str) -> None:
    with database.transaction() as conn, pytest.raises(InvalidInput, match="slug"):
        authors.add_author(conn, slug=slug, name="Jane")


def test_an_unknown_author_is_answered_with_those_there_are(database: Database) -> None:
    with database.transaction() as conn, pytest.raises(NotFound, match="none yet"):
        authors.author_by_slug(conn, "joan")
    jane(database)
    with database.transaction() as conn, pytest.raises(NotFound, match="jane"):
        authors.author_by_slug(conn, "joan")


def test_a_source_without_consent_is_refused(database: Database) -> None:
    author = jane(database)
    with pytest.raises(Refused, match="consent"):
        source(database, author, consent=None)
    with pytest.raises(Refused, match="consent"):
        source(database, author, consent=Consent(claimed_by="Jane", proof=" ", claimed_at=NOON))


def test_a_source_keeps_who_claimed_it_on_what_proof_and_when(database: Database) -> None:
    added = source(database, jane(database), options={"include": ["*.md", "*.txt"], "category": "post"})
    with database.transaction() as conn:
        assert authors.source_by_id(conn, added.id) == added
    assert added.consent == CONSENT
    assert added.options == {"include": ["*.md", "*.txt"], "category": "post"}


def test_the_same_place_added_again_is_the_same_source_with_the_new_options(database: Database) -> None:
    author = jane(database)
    first = source(database, author)
    again = source(database, author, options={"category": "post"})
    assert (again.id, again.options) == (first.id, {"category": "post"})
    with database.transaction() as conn:
        assert authors.list_sources(conn, author.id) == [again]


@pytest.mark.parametrize("schedule", ["daily", "* * * *", "61 * * * *", "* * * * * *", "@daily", ""])
def test_a_schedule_that_is_no_cron_expression_is_refused(database: Database, schedule: str) -> None:
    author = jane(database)
    with pytest.raises(InvalidInput, match="cron"):
        source(database, author, schedule=schedule)


def test_a_scheduled_source_is_due_at_once_and_then_when_its_schedule_says(database: Database) -> None:
    author = jane(database)
    added = source(database, author, schedule="30 6 * * *")
    source(database, author, locator="/by-hand")
    with database.transaction() as conn:
        assert [one.id for one in authors.due_sources(conn, datetime.now(UTC))] == [added.id]
        assert authors.schedule_next(conn, added.id, NOON) == datetime(2030, 6, 4, 6, 30, tzinfo=UTC)
        assert authors.due_sources(conn, NOON) == []
        assert len(authors.due_sources(conn, NOON + timedelta(days=1))) == 1


def test_a_source_without_schedule_has_no_next_time(database: Database) -> None:
    added = source(database, jane(database))
    with database.transaction() as conn:
        assert authors.schedule_next(conn, added.id, NOON) is None


def test_a_paused_source_is_never_due(database: Database) -> None:
    added = source(database, jane(database), schedule="* * * * *")
    with database.transaction() as conn:
        authors.pause_source(conn, added.id, paused=True)
        assert authors.due_sources(conn, NOON) == []
        authors.pause_source(conn, added.id, paused=False)
        assert len(authors.due_sources(conn, NOON)) == 1


def test_a_source_that_gave_nothing_can_be_removed(database: Database) -> None:
    author = jane(database)
    added = source(database, author)
    with database.transaction() as conn:
        authors.remove_source(conn, added.id)
        assert authors.list_sources(conn, author.id) == []
        with pytest.raises(NotFound):
            authors.source_by_id(conn, added.id)
