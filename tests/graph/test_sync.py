"""`twin sync` from the outside: what it prints, what it ends with, and that its run is in Dagster's run list."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.graph.scenario import CONSENT, ROPES, TIDES
from twin_assets.instance import instance
from twin_cli import app
from twin_core.records import Source
from twin_core.runtime import postgres
from twin_core.settings import Settings
from twin_core.settings import settings as settings_of_this_process
from twin_core.store import authors, facts
from twin_core.store.database import Database


@pytest.fixture
def here(settings: Settings, server: postgres.Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """This process set up as a person's: settings in the environment, a Dagster database of its own."""
    name = f"d_{uuid4().hex[:16]}"
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    before, _, after = url.partition("?")
    dagster_url = before.rsplit("/", 1)[0] + "/" + name + ("?" + after if after else "")
    for variable, value in {
        "TWIN_DATABASE_URL": url,
        "TWIN_DAGSTER_DATABASE_URL": dagster_url,
        "TWIN_HOME": str(settings.home),
        "DAGSTER_HOME": "",
        "TWIN_DAGSTER_PG_URL": "",
    }.items():
        monkeypatch.setenv(variable, value)
    settings_of_this_process.cache_clear()
    yield settings_of_this_process()
    settings_of_this_process.cache_clear()
    with psycopg.connect(server.url, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def a_folder(database: Database, path: Path, **files: str) -> Source:
    path.mkdir()
    for name, text in files.items():
        (path / f"{name}.md").write_text(text)
    with database.transaction() as conn:
        author = authors.add_author(conn, slug="ann", name="Ann")
        return authors.add_source(
            conn, author_id=author.id, platform="folder", locator=str(path.resolve()), consent=CONSENT
        )


@pytest.mark.slow
def test_the_run_is_in_the_run_list_and_the_second_one_has_nothing_to_do(
    here: Settings, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_folder(database, tmp_path / "notes", tides=TIDES, ropes=ROPES)

    assert app.run(["sync", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["authors"][0]
    assert first["sources"][0]["fetched"] == 2
    assert first["stages"]["embeddings"]["rows"] == 2

    assert app.run(["sync", "--author", "ann"]) == 0
    assert "Nothing to do: 2 unchanged, 0 cleaned, 0 chunked, 0 embedded." in capsys.readouterr().out

    with instance(here) as dagster:
        runs = dagster.get_runs()
        assert first["run_id"] in {run.run_id for run in runs}
        assert {run.tags["dagster/partition"] for run in runs} == {"ann"}
        assert len(runs) == 2


@pytest.mark.slow
def test_what_failed_is_told_with_its_reason_after_the_rest_was_stored(
    here: Settings, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_folder(database, tmp_path / "notes", tides=TIDES)
    gone = a_folder(database, tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")

    assert app.run(["sync"]) == 1

    said = capsys.readouterr()
    assert "1 documents cleaned" in said.out
    assert str(tmp_path / "gone") in said.err.replace("\n", "")
    assert app.run(["sync", "--source", str(gone.id)]) == 1


def test_a_dry_run_says_what_would_happen_and_stores_nothing(
    here: Settings, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = a_folder(database, tmp_path / "notes", tides=TIDES, ropes=ROPES)

    assert app.run(["sync", "--dry-run", "--json"]) == 0

    (told,) = json.loads(capsys.readouterr().out)
    assert (told["source"]["new"], told["source"]["unchanged"]) == (2, 0)
    with database.transaction() as conn:
        assert facts.totals(conn, source.author_id).documents == 0


def test_an_author_that_is_not_there_is_a_mistake_in_the_command(
    here: Settings, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    with database.transaction() as conn:
        authors.add_author(conn, slug="ann", name="Ann")
    assert app.run(["sync", "--author", "nobody"]) == 2
    assert "ann" in capsys.readouterr().err
    assert app.run(["sync"]) == 2
    assert "twin source add" in capsys.readouterr().err


def test_a_paused_source_is_left_out_of_a_plain_sync(
    here: Settings, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = a_folder(database, tmp_path / "notes", tides=TIDES)
    with database.transaction() as conn:
        authors.pause_source(conn, source.id, paused=True)
    assert app.run(["sync", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert app.run(["sync", "--dry-run", "--json", "--source", str(source.id)[:8]]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1
