"""Which traces have a copy in MLflow, and which wait for one. Making and deleting copies is not done here.

`serving.traces.mlflow_id` names a copy as `experiment/trace`; GONE once it was deleted there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.store.traces import lock_recording

GONE = "gone"
_COPIED = f"mlflow_id IS NOT NULL AND mlflow_id <> '{GONE}'"
_FORGOTTEN = """
    EXISTS (SELECT FROM serving.trace_passages p JOIN warehouse.forget_requests r ON p.document_id = ANY(r.document_ids)
             WHERE p.trace_id = t.id AND r.author_id = t.author_id AND r.state = 'requested' AND r.receipt IS NOT NULL)
"""
"""What is just being forgotten gets no copy any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A trace without a copy."""

    id: UUID
    at: datetime
    kind: str
    question: str
    answer: str
    outcome: str
    error: str | None
    prompt_version: str
    model: str | None
    engine: str | None
    adapter_id: str | None
    timings: Mapping[str, float]
    usage: Mapping[str, int]
    cost: float | None
    cached_from: UUID | None
    passages: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What was said of an answer that has a copy."""

    id: UUID
    mlflow_id: str
    verdict: str | None
    edited: str | None
    key_id: UUID | None


def counts(conn: Connection) -> int:
    """Traces and words that wait, of all authors."""
    found = conn.execute(
        text(f"""
            SELECT (SELECT count(*) FROM serving.traces t WHERE t.mlflow_id IS NULL AND NOT {_FORGOTTEN})
                 + (SELECT count(*) FROM serving.feedback f JOIN serving.traces t ON t.id = f.trace_id
                     WHERE f.exported_at IS NULL AND {_COPIED})
        """)
    )
    return int(found.scalar_one())


def waiting(conn: Connection, author_id: UUID, *, limit: int) -> list[Waiting]:
    """The author's traces without a copy, the earliest first. Forgetting waits until the transaction ends."""
    lock_recording(conn, author_id, shared=True)
    rows = conn.execute(
        text(f"""
            SELECT t.id, t.at, t.kind, t.question, t.answer, t.outcome, t.error, t.prompt_version, t.model, t.engine,
                   d.adapter_id, t.timings, t.usage, t.cost, t.cached_from, coalesce(p.passages, '[]') AS passages
            FROM serving.traces t
            LEFT JOIN serving.deployments d ON d.id = t.deployment_id
            LEFT JOIN LATERAL (
                SELECT jsonb_agg(jsonb_build_object('document_id', document_id, 'revision_id', revision_id, 'cited', cited,
                           'score', score, 'start', start_at, 'end', end_at, 'text', text) ORDER BY label) AS passages
                FROM serving.trace_passages WHERE trace_id = t.id) p ON true
            WHERE t.author_id = :author AND t.mlflow_id IS NULL AND NOT {_FORGOTTEN}
            ORDER BY t.at, t.id LIMIT :limit
        """),
        {"author": author_id, "limit": limit},
    ).mappings()
    return [Waiting(**row) for row in rows]


def copied(conn: Connection, names: Mapping[UUID, str]) -> None:
    """Note where the copies are: trace id to `experiment/trace`."""
    conn.execute(
        text("UPDATE serving.traces SET mlflow_id = :name WHERE id = :id"),
        [{"id": trace_id, "name": name} for trace_id, name in names.items()],
    )


def words_waiting(conn: Connection, author_id: UUID, *, limit: int) -> list[Word]:
    """What was said of answers that have a copy, and was not passed on."""
    rows = conn.execute(
        text(f"""
            SELECT f.id, t.mlflow_id, f.verdict, f.edited, f.key_id
            FROM serving.feedback f JOIN serving.traces t ON t.id = f.trace_id
            WHERE f.author_id = :author AND f.exported_at IS NULL AND {_COPIED} AND NOT {_FORGOTTEN}
            ORDER BY f.at, f.id LIMIT :limit
        """),
        {"author": author_id, "limit": limit},
    ).mappings()
    return [Word(**row) for row in rows]


def passed_on(conn: Connection, feedback_id: UUID) -> None:
    """Note that a word was passed on."""
    conn.execute(text("UPDATE serving.feedback SET exported_at = now() WHERE id = :id"), {"id": feedback_id})


def of_documents(conn: Connection, document_ids: Sequence[UUID]) -> list[str]:
    """The copies of traces that rest on these documents."""
    rows = conn.execute(
        text(f"""
            SELECT mlflow_id FROM serving.traces WHERE {_COPIED} AND id IN
                   (SELECT trace_id FROM serving.trace_passages WHERE document_id = ANY(CAST(:ids AS uuid[])))
        """),
        {"ids": list(document_ids)},
    )
    return list(rows.scalars())


def of_author(conn: Connection, author_id: UUID) -> list[str]:
    """All copies of an author's traces."""
    rows = conn.execute(
        text(f"SELECT mlflow_id FROM serving.traces WHERE {_COPIED} AND author_id = :author"), {"author": author_id}
    )
    return list(rows.scalars())


def older(conn: Connection, *, texts: datetime | None, whole: datetime | None) -> list[str]:
    """The copies of traces that are to lose their texts, or to go, at these ages."""
    rows = conn.execute(
        text(f"""
            SELECT mlflow_id FROM serving.traces WHERE {_COPIED} AND
                   (at < CAST(:whole AS timestamptz) OR at < CAST(:texts AS timestamptz) AND texts <> 'dropped')
        """),
        {"texts": texts, "whole": whole},
    )
    return list(rows.scalars())


def gone(conn: Connection, names: Sequence[str]) -> None:
    """Note that these copies were deleted."""
    conn.execute(
        text("UPDATE serving.traces SET mlflow_id = :gone WHERE mlflow_id = ANY(:names)"),
        {"gone": GONE, "names": list(names)},
    )
