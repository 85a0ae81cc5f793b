"""`twin traces` in a terminal and as a file: answers that are there are listed, shown and taken out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.retrieval.scenario import Given, fill
from tests.store.test_feedback import TEXTS, answer, say
from twin_cli import app
from twin_core.records import Author
from twin_core.settings import Settings
from twin_core.settings import settings as process_settings
from twin_core.store.database import Database

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ada(database: Database) -> Author:
    return fill(database, "ada", [Given(title=f"Knot {n}", text=words) for n, words in enumerate(TEXTS)])


@pytest.fixture
def run(
    database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    for name, value in {"DATABASE_URL": database_url, "HOME": str(settings.home), "ROLE_SECRET": "test"}.items():
        monkeypatch.setenv(f"TWIN_{name}", value)
    process_settings.cache_clear()

    def run(*arguments: str) -> tuple[int, str, str]:
        code = app.run(("traces", *arguments))
        out, err = capsys.readouterr()
        return code, out, err

    yield run
    process_settings.cache_clear()


def test_answers_are_listed_shown_by_the_beginning_of_their_id_and_taken_out(
    database: Database, ada: Author, run: Run, tmp_path: Path
) -> None:
    plain, edited = answer(database, ada), answer(database, ada, "Coil it.", rests_on=(2,), cited=2)
    say(database, ada, edited, verdict="down", edited="With the lay.")

    code, out, _ = run("--author", "ada", "--json")
    assert code == 0
    assert [(row["id"], row["verdict"], row["edited"]) for row in json.loads(out)] == [
        (str(edited), "down", True),
        (str(plain), None, False),
    ]
    assert "How do I coil a line?" in run("--author", "ada", "--feedback", "edited")[1]
    assert "No such answer" in run("--author", "ada", "--outcome", "failed")[1]

    code, out, _ = run("--author", "ada", "show", str(edited)[:13])
    assert code == 0
    for said in ("Coil it.", "Knot 2", "answered", "With the lay."):
        assert said in out

    for name in ("traces.jsonl", "traces.parquet"):
        code, out, _ = run("export", "--author", "ada", str(tmp_path / name))
        assert (code, out.splitlines()[0].split(" in ")[0]) == (0, "2 traces")
    lines = [json.loads(line) for line in (tmp_path / "traces.jsonl").read_text().splitlines()]
    frame = pl.read_parquet(tmp_path / "traces.parquet")
    assert frame.columns == list(lines[0])
    assert frame["trace_id"].to_list() == [line["trace_id"] for line in lines] == [str(plain), str(edited)]
    assert [[one["text"] for one in row] for row in frame["passages"].to_list()] == [list(TEXTS[:2]), [TEXTS[2]]]
    assert lines[1]["passages"][0]["text"] == TEXTS[2]
    assert (lines[1]["verdict"], lines[1]["edited"]) == ("down", "With the lay.")


def test_an_export_of_nothing_still_has_its_columns(ada: Author, run: Run, tmp_path: Path) -> None:
    assert run("export", "--author", "ada", str(tmp_path / "t.parquet"))[0] == 0
    assert {"trace_id", "question", "passages", "cost"} <= set(pl.read_parquet(tmp_path / "t.parquet").columns)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--author", "ada", "--outcome", "fine"], "answered"),
        (["--author", "ada", "--kind", "poem"], "draft"),
        (["show", "--author", "ada", "zz"], "four or more"),
        (["show", "--author", "ada", "0000dead"], "no such answer"),
        (["export", "--author", "ada", "traces.csv"], ".jsonl"),
    ],
)
def test_what_cannot_be_meant_is_said(ada: Author, run: Run, wrong: list[str], said: str) -> None:
    code, _, err = run(*wrong)
    assert code == 2
    assert said in err
