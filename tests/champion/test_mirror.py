"""MLflow says what the registry says: aliases, tags, model cards; and one that is away is told and stops nothing."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.champion.scenario import BELOW, Bench
from twin_core.champion.judging import judge
from twin_core.champion.mirror import CHALLENGER, CHAMPION, PREVIOUS, mirror, said_of
from twin_core.champion.model_card import card_of
from twin_core.champion.promoting import carry_out
from twin_core.store import adapters, registry
from twin_core.store.adapters import Adapter
from twin_core.store.files import file_store
from twin_core.training.tracking import registered_name

CARD = """---
base_model: tiny
library_name: peft
tags:
- llm-twin
---

# Ann: a twin's adapter (SFT)

## Evaluation

Loss 1.0.

## Limits

- It may state what the author never said.
"""


def promote(bench: Bench, adapter: Adapter, champion: Adapter | None = None) -> None:
    bench.evaluate(adapter, champion=champion)
    assert carry_out(bench.database, bench.author, bench.approve(adapter), settings=bench.settings).state == "done"


def aliases(bench: Bench) -> dict[str, str]:
    with bench.database.transaction() as conn:
        return dict(said_of(conn, bench.author, here=bench.settings).aliases)


def test_aliases_follow_what_serves_what_served_before_and_what_asks_to(bench: Bench) -> None:
    assert aliases(bench) == {}
    first, second, third = (bench.adapter(word) for word in ("one", "two", "three"))
    assert aliases(bench) == {CHALLENGER: third.id}
    promote(bench, first)
    promote(bench, second, champion=first)
    assert aliases(bench) == {CHAMPION: second.id, PREVIOUS: first.id, CHALLENGER: third.id}
    bench.decide(third, "reject", "It sounds like a brochure.")
    assert aliases(bench) == {CHAMPION: second.id, PREVIOUS: first.id}
    with bench.database.transaction() as conn:
        registry.go_back(conn, bench.author.id, "test")
    assert aliases(bench) == {CHAMPION: first.id}, "what was gone back from is no challenger"


def test_tags_tell_the_verdict_the_decision_and_the_taint(bench: Bench) -> None:
    first, second = bench.adapter("one"), bench.adapter("two")
    promote(bench, first)
    bench.evaluate(second, champion=first, safety=BELOW)
    with bench.database.transaction() as conn:
        before = said_of(conn, bench.author, here=bench.settings)
    assert before.tags[first.id]["verdict"] == "better", "of the champion, what was said when it was approved"
    assert "**better**" in before.scorecards[first.id]
    bench.taint()
    with bench.database.transaction() as conn:
        tags = said_of(conn, bench.author, here=bench.settings).tags
    assert tags[first.id] == {
        "verdict": "refused", "decision": "approve: done", "deployment": "serving", "tainted": "true",
    }  # fmt: skip
    assert tags[second.id]["verdict"] == "refused"
    assert tags[second.id]["deployment"] == ""


def test_a_card_gets_the_scorecard_once_there_is_one(bench: Bench) -> None:
    adapter = with_card(bench, "one")
    assert "## Scorecard" not in card(bench, adapter)
    bench.evaluate(adapter)
    text = card(bench, adapter)
    header = text.split("---")[1]
    assert "model-index:" in header
    assert "style: difference from base, 95 % interval +0.200 to +0.600" in header
    assert "| other author | fit | +0.400 | +0.200 to +0.600 |" in text
    assert "**better**" in text
    assert text.index("## Scorecard") < text.index("## Limits") < text.index("never said")


@pytest.mark.slow
def test_mlflow_shows_it_and_shows_it_again_after_going_back(bench: Bench, tmp_path: Path) -> None:
    bench.settings = bench.settings.model_copy(update={"mlflow_url": f"sqlite:///{tmp_path}/mlflow.db"})
    first, second = with_card(bench, "one"), with_card(bench, "two")
    assert mirror(bench.author, bench.settings) is None, "nothing was ever tracked"
    in_mlflow(bench, _REGISTER, *(one.id for one in (first, second)))
    promote(bench, first)
    promote(bench, second, champion=first)
    assert mirror(bench.author, bench.settings) is None
    shown = in_mlflow(bench, _SHOW)
    assert shown["aliases"] == {"champion": "2", "previous": "1"}
    assert {one["tags"]["deployment"] for one in shown["versions"]} == {"serving", "previous"}
    assert all("## Scorecard" in one["description"] for one in shown["versions"])

    with bench.database.transaction() as conn:
        registry.go_back(conn, bench.author.id, "test")
    assert mirror(bench.author, bench.settings) is None
    assert in_mlflow(bench, _SHOW)["aliases"] == {"champion": "1"}


def test_a_server_that_is_away_is_told(bench: Bench) -> None:
    away = bench.settings.model_copy(update={"mlflow_url": "http://127.0.0.1:9"})
    problem = mirror(bench.author, away)
    assert problem is not None
    assert problem.startswith("MLflow does not show this yet: ")
    assert mirror(bench.author, bench.settings.model_copy(update={"mlflow_url": "off"})) is None


def with_card(bench: Bench, word: str) -> Adapter:
    """An adapter that was stored as training stores it."""
    adapter = bench.adapter(word)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in (("adapter_config.json", word), ("README.md", CARD)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
    key = file_store(bench.settings).put(bench.author.id, packed.getvalue(), ending="tar")
    with bench.database.transaction() as conn:
        conn.exec_driver_sql("UPDATE training.adapters SET file_key = %s WHERE id = %s", (key, adapter.id))
        return adapters.adapter_by_id(conn, bench.author.id, adapter.id)


def card(bench: Bench, adapter: Adapter) -> str:
    with bench.database.transaction() as conn:
        decision = judge(conn, bench.author.id, adapter)
        return card_of(conn, bench.author.id, adapter, decision, file_store(bench.settings))


def in_mlflow(bench: Bench, code: str, *arguments: str) -> Any:
    """In a process of its own: MLflow leaves threads and settings behind."""
    given = [sys.executable, "-c", code, str(bench.settings.mlflow_url), registered_name(bench.author.slug), *arguments]
    ended = subprocess.run(given, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout.splitlines()[-1])


_REGISTER = """
import json, sys, mlflow
client, name = mlflow.MlflowClient(sys.argv[1], sys.argv[1]), sys.argv[2]
client.create_registered_model(name)
for adapter in sys.argv[3:]:
    client.create_model_version(name, source="file:///nowhere", tags={"adapter": adapter})
print(json.dumps({}))
"""
_SHOW = """
import json, sys, mlflow
client, name = mlflow.MlflowClient(sys.argv[1], sys.argv[1]), sys.argv[2]
print(json.dumps({
    "aliases": {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()},
    "versions": [{"tags": one.tags, "description": one.description} for one in client.search_model_versions(f"name='{name}'")],
}))
"""
