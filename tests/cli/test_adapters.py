"""`twin models`, `approve`, `reject`, `rollback`, `evaluate`: what they print, how they end, and what wrong input is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.champion.lora_server import LoraServer
from tests.champion.scenario import BELOW, Bench
from twin_cli import app
from twin_core import settings as settings_module
from twin_core.settings import Settings
from twin_core.store import registry
from twin_core.store.database import Database


@pytest.fixture
def engine() -> Iterator[LoraServer]:
    server = LoraServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bench(
    database: Database, settings: Settings, engine: LoraServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """Adapters of Ann's, and commands that find her database and her server."""
    for name, value in {
        "DATABASE_URL": settings.database_url.get_secret_value() if settings.database_url else "",
        "HOME": str(settings.home),
        "ROLE_SECRET": "test secret",
        "LLM_URL": engine.url,
        "LLM_ENGINE": "vllm",
        "LLM_MODEL": "base",
        "LLM_ADAPTERS": str(tmp_path / "adapters"),
        "MLFLOW_URL": "off",
    }.items():
        monkeypatch.setenv(f"TWIN_{name}", value)
    settings_module.settings.cache_clear()
    yield Bench(database, settings_module.settings())
    settings_module.settings.cache_clear()


@pytest.fixture
def twin(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command on Ann's twin: (exit code, stdout, stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = app.run([*arguments, "--author", "ann"])
        said = capsys.readouterr()
        return code, " ".join(said.out.split()), " ".join(said.err.split())

    return run


def test_without_an_adapter_it_says_how_to_get_one(bench: Bench, twin: Any) -> None:
    assert twin("models") == (0, "No adapter yet. Train one: twin train --author ann", "")
    assert twin("models", "--json") == (0, "[]", "")
    code, _, told = twin("rollback")
    assert (code, "the base model answers already" in told) == (2, True)


def test_approve_serves_rollback_goes_back_and_models_says_which(bench: Bench, twin: Any) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    code, out, told = twin("approve", "v1", "--by", "Ann")
    assert (code, told) == (0, "Bringing v1 up; what serves now answers until it is there.")
    assert out == "v1 serves. Back to what served before: twin rollback --author ann"
    assert bench.serving() == "ann-v1"
    (shown,) = json.loads(twin("models", "--json")[1])
    assert (shown["version"], shown["deployment"], shown["decision"]) == (1, "serving", "approve by Ann (done)")
    assert shown["tainted_at"] is None
    assert "the champion" in twin("models")[1]
    assert twin("rollback", "--reason", "A test.")[:2] == (0, "The base model serves.")
    assert json.loads(twin("models", "--json")[1])[0]["deployment"] == "withdrawn"


def test_approve_and_rollback_print_records_as_json(bench: Bench, twin: Any) -> None:
    first, second = bench.adapter("one"), bench.adapter("two")
    bench.evaluate(first)
    done = json.loads(twin("approve", "1", "--json")[1])
    assert (done["adapter_id"], done["state"], done["decision"]["verdict"]) == (first.id, "done", "better")
    bench.evaluate(second, champion=first)
    twin("approve", "v2")
    assert json.loads(twin("rollback", "--json")[1])["serving"]["served_name"] == "ann-v1"


def test_what_the_rule_refuses_ends_with_2_and_its_reasons_and_leaves_no_decision(bench: Bench, twin: Any) -> None:
    never, fell, few = bench.adapter("one"), bench.adapter("two"), bench.adapter("three")
    bench.evaluate(fell, safety=BELOW)
    bench.evaluate(few, documents=12)
    for key, why in (("v1", "twin evaluate --adapter v1"), ("v2", "guardrail of safety"), ("v3", "--reason")):
        code, out, told = twin("approve", key)
        assert (code, out) == (2, "")
        assert why in told
    with bench.database.transaction() as conn:
        assert [registry.latest_decision(conn, bench.author.id, one.id) for one in (never, fell, few)] == [None] * 3
    assert twin("approve", "v3", "--reason", "I read all twelve.")[0] == 0


def test_an_approval_that_cannot_be_carried_out_ends_with_3_and_stays_open(
    bench: Bench, engine: LoraServer, twin: Any
) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    engine.mute.add("ann-v1")
    code, _, told = twin("approve", "v1")
    assert (code, "answered" in told) == (3, True)
    assert json.loads(twin("models", "--json")[1])[0]["decision"].endswith("(requested)")
    assert bench.serving() is None


def test_reject_records_its_reason_and_needs_one(bench: Bench, twin: Any) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    assert twin("reject", "v1")[0] == 2
    assert twin("reject", "v1", "--reason", " ")[0] == 2
    code, out, _ = twin("reject", "v1", "--reason", "It sounds like a brochure.", "--json")
    done = json.loads(out)
    assert (code, done["verdict"], done["reason"], done["state"]) == (0, "reject", "It sounds like a brochure.", "done")


@pytest.mark.parametrize(
    "command",
    [
        ("approve", "v7"),
        ("reject", "v7", "--reason", "No."),
        ("evaluate", "--adapter", "v7"),
        ("models", "--card", "v7"),
    ],
    ids=lambda command: command[0],
)
def test_an_adapter_that_is_not_there_is_said_to(bench: Bench, twin: Any, command: tuple[str, ...]) -> None:
    code, out, told = twin(*command)
    assert (code, out) == (2, "")
    assert "There is no adapter `v7`. `twin models` lists those there are" in told
    assert app.run([*command, "--author", "nobody"]) == 2


def test_a_tainted_champion_is_said_to_be_one_and_answers_on(bench: Bench, twin: Any) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    twin("approve", "v1")
    bench.taint()
    assert "tainted: a document was forgotten" in twin("models")[1]
    (shown,) = json.loads(twin("models", "--json")[1])
    assert (shown["deployment"], shown["tainted_at"] is not None) == ("serving", True)


def test_a_failing_mlflow_is_told_and_stops_nothing(bench: Bench, twin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    monkeypatch.setenv("TWIN_MLFLOW_URL", "http://127.0.0.1:9")
    settings_module.settings.cache_clear()
    code, out, told = twin("approve", "v1")
    assert (code, "v1 serves." in out) == (0, True)
    assert "MLflow does not show this yet" in told
    assert bench.serving() == "ann-v1"


@pytest.mark.usefixtures("bench")
def test_with_no_adapter_to_measure_it_is_said_how_to_get_one(twin: Any) -> None:
    code, out, told = twin("evaluate")
    assert (code, out) == (2, "")
    assert "There is no adapter of ann yet. Train one: twin train --author ann" in told
