"""Traces: one answered request each, with the passages it rested on, kept as they were.

Written by `writing/`, read by the views of `analytics` and by monitoring. A trace holds text (question, answer,
passages), so forgetting a document deletes the traces that rest on it: see `purging.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import bindparam

TraceOutcome = Literal["answered", "retrieval_only", "interrupted", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePassage:
    """A passage as it was shown to the model. `text == cleaned text of the revision [start:end]`."""

    label: int
    chunk_id: UUID
    document_id: UUID
    revision_id: UUID
    start: int
    end: int
    text: str
    score: float
    cited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One request that was answered, in whole, in part or with passages alone."""

    id: UUID
    author_id: UUID
    question: str
    answer: str
    outcome: TraceOutcome
    prompt_version: str
    model: str | None
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds: search, first_token, total."""
    usage: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None
    passages: Sequence[TracePassage] = ()


_INSERT = text("""
    INSERT INTO serving.traces (id, author_id, question, answer, outcome, prompt_version, model, timings, usage, error)
    VALUES (:id, :author_id, :question, :answer, :outcome, :prompt_version, :model, :timings, :usage, :error)
""").bindparams(bindparam("timings", type_=JSONB), bindparam("usage", type_=JSONB))

_INSERT_PASSAGES = text("""
    INSERT INTO serving.trace_passages
        (trace_id, author_id, label, chunk_id, document_id, revision_id, start_at, end_at, text, score, cited)
    VALUES (:trace_id, :author_id, :label, :chunk_id, :document_id, :revision_id, :start_at, :end_at, :text, :score,
            :cited)
""")


def record_trace(conn: Connection, trace: Trace) -> bool:
    """Store a trace with its passages. Under row-level security, the transaction's author must be the trace's.

    False, and nothing stored, when a document was forgotten while its passage was being answered from: a trace that
    rests on it would bring its text back.
    """
    documents = {passage.document_id for passage in trace.passages}
    there = conn.execute(
        text("SELECT count(*) FROM warehouse.documents WHERE author_id = :author_id AND id = ANY(:ids)"),
        {"author_id": trace.author_id, "ids": list(documents)},
    ).scalar_one()
    if there < len(documents):
        return False
    conn.execute(
        _INSERT,
        {
            "id": trace.id,
            "author_id": trace.author_id,
            "question": _storable(trace.question),
            "answer": _storable(trace.answer),
            "outcome": trace.outcome,
            "prompt_version": trace.prompt_version,
            "model": trace.model,
            "timings": dict(trace.timings),
            "usage": dict(trace.usage),
            "error": _storable(trace.error) if trace.error is not None else None,
        },
    )
    rows = [
        {
            "trace_id": trace.id,
            "author_id": trace.author_id,
            "label": passage.label,
            "chunk_id": passage.chunk_id,
            "document_id": passage.document_id,
            "revision_id": passage.revision_id,
            "start_at": passage.start,
            "end_at": passage.end,
            "text": passage.text,
            "score": passage.score,
            "cited": passage.cited,
        }
        for passage in trace.passages
    ]
    if rows:
        conn.execute(_INSERT_PASSAGES, rows)
    return True


def _storable(value: str) -> str:
    """Postgres stores no NUL, and a lone surrogate is no text."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode()
