"""`twin apply`, `twin source set`, `twin forget`, `twin backup`: what is described becomes so, shown before it is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from twin_cli import app
from twin_core.described import read_description
from twin_core.errors import InvalidInput
from twin_core.runtime.stores import stores
from twin_core.settings import Settings, settings
from twin_core.store import authors

GOOD = """\
authors:
  ada:
    name: Ada Example
    sources:
      - platform: folder
        locator: ./notes
        schedule: "0 6 * * *"
        consent: her own notes
        options: {include: ["*.md"]}
      - platform: web
        locator: https://ada.example/blog
        consent: her own blog
        paused: true
"""

Twin = Callable[..., tuple[int, str, str]]


@pytest.fixture
def twin(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Twin]:
    """Run a command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("TWIN_DATABASE_URL", database_url)
    monkeypatch.setenv("TWIN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = app.run(arguments)
        said = capsys.readouterr()
        print(said.err)  # shown when the test fails
        return code, said.out, said.err

    yield run
    settings.cache_clear()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    path = tmp_path / "twin.yaml"
    path.write_text(GOOD)
    return path


def changes(said: str) -> list[tuple[str, str]]:
    return [(one["action"], one["what"].split()[0]) for one in json.loads(said)["changes"]]


def test_a_file_is_applied_once_and_the_second_time_there_is_nothing_to_change(twin: Twin, file: Path) -> None:
    code, shown, _ = twin("apply", str(file), "--dry-run")
    assert (code, "add" in shown, "0 6 * * *" in shown) == (0, True, True)
    assert twin("author", "list", "--json")[1].strip() == "[]", "a dry run changes nothing"
    assert changes(twin("apply", str(file), "--yes", "--json")[1]) == [
        ("add", "author"), ("add", "folder"), ("add", "web"),
    ]  # fmt: skip
    assert twin("apply", str(file), "--yes")[1].strip() == "Nothing to change."
    with stores(settings()) as opened, opened.database.transaction() as conn:
        folder, web = sorted(authors.list_sources(conn), key=lambda one: one.platform)
    assert (folder.locator, folder.schedule, folder.options) == (
        str(file.parent / "notes"), "0 6 * * *", {"include": ["*.md"]},
    )  # fmt: skip
    assert (web.paused, web.consent.proof if web.consent else None) == (True, "her own blog")


def test_only_what_differs_is_changed_and_shown_from_what_to_what(twin: Twin, file: Path) -> None:
    twin("apply", str(file), "--yes")
    file.write_text(GOOD.replace("0 6 * * *", "0 7 * * *").replace("Ada Example", "Ada E.").replace("paused: true", ""))
    said = json.loads(twin("apply", str(file), "--yes", "--json")[1])
    assert [(one["action"], one["details"]) for one in said["changes"]] == [
        ("change", ["name: Ada Example -> Ada E."]),
        ("change", ["schedule: 0 6 * * * -> 0 7 * * *"]),
        ("change", ["paused: yes -> no"]),
    ]
    assert changes(twin("apply", str(file), "--dry-run", "--json")[1]) == []


def test_what_the_file_does_not_name_stays_unless_it_is_asked_otherwise(twin: Twin, file: Path) -> None:
    twin("apply", str(file), "--yes")
    file.write_text(GOOD.partition("      - platform: web")[0])
    code, shown, told = twin("apply", str(file), "--yes")
    assert (code, shown.strip()) == (0, "Nothing to change.")
    assert "left as it is: web" in told
    file.write_text(GOOD.partition("      - platform: folder")[0])
    assert changes(twin("apply", str(file), "--dry-run", "--pause-unnamed", "--json")[1]) == [("pause", "folder")]
    assert twin("apply", str(file), "--yes", "--forget-unnamed")[0] == 0
    assert json.loads(twin("source", "list", "--json")[1]) == []


def test_nothing_is_changed_without_a_yes(twin: Twin, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115
    assert twin("apply", str(file))[0] == app.INTERRUPTED
    assert twin("author", "list", "--json")[1].strip() == "[]"


@pytest.mark.parametrize(
    ("change", "line", "field", "what"),
    [
        (("    name: Ada Example\n", ""), 2, "authors.ada.name", "required"),
        (("name: Ada Example", "name: Ada Example\n    age: 36"), 4, "authors.ada.age", "not permitted"),
        (("0 6 * * *", "every day"), 5, "authors.ada.sources.0", "no cron expression"),
        (("platform: web", "platform: telepathy"), 10, "authors.ada.sources.1", "no platform `telepathy`"),
        (("paused: true", "paused: perhaps"), 13, "authors.ada.sources.1.paused", "boolean"),
        (("        consent: her own blog\n", ""), 10, "authors.ada.sources.1.consent", "required"),
        (("  ada:", "  Ada!:"), 2, "authors.Ada!", "cannot be an author's slug"),
        (("https://ada.example/blog", "./notes\n        # twice"), 10, "authors.ada.sources.1", "not a URL"),
        (("name: Ada Example", 'name: "Ada'), 7, "", "no YAML"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_by_line_and_field(
    file: Path, change: tuple[str, str], line: int, field: str, what: str, tmp_path: Path
) -> None:
    file.write_text(GOOD.replace(*change))
    with pytest.raises(InvalidInput) as told:
        read_description(file, Settings(home=tmp_path / "home", _env_file=None))
    assert f"line {line}" in str(told.value), told.value
    assert field in str(told.value)
    assert what in str(told.value)


def test_all_mistakes_are_told_at_once(file: Path, tmp_path: Path) -> None:
    file.write_text(GOOD.replace("0 6 * * *", "every day").replace("platform: web", "platform: telepathy"))
    with pytest.raises(InvalidInput) as told:
        read_description(file, Settings(home=tmp_path / "home", _env_file=None))
    assert len(str(told.value).splitlines()) == 2


def test_a_source_is_set_field_by_field(twin: Twin, file: Path) -> None:
    twin("apply", str(file), "--yes")
    source = next(one for one in json.loads(twin("source", "list", "--json")[1]) if "folder" in json.dumps(one))
    source_id = json.dumps(source).partition('"id": "')[2][:36]
    changed = json.loads(twin("source", "set", source_id, "--schedule", "0 9 * * 1", "--pause", "--json")[1])
    assert (changed["schedule"], changed["paused"], changed["options"]) == ("0 9 * * 1", True, {"include": ["*.md"]})
    changed = json.loads(twin("source", "set", source_id, "--no-schedule", "--resume", "--json")[1])
    assert (changed["schedule"], changed["next_run_at"], changed["paused"]) == (None, None, False)
    assert twin("source", "set", source_id)[0] == 2
    assert twin("source", "set", source_id, "--schedule", "often")[0] == 2
    assert twin("source", "set", source_id, "--option", "colour=red")[0] == 2


def test_backup_forget_everything_and_restore_by_command(twin: Twin, file: Path, tmp_path: Path) -> None:
    (tmp_path / "notes" / "one.md").write_text("# One\n\nA note of mine.\n")
    twin("apply", str(file), "--yes")
    archive = tmp_path / "twin.tar"
    code, shown, _ = twin("backup", str(archive))
    assert (code, "1 authors" in shown) == (0, True)
    assert twin("forget", "--source", "x", "--everything")[0] == 2
    assert twin("forget", "--everything", "--yes")[0] == 2
    code, shown, told = twin("forget", "--author", "ada", "--everything", "--yes", "--json")
    assert code == 0, told
    assert {counted["after"] for counted in json.loads(shown)["stores"].values()} == {0}
    done = json.loads(twin("restore", str(archive), "--json")[1])
    assert done["authors_forgotten"] == 1
    assert twin("author", "list", "--json")[1].strip() == "[]"
