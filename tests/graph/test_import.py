"""`twin import` from the outside: what it shows, what it stores, what it ends with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.collect.exports import builders
from tests.graph.test_sync import here  # noqa: F401 - a fixture
from twin_cli import app, imports
from twin_core.records import Author
from twin_core.settings import Settings
from twin_core.store import authors, facts
from twin_core.store.database import Database

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def jane(here: Settings, database: Database) -> Author:  # noqa: F811
    with database.transaction() as conn:
        return authors.add_author(conn, slug="jane", name="Jane")


def stored(database: Database, author: Author) -> int:
    with database.transaction() as conn:
        return facts.totals(conn, author.id).documents


def test_a_dry_run_shows_what_is_there_and_stores_nothing(
    jane: Author, database: Database, tmp_path: Path, capsys: Capture
) -> None:
    path = builders.zipped(builders.linkedin(tmp_path / "l"), tmp_path / "linkedin.zip")
    assert app.run(["import", "--author", "jane", str(path), "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "export:Jane Doe" in said.out
    (share,) = [line.split() for line in said.out.splitlines() if " share " in line]
    assert share[-5:] == ["2", "2024-03-01", "2024-03-03", "1", "0"]
    assert "a bare reshare" in said.err
    assert stored(database, jane) == 0
    with database.transaction() as conn:
        assert authors.list_sources(conn, jane.id) == []


@pytest.mark.slow
def test_an_import_is_a_run_like_any_other_and_the_second_finds_nothing_new(
    jane: Author, database: Database, tmp_path: Path, capsys: Capture
) -> None:
    everything = tmp_path / "downloads"
    builders.zipped(builders.linkedin(tmp_path / "l"), everything.with_name("l.zip"))
    builders.medium(everything / "medium")
    builders.x(everything / "x")
    assert app.run(["import", "--author", "jane", str(everything), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["platform"]: one["locator"] for one in told["found"]} == {
        "medium": "export:jane.doe",
        "x": "export:jane_doe",
    }
    assert told["found"][0]["kinds"]["story"]["found"] == 2
    assert sum(one["fetched"] for one in told["refreshed"][0]["sources"]) == 7
    assert told["refreshed"][0]["stages"]["embeddings"]["rows"] == 7
    assert stored(database, jane) == 7
    with database.transaction() as conn:
        sources = authors.list_sources(conn, jane.id)
    assert all(one.consent is not None and "SHA-256" in one.consent.proof for one in sources)

    assert app.run(["import", "--author", "jane", str(everything)]) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert app.run(["sync", "--author", "jane"]) == 0
    assert "has not changed since it was imported: 5 items stand" in capsys.readouterr().err
    assert stored(database, jane) == 7


def test_a_chat_whose_author_is_not_clear_is_refused_with_the_names(
    jane: Author, database: Database, tmp_path: Path, capsys: Capture
) -> None:
    folder = builders.telegram(tmp_path / "t", whole=False)
    assert app.run(["import", "--author", "jane", str(folder), "--dry-run"]) == 2
    assert "--as NAME. There are: Bob, Jane." in capsys.readouterr().err.replace("\n", " ")
    assert app.run(["import", "--author", "jane", str(folder), "--dry-run", "--as", "Jane"]) == 0


def test_files_that_anybody_can_have_need_a_claim(
    jane: Author, database: Database, tmp_path: Path, capsys: Capture
) -> None:
    folder = builders.papers(tmp_path / "papers")
    assert app.run(["import", "--author", "jane", str(folder)]) == 2
    assert "--mine" in capsys.readouterr().err
    assert stored(database, jane) == 0


def test_two_exports_of_one_account_are_read_one_after_the_other_the_older_first(
    jane: Author,
    tmp_path: Path,
    here: Settings,  # noqa: F811
) -> None:
    for name, at in (("new", 1_710_000_000), ("old", 1_700_000_000)):
        for path in [builders.medium(tmp_path / name), *(tmp_path / name).rglob("*")]:
            os.utime(path, (at, at))
    builders.x(tmp_path / "x")
    first, second = imports.rounds(imports.look(tmp_path, [], jane, [], here))
    assert {one.found.inside for one in first} == {"old", "x"}
    assert [one.found.inside for one in second] == ["new"]


@pytest.mark.slow
def test_what_could_not_be_read_is_told_and_the_rest_is_stored(
    jane: Author, database: Database, tmp_path: Path, capsys: Capture
) -> None:
    folder = builders.medium(tmp_path / "m")
    next((folder / "posts").glob("*3f2a*")).write_bytes(bytes(50))
    assert app.run(["import", "--author", "jane", str(folder)]) == 1
    assert "binary file" in capsys.readouterr().err
    assert stored(database, jane) == 1


def test_a_path_that_is_nothing_is_a_mistake_in_the_command(
    jane: Author, database: Database, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    assert app.run(["import", "--author", "jane", str(tmp_path / "picture.png")]) == 2
    assert "What is looked for" in capsys.readouterr().err
    assert app.run(["import", "--author", "jane", str(tmp_path / "missing.zip")]) == 2
