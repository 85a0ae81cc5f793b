"""Copies of traces in a real MLflow store: made afterwards, with what was said of them, and gone with what is forgotten."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid5

import pytest
from sqlalchemy import text

from tests.conftest import free_port
from tests.retrieval.scenario import Given, fill
from tests.store.test_feedback import TEXTS, answer, say
from twin_core import forgetting
from twin_core.errors import ServiceUnavailable
from twin_core.monitoring import mlflow_traces, upkeep
from twin_core.monitoring.mlflow_traces import Copied
from twin_core.records import Author
from twin_core.settings import Settings
from twin_core.store.database import Database
from twin_core.warehouse.postgres import PostgresWarehouse

pytestmark = pytest.mark.slow  # MLflow takes ten seconds to import, and as long to make its tables
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def ada(database: Database) -> Author:
    return fill(database, "ada", [Given(title=f"Knot {n}", text=words) for n, words in enumerate(TEXTS)])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "mlflow.db"
    import mlflow

    mlflow.set_tracking_uri(None)


@pytest.fixture
def settings(settings: Settings, store: Path) -> Settings:
    return settings.model_copy(update={"trace_mlflow": "texts", "mlflow_url": f"sqlite:///{store}"})


def found(settings: Settings) -> list:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=settings.mlflow_url)
    experiment = client.get_experiment_by_name("ada-answers")
    return (
        [] if experiment is None else list(client.search_traces([experiment.experiment_id], order_by=["timestamp ASC"]))
    )


def timed(database: Database, trace: UUID) -> None:
    with database.transaction() as conn:
        conn.execute(
            text("""UPDATE serving.traces SET usage = '{"prompt_tokens": 11, "completion_tokens": 4}', at = :at,
                    timings = '{"search": 0.25, "first_token": 1.0, "total": 2.0}' WHERE id = :id"""),
            {"id": trace, "at": NOW},
        )


def test_a_trace_is_copied_once_with_its_steps_and_takes_what_is_said_of_it_until_it_is_forgotten(
    database: Database, ada: Author, settings: Settings, store: Path
) -> None:
    first, second = answer(database, ada), answer(database, ada, "Salt it.", rests_on=(2,))
    timed(database, first)
    say(database, ada, first, verdict="down", edited="With the lay.")
    assert upkeep.due(database, settings, NOW) == "2 traces and verdicts wait to be copied to MLflow"
    assert upkeep.tidy(database, settings, NOW).copied == Copied(traces=2, words=1)
    assert upkeep.due(database, settings, NOW) is None
    assert upkeep.tidy(database, settings, NOW).copied == Copied()

    one, other = found(settings)
    assert (one.info.tags["twin.trace"], other.info.tags["twin.trace"]) == (str(first), str(second))
    root, *steps = one.data.spans
    assert (root.inputs, root.outputs) == ({"question": "How do I coil a line?"}, {"answer": "Just coil it."})
    assert [(step.name, step.span_type) for step in steps] == [
        ("search", "RETRIEVER"), ("first_token", "LLM"), ("total", "LLM"),
    ]  # fmt: skip
    assert [round((step.end_time_ns - step.start_time_ns) / 1e9, 2) for step in steps] == [0.25, 0.75, 1.0]
    assert root.end_time_ns == int(NOW.timestamp() * 1e9)
    assert [passage["page_content"] for passage in steps[0].outputs] == list(TEXTS[:2])
    assert steps[0].outputs[0]["metadata"]["document_id"] == str(uuid5(ada.id, "document 0"))
    assert one.info.token_usage == {"input_tokens": 11, "output_tokens": 4, "total_tokens": 15}
    (said,) = one.info.assessments
    assert (said.name, said.value, said.rationale) == ("verdict", False, "With the lay.")

    say(database, ada, second, verdict="up")
    assert upkeep.tidy(database, settings, NOW).copied == Copied(words=1)

    receipt = forgetting.forget(
        database, PostgresWarehouse(database), ada, [uuid5(ada.id, "document 0")], settings=settings
    )
    assert receipt.stores["MLflow's copies of answers"] == forgetting.Counted(before=1, after=0)
    assert [trace.info.tags["twin.trace"] for trace in found(settings)] == [str(second)]
    held = "\n".join(sqlite3.connect(store).iterdump())
    assert "Salt it." in held
    for words in (*TEXTS[:2], "Just coil it.", "With the lay."):
        assert words not in held, words

    aged = settings.model_copy(update={"trace_texts_days": 1})
    upkeep.tidy(database, aged, datetime.now(UTC) + timedelta(days=2))
    assert found(settings) == []


def test_figures_alone_carry_no_text(database: Database, ada: Author, settings: Settings, store: Path) -> None:
    trace = answer(database, ada)
    timed(database, trace)
    say(database, ada, trace, edited="With the lay.")
    assert mlflow_traces.copy(database, settings.model_copy(update={"trace_mlflow": "figures"})) == Copied(
        traces=1, words=1
    )
    held = "\n".join(sqlite3.connect(store).iterdump())
    for words in (*TEXTS, "Just coil it.", "With the lay.", "How do I coil a line?"):
        assert words not in held, words
    (copied,) = found(settings)
    assert copied.info.tags["twin.outcome"] == "answered"


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}", "postgresql+psycopg2://me@127.0.0.1:{}/mlflow"])
def test_an_mlflow_that_is_away_says_so_and_nothing_is_lost(
    database: Database, ada: Author, settings: Settings, address: str
) -> None:
    answer(database, ada)
    away = settings.model_copy(update={"mlflow_url": address.format(free_port())})
    with pytest.raises(ServiceUnavailable, match="MLflow"):
        mlflow_traces.copy(database, away)
    assert mlflow_traces.copy(database, settings) == Copied(traces=1)


def test_it_is_off_by_default_and_asks_nothing(database: Database, ada: Author, settings: Settings) -> None:
    answer(database, ada)
    off = settings.model_copy(update={"trace_mlflow": Settings.model_fields["trace_mlflow"].default})
    assert upkeep.due(database, off, NOW) is None
    assert mlflow_traces.copy(database, off) == Copied()
