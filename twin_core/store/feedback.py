"""What people say of answers: good, bad, or how it should have read; and the preferences that follow from it.

Every word counts once, the latest of a trace: someone who changes their mind is not a second person. Feedback holds
text of an answer, so it goes with its trace (`purging.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from twin_core.errors import InvalidInput, NotFound
from twin_core.records import Category

Verdict = Literal["up", "down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What was said of one answer, once."""

    id: UUID
    trace_id: UUID
    verdict: Verdict | None
    edited: str | None
    """The answer as it should have been."""
    key_id: UUID | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferred:
    """A pair that a person decided: what is better stands in `chosen`."""

    feedback_id: UUID
    trace_id: UUID
    origin: Literal["edit", "rejection"]
    kind: str
    """`answer`, or the kind of draft that it was."""
    question: str
    """The question, or the brief."""
    chosen: str
    """An edit: the edited answer. A rejection: the author's passage that the answer rested on most."""
    rejected: str
    """The answer that was given."""
    document_id: UUID
    """Of the passage that the answer rested on most, and its revision, category and offsets."""
    revision_id: UUID
    category: Category
    start: int
    end: int
    prompt_version: str
    passages: tuple[str, ...]
    """The passages of the prompt, in the order of their labels."""
    context_document_ids: tuple[UUID, ...]
    """Their documents, the one above included."""
    at: datetime


def give_feedback(
    conn: Connection,
    author_id: UUID,
    trace_id: UUID,
    *,
    verdict: Verdict | None = None,
    edited: str | None = None,
    key_id: UUID | None = None,
) -> UUID:
    """Record what was said of an answer, and return its id.

    Raises NotFound when the trace is not the author's or was forgotten, InvalidInput when nothing is said.
    """
    said = edited.replace("\x00", "").encode("utf-8", "replace").decode().strip() if edited is not None else None
    if verdict is None and not said:
        raise InvalidInput("Say whether the answer was good (`up`, `down`), or how it should have read.")
    # The lock keeps the trace until this is committed: forgetting waits, and then takes both.
    trace = conn.execute(
        text("SELECT answer FROM serving.traces WHERE id = :trace AND author_id = :author FOR KEY SHARE"),
        {"trace": trace_id, "author": author_id},
    ).first()
    if trace is None:
        raise NotFound("There is no such answer. Answers go when a document that they rest on is forgotten.")
    if said is not None and said == trace.answer.strip() and verdict is None:
        raise InvalidInput("The edited text is the answer as it was. Say `up` if it is good as it is.")
    new = uuid4()
    conn.execute(
        text("""
            INSERT INTO serving.feedback (id, author_id, trace_id, verdict, edited, key_id)
            VALUES (:id, :author, :trace, :verdict, :edited, :key)
        """),
        {
            "id": new,
            "author": author_id,
            "trace": trace_id,
            "verdict": verdict,
            "edited": said if said and said != trace.answer.strip() else None,
            "key": key_id,
        },
    )
    return new


def feedback_of(conn: Connection, author_id: UUID, trace_ids: Sequence[UUID] | None = None) -> list[Feedback]:
    """What was said, the latest first: of these answers, or of all."""
    rows = conn.execute(
        text("""
            SELECT id, trace_id, verdict, edited, key_id, at FROM serving.feedback
            WHERE author_id = :author AND (CAST(:traces AS uuid[]) IS NULL OR trace_id = ANY(CAST(:traces AS uuid[])))
            ORDER BY at DESC, id
        """),
        {"author": author_id, "traces": None if trace_ids is None else list(trace_ids)},
    ).mappings()
    return [Feedback(**row) for row in rows]


def preferred(conn: Connection, author_id: UUID) -> list[Preferred]:
    """The pairs that people's feedback gives, the earliest first. Only answers that rest on a passage give one.

    An edit gives one whatever the verdict beside it. A `down` without an edit gives one against the passage that the
    answer rested on most: cited before not cited, then by score; for a draft no passage is what it should have been.
    A draft that was given pages of others gives none: its edited text may hold their words.
    """
    rows = conn.execute(
        text("""
            WITH latest AS (
                SELECT DISTINCT ON (trace_id) * FROM serving.feedback
                WHERE author_id = :author ORDER BY trace_id, at DESC, id
            ), ranked AS (
                SELECT p.*, row_number() OVER (PARTITION BY p.trace_id ORDER BY p.cited DESC, p.score DESC, p.label) AS place
                FROM serving.trace_passages p WHERE p.author_id = :author
            ), context AS (
                SELECT trace_id, array_agg(text ORDER BY label) AS passages,
                       array_agg(DISTINCT document_id) AS documents
                FROM ranked GROUP BY trace_id
            )
            SELECT f.id AS feedback_id, f.trace_id, f.edited, f.at, t.question, t.answer, t.prompt_version,
                   t.kind,
                   p.document_id, p.revision_id, p.text, p.start_at, p.end_at, d.category, c.passages, c.documents
            FROM latest f
            JOIN serving.traces t ON t.id = f.trace_id
            JOIN ranked p ON p.trace_id = f.trace_id AND p.place = 1
            JOIN context c ON c.trace_id = f.trace_id
            JOIN warehouse.documents d ON d.id = p.document_id
            WHERE (f.edited IS NOT NULL OR f.verdict = 'down' AND t.kind = 'answer') AND trim(t.answer) <> ''
              AND t.kind <> 'outline' AND t.links = '[]'
            ORDER BY f.at, f.id
        """),
        {"author": author_id},
    )
    return [
        Preferred(
            feedback_id=row.feedback_id,
            trace_id=row.trace_id,
            origin="rejection" if row.edited is None else "edit",
            kind=row.kind,
            question=row.question,
            chosen=row.text if row.edited is None else row.edited,
            rejected=row.answer,
            document_id=row.document_id,
            revision_id=row.revision_id,
            category=Category(row.category),
            start=row.start_at,
            end=row.end_at,
            prompt_version=row.prompt_version,
            passages=tuple(row.passages),
            context_document_ids=tuple(row.documents),
            at=row.at,
        )
        for row in rows
    ]
