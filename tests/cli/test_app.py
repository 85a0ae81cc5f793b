"""The `twin` command as a whole: its table of commands, what an error looks like, and what it costs to ask for help."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types
from collections.abc import Iterator

import psycopg
import pytest
import typer

from twin_cli import app
from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.settings import settings


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("TWIN_DEBUG", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module with one command, listed as `twin probe`. Tests set its `raises`."""
    module = types.ModuleType("probe_command")
    module.raises = None  # type: ignore[attr-defined]

    def probe(code: int = 0) -> None:
        """Ends as it is told."""
        if module.raises is not None:
            raise module.raises
        raise typer.Exit(code)

    module.probe = probe  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "probe_command", module)
    monkeypatch.setitem(app.COMMANDS, "probe", app.Entry("probe_command:probe", "Probe.", app.RUNNING))
    return module


@pytest.mark.parametrize("name", list(app.COMMANDS))
def test_every_command_of_the_table_exists_and_explains_itself(name: str) -> None:
    entry = app.COMMANDS[name]
    command = app.load(name, entry)
    assert command.name == name
    assert command.help or getattr(command, "commands", None)
    assert entry.help.endswith(".")
    assert len(entry.help) < 80


def test_help_names_every_command_and_imports_none_of_them() -> None:
    code = (
        "import sys; from twin_cli.app import run; run(['--help']);"
        "heavy = {'rich', 'psycopg', 'pydantic', 'sqlalchemy', 'numpy', 'dagster', 'torch', 'twin_cli.services'};"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in app.COMMANDS:
        assert f"  {name} " in done.stdout


def test_a_misspelt_command_is_told_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["statsu"]) == 2
    assert "status" in capsys.readouterr().err


def test_wrong_options_and_missing_commands_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["down", "--gently"]) == 2
    assert "--gently" in capsys.readouterr().err
    assert app.run([]) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("There is no author `ann`."), 2),
        (ServiceUnavailable("Postgres does not answer."), 3),
        (psycopg.OperationalError("connection refused\nis it running?"), 3),
        (KeyboardInterrupt(), 130),
        (ValueError("an accident"), 1),
    ],
)
def test_an_error_becomes_one_paragraph_and_an_exit_code(
    command: types.ModuleType, error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    command.raises = error  # type: ignore[attr-defined]
    assert app.run(["probe"]) == code
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert said.out == ""
    assert len(said.err.strip().splitlines()) <= 1


def test_debug_shows_where_an_error_came_from(
    command: types.ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command.raises = InvalidInput("no")  # type: ignore[attr-defined]
    monkeypatch.setenv("TWIN_DEBUG", "1")
    assert app.run(["probe"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_command_ends_with_the_code_it_says(command: types.ModuleType) -> None:
    assert inspect.getdoc(command.probe)
    assert [app.run(["probe", "--code", str(code)]) for code in (0, 1, 3)] == [0, 1, 3]


def test_a_broken_setting_is_named_and_its_value_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWIN_API_PORT", "secret-looking")
    assert app.run(["status"]) == 2
    said = capsys.readouterr().err
    assert "TWIN_API_PORT" in said
    assert "secret-looking" not in said


def test_a_reader_that_leaves_early_is_no_error() -> None:
    code = 'from twin_cli.app import main; main(["--help"])'
    done = subprocess.run(
        f"{sys.executable} -c '{code}' | head -1", shell=True, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("Usage: twin")
    assert done.stderr == ""
