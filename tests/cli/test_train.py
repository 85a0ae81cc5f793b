"""`twin train --dry-run` and `twin compare`, against a real database; training itself is in tests/graph and tests/training."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.store.test_adapters import PAIRS, begin, register
from tests.training.scenario import publish
from twin_cli import app
from twin_cli.train import _changes
from twin_core import settings as settings_module
from twin_core.errors import InvalidInput
from twin_core.settings import Settings
from twin_core.store.database import Database


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TWIN_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("TWIN_HOME", str(settings.home))
    monkeypatch.setenv("TWIN_ROLE_SECRET", "test secret")
    clear()
    yield
    clear()


def clear() -> None:
    settings_module.settings.cache_clear()


def test_a_dry_run_tells_of_every_size_and_opens_no_attempt(database: Database, capsys):
    publish(database, "ada", PAIRS)
    assert app.run(["train", "--author", "ada", "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["examples"] == 4
    assert said["tokens"] > 0
    assert [need["profile"] for need in said["needs"]] == ["tiny", "0.5b", "8b", "14b", "32b", "70b"]
    assert {need["base"].partition("-")[0] for need in said["needs"][:1]} == {"tiny"}
    sizes = [need["parameters"] for need in said["needs"]]
    assert sizes == sorted(sizes)
    assert said["needs"][-1]["minutes"].keys() == {"A100 80 GB", "H100 80 GB"}


def test_without_a_dataset_it_says_how_to_get_one(database: Database, capsys):
    publish(database, "ada", PAIRS)
    assert app.run(["train", "--author", "ada", "--dpo", "--dry-run"]) == 2
    assert "twin dataset build" in capsys.readouterr().err


def test_two_adapters_side_by_side_with_what_differs(database: Database, capsys):
    ada, version = publish(database, "ada", PAIRS)
    for name, fraction in (("a1", 0.5), ("a2", 1.0)):
        register(database, begin(database, ada, version), name, fraction=fraction)
    assert app.run(["compare", "v1", "v2", "--author", "ada"]) == 0
    shown = capsys.readouterr().out
    assert "50%" in shown
    assert "100%" in shown
    assert app.run(["compare", "v1", "v7", "--author", "ada"]) == 2
    assert "twin models" in capsys.readouterr().err


def test_settings_are_changed_by_name():
    assert _changes(["rank=8", "learning_rate=1e-4", "preference.beta=0.5", "peft=none"]) == {
        "rank": 8,
        "learning_rate": 1e-4,
        "preference": {"beta": 0.5},
        "peft": "none",
    }
    with pytest.raises(InvalidInput, match="NAME=VALUE"):
        _changes(["rank"])
