"""Logins for people's SQL: how they are made, what a query gives back, and what it says when it cannot."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import text

from tests.retrieval.scenario import Given, fill
from twin_core.errors import InvalidInput, Refused, ServiceUnavailable
from twin_core.runtime.urls import role_password, url_for
from twin_core.store.database import Database
from twin_core.store.people import API_ROLE, ensure_api_role, ensure_sql_role, run_readonly, sql_role


@pytest.fixture
def ada(database):
    return fill(database, "ada", [Given(title=f"Note {n}", text=f"Text {n}.") for n in range(5)])


@pytest.fixture
def role(database, ada) -> str:
    with database.transaction() as connection:
        return sql_role(connection, ada.id)


@pytest.fixture
def url(database, settings, ada, role) -> str:
    with database.transaction() as connection:
        assert ensure_sql_role(connection, ada, role_password(settings, role)) == role
    return url_for(settings, role=role)


def test_a_query_gives_columns_and_rows(url):
    result = run_readonly(url, "SELECT title, words FROM documents ORDER BY title", limit=10)
    assert result.columns == ("title", "words")
    assert result.rows[0] == ("Note 0", 2)
    assert len(result.rows) == 5
    assert not result.cut


def test_a_result_is_cut_at_the_limit_and_says_so(url):
    result = run_readonly(url, "SELECT generate_series(1, 10000000)", limit=3)
    assert result.rows == [(1,), (2,), (3,)]
    assert result.cut
    assert not run_readonly(url, "SELECT title FROM documents", limit=5).cut


def test_columns_are_named_even_when_there_is_no_row(url):
    result = run_readonly(url, "SELECT title FROM documents WHERE false", limit=5)
    assert (result.columns, result.rows) == (("title",), [])


def test_explain_and_show_work_and_percent_signs_are_only_signs(url):
    assert "analytics" in str(run_readonly(url, "SHOW search_path", limit=5).rows)
    assert run_readonly(url, "EXPLAIN SELECT * FROM documents", limit=100).rows
    assert run_readonly(url, "SELECT 10 % 3 WHERE 'a%s' LIKE '%s'", limit=1).rows == [(1,)]


@pytest.mark.parametrize(
    ("query", "kind", "says"),
    [
        ("SELEC 1", InvalidInput, "syntax error.*line 1, column 1"),
        ("SELECT 1;\nSELECT 2", InvalidInput, "multiple commands"),
        ("SELECT titel\nFROM documents", InvalidInput, "titel.*line 1, column 8"),
        ("  ", InvalidInput, "no query"),
        ("SELECT 1/0", InvalidInput, "division by zero"),
        ("DELETE FROM features.chunks", Refused, "read-only transaction.*nothing else"),
        ("CREATE TABLE t (a int)", Refused, "nothing else"),
        ("SELECT * FROM serving.api_keys", Refused, "permission denied"),
    ],
)
def test_what_cannot_be_run_is_said_with_the_place_and_the_reason(url, query, kind, says):
    with pytest.raises(kind, match=f"(?s){says}") as refused:
        run_readonly(url, query, limit=5)
    assert refused.value.exit_code == 2


def test_a_query_that_takes_too_long_is_stopped(database, url, role):
    with database.transaction() as connection:
        connection.exec_driver_sql(f"ALTER ROLE {role} SET statement_timeout = '200ms'")
    with pytest.raises(InvalidInput, match="longer than"):
        run_readonly(url, "SELECT pg_sleep(20)", limit=1)


def test_the_role_brings_its_limits_with_it(url):
    shown = {name: run_readonly(url, f"SHOW {name}", limit=1).rows[0][0]
             for name in ("statement_timeout", "default_transaction_read_only", "idle_in_transaction_session_timeout")}  # fmt: skip
    assert shown == {
        "statement_timeout": "30s",
        "default_transaction_read_only": "on",
        "idle_in_transaction_session_timeout": "1min",
    }


def test_making_the_role_again_brings_back_what_was_changed(database, settings, url, ada, role):
    with database.transaction() as connection:
        connection.exec_driver_sql(f"ALTER ROLE {role} PASSWORD 'other' CONNECTION LIMIT 0")
        connection.exec_driver_sql(f"ALTER ROLE {role} SET default_transaction_read_only = off")
    with pytest.raises(ServiceUnavailable):
        run_readonly(url, "SELECT 1", limit=1)
    with database.transaction() as connection:
        ensure_sql_role(connection, ada, role_password(settings, role))
    assert run_readonly(url, "SHOW default_transaction_read_only", limit=1).rows == [("on",)]


def test_two_processes_may_make_the_same_role_at_once(database, settings, ada, role):
    def make(_: int) -> str:
        with database.transaction() as connection:
            return ensure_sql_role(connection, ada, role_password(settings, role))

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(make, range(8))) == {role}


def test_a_role_that_could_pass_by_the_policies_is_refused(database, settings, ada, role):
    password = role_password(settings, API_ROLE)
    with database.transaction() as connection, connection.begin_nested() as undone:
        ensure_sql_role(connection, ada, password)
        connection.exec_driver_sql(f"ALTER ROLE {role} BYPASSRLS")
        with pytest.raises(Refused, match="would not be held to one author"):
            ensure_sql_role(connection, ada, password)
        undone.rollback()
    with database.transaction() as connection, connection.begin_nested() as undone:
        connection.exec_driver_sql(f"GRANT twin_pipeline TO {API_ROLE}")
        with pytest.raises(Refused, match="twin_pipeline"):
            ensure_api_role(connection, password)
        undone.rollback()


def test_no_password_is_stored_or_sent_in_clear(database, settings, ada, role):
    with database.transaction() as connection:
        ensure_sql_role(connection, ada, role_password(settings, role))
        stored = connection.execute(
            text("SELECT rolpassword FROM pg_authid WHERE rolname = :role"), {"role": role}
        ).scalar_one()
    assert stored.startswith("SCRAM-SHA-256$")


def test_the_name_of_a_role_tells_nothing_because_everybody_can_list_roles(ada, role):
    assert role.startswith("twin_sql_")
    assert ada.slug not in role.removeprefix("twin_sql_")
    assert not set(role.removeprefix("twin_sql_")) - set("0123456789abcdef")


def test_the_same_slug_in_two_databases_is_two_roles(database, server, ada, role):
    other = Database(server.url.replace("/twin", "/postgres", 1))
    with other.transaction() as connection:
        assert sql_role(connection, ada.id) != role
    other.close()


def test_a_server_that_does_not_answer_is_a_missing_service(url):
    with pytest.raises(ServiceUnavailable) as missing:
        run_readonly("postgresql://nobody:x@127.0.0.1:1/twin", "SELECT 1", limit=1)
    assert missing.value.exit_code == 3
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect("postgresql://nobody:x@127.0.0.1:1/twin", connect_timeout=2)
