"""Whom a command is about: the only author need not be named, and with two nobody is guessed."""

from __future__ import annotations

import pytest

from twin_cli import app
from twin_core import settings as settings_module
from twin_core.settings import Settings
from twin_core.store import authors
from twin_core.store.database import Database

COMMANDS = [
    ["models"], ["evaluate"], ["approve", "v1"], ["reject", "v1", "--reason", "no"], ["rollback"], ["key", "list"],
    ["key", "create", "--name", "reader"], ["search", "restore"], ["sql", "SELECT 1"], ["ask", "Why?"],
    ["write", "--kind", "post", "A post."], ["documents", "show", "a-note"], ["dataset", "list"], ["train", "--dry-run"],
]  # fmt: skip


@pytest.fixture
def home(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Database:
    assert settings.database_url is not None
    monkeypatch.setenv("TWIN_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("TWIN_HOME", str(settings.home))
    monkeypatch.setenv("TWIN_ROLE_SECRET", "test secret")
    settings_module.settings.cache_clear()
    return database


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_with_two_authors_every_command_asks_whose(
    command: list[str], home: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    with home.transaction() as conn:
        for slug in ("ann", "bob"):
            authors.add_author(conn, slug=slug, name=slug)
    assert app.run(command) == 2
    assert "Whose? Name one with --author: ann, bob." in " ".join(capsys.readouterr().err.split())


def test_the_only_author_need_not_be_named(home: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with home.transaction() as conn:
        authors.add_author(conn, slug="ann", name="Ann")
    assert app.run(["models"]) == 0
    assert "twin train --author ann" in capsys.readouterr().out
    assert app.run(["sql", "SELECT count(*) AS documents FROM analytics.documents", "--csv"]) == 0
    assert capsys.readouterr().out.split() == ["documents", "0"]
    assert app.run(["key", "create", "--name", "reader"]) == 0
