"""Reading traces holds to one author twice over: by the policies of the tables alone, and by the queries alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from tests.retrieval.scenario import Given, fill
from tests.store.test_isolation import REST
from twin_core.errors import InvalidInput, NotFound
from twin_core.records import Author
from twin_core.store import answer_cache, monitor, traced
from twin_core.store.database import Database

NOW = datetime.now(UTC) + timedelta(hours=1)
READS: dict[str, Callable[[Connection, UUID, UUID], Any]] = {
    "list": lambda conn, author, _: traced.page_of_traces(conn, author, traced.Wanted()),
    "export": lambda conn, author, _: traced.rows_to_export(conn, author, traced.Wanted(), limit=9),
    "detail": traced.trace_detail,
    "lineage": traced.answer_lineage,
    "by the beginning of its id": lambda conn, author, trace: traced.resolve_trace(conn, author, str(trace)[:13]),
    "figures": lambda conn, author, _: monitor.days(conn, author, since=NOW - timedelta(days=9), until=NOW),
    "cache": lambda conn, author, _: answer_cache.look_up(conn, author, "k", within=timedelta(days=1)),
}


@pytest.fixture
def authors(database: Database) -> tuple[Author, Author]:
    """Ada and Bob, each with a trace whose id is the author's, candidates, feedback, an adapter and a cached answer."""
    ada = fill(database, "ada", [Given(title="Hers", text="A queue of her own.")])
    bob = fill(database, "bob", [Given(title="His", text="A secret of his own.")])
    with database.transaction() as conn:
        conn.exec_driver_sql(REST)
    return ada, bob


def read(name: str, conn: Connection, author: UUID, trace: UUID) -> Any:
    try:
        return READS[name](conn, author, trace)
    except NotFound:
        return None


@pytest.mark.parametrize("name", READS)
def test_row_level_security_alone_shows_nothing_of_another_author(
    database: Database, authors: tuple[Author, Author], name: str
) -> None:
    ada, bob = authors
    with database.as_author(ada.id) as conn:
        conn.execute(text("SET LOCAL ROLE twin_api"))
        assert read(name, conn, ada.id, ada.id)
        assert not read(name, conn, bob.id, bob.id), "asked in Bob's name by Ada's session"


@pytest.mark.parametrize("name", READS)
def test_the_queries_alone_show_nothing_of_another_author(
    database: Database, authors: tuple[Author, Author], name: str
) -> None:
    ada, bob = authors
    with database.transaction() as conn:  # the owner of the tables, whom no policy holds
        assert read(name, conn, bob.id, bob.id)
        found = read(name, conn, ada.id, bob.id)
    assert "secret" not in str(found)
    assert str(bob.id) not in str(found)


def test_an_id_that_is_none_and_one_that_is_several_are_said_to_be(
    database: Database, authors: tuple[Author, Author]
) -> None:
    ada, _ = authors
    with database.transaction() as conn:
        with pytest.raises(InvalidInput, match="four or more"):
            traced.resolve_trace(conn, ada.id, "%")
        with pytest.raises(NotFound):
            traced.resolve_trace(conn, ada.id, "00000000")
        conn.execute(
            text("""INSERT INTO serving.traces (id, author_id, question, answer, outcome, prompt_version)
                    SELECT (left(id::text, 8) || '-0000-4000-8000-00000000000' || n)::uuid, id, 'q', 'a', 'answered', '1'
                    FROM warehouse.authors, generate_series(1, 2) AS n WHERE id = :author"""),
            {"author": ada.id},
        )
        with pytest.raises(InvalidInput, match="Several"):
            traced.resolve_trace(conn, ada.id, str(ada.id)[:8])
