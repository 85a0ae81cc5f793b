"""Copies of traces in MLflow: an experiment per author, a span per step, and what people said of it.

Made afterwards from what is stored, never while somebody waits for an answer: an MLflow that is slow or away is nobody's
trouble but its own, and what it missed is copied when it is back. A copy that was written while the note of it failed is
written again: MLflow gives the ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from twin_core.errors import ServiceUnavailable
from twin_core.records import Author
from twin_core.runtime.mlflow_store import experiment_id, require_mlflow, tracking_uri
from twin_core.settings import Settings
from twin_core.store import trace_copies as store
from twin_core.store.authors import list_authors
from twin_core.store.database import Database
from twin_core.store.trace_copies import Waiting, Word

if TYPE_CHECKING:
    from mlflow.entities import LiveSpan

LOT = 50
"""Traces copied in one transaction."""
MOST = 1_000
"""Of one author in one round."""
KINDS = {"search": "RETRIEVER", "material": "RETRIEVER", "first_token": "LLM", "total": "LLM"}
"""What MLflow calls the steps; others are CHAIN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What one round copied."""

    traces: int = 0
    words: int = 0


def experiment_of(author: Author) -> str:
    """The name of the experiment that holds an author's answers."""
    return f"{author.slug}-answers"


def due(database: Database, settings: Settings) -> int:
    """How much waits to be copied; 0 where no copies are made."""
    if not _wanted(settings):
        return 0
    with database.transaction() as conn:
        return store.counts(conn)


def copy(database: Database, settings: Settings) -> Copied:
    """Copy what waits. Raises ServiceUnavailable when MLflow does not answer; what was copied until then is noted."""
    if not _wanted(settings):
        return Copied()
    uri = require_mlflow(settings)
    import mlflow
    from mlflow.exceptions import MlflowException

    with database.transaction() as conn:
        authors = list_authors(conn)
    traces = words = 0
    try:
        mlflow.set_tracking_uri(uri)
        for author in authors:
            traces += _traces(database, author, settings)
            words += _words(database, author, settings)
    except (MlflowException, SQLAlchemyError) as error:
        raise ServiceUnavailable(
            "MLflow does not take copies of answers. Nothing is lost: they are copied when it does. Check TWIN_MLFLOW_URL."
        ) from error
    return Copied(traces=traces, words=words)


def _wanted(settings: Settings) -> bool:
    return settings.trace_mlflow != "off" and tracking_uri(settings) is not None


def _traces(database: Database, author: Author, settings: Settings) -> int:
    import mlflow

    done, experiment = 0, ""
    while done < MOST:
        with database.transaction() as conn:
            lot = store.waiting(conn, author.id, limit=LOT)
            if not lot:
                break
            experiment = experiment or experiment_id(settings, experiment_of(author))
            names = {
                one.id: f"{experiment}/{_write(one, experiment, author, texts=settings.trace_mlflow == 'texts')}"
                for one in lot
            }
            mlflow.flush_trace_async_logging()
            store.copied(conn, names)
        done += len(lot)
    return done


def _write(trace: Waiting, experiment: str, author: Author, *, texts: bool) -> str:
    """Write one trace, with the times at which it really happened. Returns MLflow's id."""
    import mlflow

    steps = sorted(trace.timings.items(), key=lambda step: step[1])
    seconds = steps[-1][1] if steps else 0.0
    began = _nanoseconds(trace, -seconds)
    root = mlflow.start_span_no_context(
        name=trace.kind,
        span_type="CHAIN",
        experiment_id=experiment,
        start_time_ns=began,
        inputs={"question": trace.question} if texts else None,
        attributes=_attributes(trace),
        tags={"twin.trace": str(trace.id), "twin.author": author.slug, "twin.outcome": trace.outcome},
    )
    at = began
    for name, until in steps:
        ended = began + int(until * 1e9)
        _step(root, name, (at, ended), trace, texts=texts)
        at = ended
    status = "ERROR" if trace.outcome == "failed" else "OK"
    root.end(outputs={"answer": trace.answer} if texts else None, status=status, end_time_ns=max(at, began + 1))
    return str(root.trace_id)


def _step(root: LiveSpan, name: str, times: tuple[int, int], trace: Waiting, *, texts: bool) -> None:
    import mlflow

    span = mlflow.start_span_no_context(
        name=name, span_type=KINDS.get(name, "CHAIN"), parent_span=root, start_time_ns=times[0]
    )
    outputs: Any = None
    if KINDS.get(name) == "RETRIEVER":
        outputs = [
            {
                "page_content": passage["text"] if texts else "",
                "metadata": {key: value for key, value in passage.items() if key != "text"},
            }
            for passage in trace.passages
        ]
    if name == "total" and trace.usage:
        counted = {
            "input_tokens": trace.usage["prompt_tokens"],
            "output_tokens": trace.usage["completion_tokens"],
        }
        span.set_attribute("mlflow.chat.tokenUsage", counted | {"total_tokens": sum(counted.values())})
    span.end(outputs=outputs, end_time_ns=max(times[1], times[0] + 1))


def _attributes(trace: Waiting) -> dict[str, Any]:
    said = {
        "outcome": trace.outcome,
        "prompt_version": trace.prompt_version,
        "model": trace.model,
        "engine": trace.engine,
        "adapter": trace.adapter_id,
        "cost": trace.cost,
        "cached_from": str(trace.cached_from) if trace.cached_from else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _nanoseconds(trace: Waiting, seconds: float) -> int:
    return int((trace.at + timedelta(seconds=seconds)).timestamp() * 1e9)


def _words(database: Database, author: Author, settings: Settings) -> int:
    with database.transaction() as conn:
        waiting = store.words_waiting(conn, author.id, limit=MOST)
    for word in waiting:
        _say(word, texts=settings.trace_mlflow == "texts")
        with database.transaction() as conn:
            store.passed_on(conn, word.id)
    return len(waiting)


def _say(word: Word, *, texts: bool) -> None:
    import mlflow
    from mlflow.entities import AssessmentSource

    mlflow.log_feedback(
        trace_id=word.mlflow_id.partition("/")[2],
        name="verdict" if word.verdict else "edited",
        value=word.verdict == "up" if word.verdict else True,
        source=AssessmentSource(source_type="HUMAN", source_id=f"key {word.key_id}" if word.key_id else "author"),
        rationale=word.edited if texts else None,
        metadata={"twin.feedback": str(word.id)},
    )
