"""Traces: one answer or draft each, with the passages it rested on, kept as they were.

Written by `writing/recording.py`; reading them is in `traced.py`, their figures in `monitor.py`. A trace holds text
(question, answer, passages), so forgetting a document deletes the traces that rest on it, and those that go on from
them: see `purging.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import bindparam

from twin_core.errors import NotFound
from twin_core.records import Category, Passage, SearchFilters

TraceOutcome = Literal["answered", "retrieval_only", "interrupted", "failed"]
TraceKind = Literal["answer", "outline", "post", "article", "thread", "reply", "code"]
Retrieval = Literal["off", "fast", "full"]
Texts = Literal["whole", "redacted", "dropped"]
"""Whether the texts of a trace are kept as they were, with personal data replaced, or not at all."""


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
class TraceCandidate:
    """A chunk that the search returned, whether or not it came into the prompt."""

    rank: int
    """1 is best."""
    chunk_id: UUID
    document_id: UUID
    score: float
    legs: Mapping[str, int]
    """Rank in each leg that found it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLink:
    """A page of other people's, as it was shown to the model."""

    label: int
    url: str
    title: str
    text: str
    """What was quoted of it."""
    characters: int
    """Of its whole main text."""
    written_at: str | None
    """ISO 8601."""
    cited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One request that was answered, in whole, in part or with passages alone."""

    id: UUID
    author_id: UUID
    question: str
    """The question, or the brief."""
    answer: str
    outcome: TraceOutcome
    prompt_version: str
    model: str | None
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds: search, first_token, total."""
    usage: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None
    passages: Sequence[TracePassage] = ()
    kind: TraceKind = "answer"
    parent_id: UUID | None = None
    """The trace it goes on from: the outline of a draft, the draft of a revision."""
    instruction: str | None = None
    """What a revision was told to change."""
    links: Sequence[TraceLink] = ()
    retrieval: Retrieval = "fast"
    queries: Sequence[str] = ()
    """What was searched for beside the question itself."""
    filters: Mapping[str, object] = field(default_factory=dict)
    """What the search was narrowed to; see `kept_filters`."""
    candidates: Sequence[TraceCandidate] = ()
    engine: str | None = None
    """Of the language model that was asked; None when none was."""
    deployment_id: UUID | None = None
    """The adapter in that engine; None when the base model was asked."""
    cost: float | None = None
    """By the settings' prices; None when nobody counted tokens."""
    texts: Texts = "whole"
    cached_from: UUID | None = None
    """The answer that this one repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDraft:
    """A draft that was recorded, with all that it was written from."""

    id: UUID
    kind: TraceKind
    brief: str
    text: str
    outcome: TraceOutcome
    passages: Sequence[Passage]
    """Labelled from 1 in this order."""
    cited: frozenset[int]
    """The labels that it names."""
    links: Sequence[TraceLink]
    texts: Texts
    prompt_version: str
    model: str | None
    engine: str | None
    deployment_id: UUID | None


_INSERT = text("""
    INSERT INTO serving.traces (id, author_id, question, answer, outcome, prompt_version, model, timings, usage, error,
                                kind, parent_id, instruction, links, retrieval, queries, filters, engine, deployment_id,
                                cost, texts, cached_from)
    VALUES (:id, :author_id, :question, :answer, :outcome, :prompt_version, :model, :timings, :usage, :error, :kind,
            (SELECT id FROM serving.traces WHERE id = :parent_id AND author_id = :author_id), :instruction, :links,
            :retrieval, :queries, :filters, :engine, :deployment_id, :cost, :texts, :cached_from)
""").bindparams(*(bindparam(name, type_=JSONB) for name in ("timings", "usage", "links", "filters")))

_INSERT_PASSAGES = text("""
    INSERT INTO serving.trace_passages
        (trace_id, author_id, label, chunk_id, document_id, revision_id, start_at, end_at, text, score, cited)
    VALUES (:trace_id, :author_id, :label, :chunk_id, :document_id, :revision_id, :start_at, :end_at, :text, :score,
            :cited)
""")

_INSERT_CANDIDATES = text("""
    INSERT INTO serving.trace_candidates (trace_id, author_id, rank, chunk_id, document_id, score, legs)
    SELECT :trace_id, :author_id, :rank, :chunk_id, d.id, :score, :legs
    FROM warehouse.documents d WHERE d.id = :document_id AND d.author_id = :author_id
""").bindparams(bindparam("legs", type_=JSONB))


_RECORDING = 7_101
"""Sets these locks apart from any others that take two numbers."""


def kept_filters(filters: SearchFilters, preferred: SearchFilters | None = None) -> dict[str, object]:
    """What a search was narrowed to, and what it preferred, as a trace keeps it: only what was set."""
    said: dict[str, object] = {
        "categories": [category.value for category in filters.categories],
        "source_ids": [str(source_id) for source_id in filters.source_ids],
        "written_from": filters.written_from.isoformat() if filters.written_from else None,
        "written_to": filters.written_to.isoformat() if filters.written_to else None,
        "preferred": kept_filters(preferred) if preferred else None,
    }
    return {name: value for name, value in said.items() if value}


def kept_candidates(found: Sequence[Passage]) -> list[TraceCandidate]:
    """What a search returned, best first, as a trace keeps it."""
    return [
        TraceCandidate(
            rank=rank,
            chunk_id=one.chunk_id,
            document_id=one.document_id,
            score=one.score,
            legs=dict(one.legs),
        )
        for rank, one in enumerate(found, start=1)
    ]


def record_trace(conn: Connection, trace: Trace) -> bool:
    """Store a trace with its passages. Under row-level security, the transaction's author must be the trace's.

    False, and nothing stored, when a document is or was forgotten while its passage was being answered from: a trace that
    rests on it would bring its text back.
    """
    documents = {passage.document_id for passage in trace.passages}
    lock_recording(conn, trace.author_id, shared=True)
    there = conn.execute(
        text("""
            SELECT count(*) FROM warehouse.documents d WHERE d.author_id = :author_id AND d.id = ANY(:ids)
               AND NOT EXISTS (SELECT FROM warehouse.forget_requests r
                                WHERE r.author_id = :author_id AND r.state = 'requested' AND r.receipt IS NOT NULL
                                  AND d.id = ANY(r.document_ids))
        """),
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
            "kind": trace.kind,
            "parent_id": trace.parent_id,
            "instruction": _storable(trace.instruction) if trace.instruction is not None else None,
            "links": [
                asdict(link) | {"title": _storable(link.title), "text": _storable(link.text)} for link in trace.links
            ],
            "retrieval": trace.retrieval,
            "queries": [_storable(query) for query in trace.queries],
            "filters": dict(trace.filters),
            "engine": trace.engine,
            "deployment_id": trace.deployment_id,
            "cost": trace.cost,
            "texts": trace.texts,
            "cached_from": trace.cached_from,
        },
    )
    if trace.candidates:
        ids = {"trace_id": trace.id, "author_id": trace.author_id}
        conn.execute(_INSERT_CANDIDATES, [asdict(one) | ids for one in trace.candidates])
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


def lock_recording(conn: Connection, author_id: UUID, *, shared: bool) -> None:
    """Until the end of the transaction: traces are recorded (shared), or forgetting says what it takes (not shared).

    Forgetting purges traces first and documents last. Without this a trace could be recorded in between, by a transaction
    that had found the document still there.
    """
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    key = int.from_bytes(author_id.bytes[8:12], "big", signed=True)
    conn.execute(text(f"SELECT {function}(:space, :key)"), {"space": _RECORDING, "key": key})


def kept_draft(conn: Connection, author_id: UUID, trace_id: UUID) -> KeptDraft:
    """A recorded draft, or whatever else has this id. Raises NotFound when no trace of the author's has."""
    trace = conn.execute(
        text("SELECT * FROM serving.traces WHERE id = :trace AND author_id = :author"),
        {"trace": trace_id, "author": author_id},
    ).first()
    if trace is None:
        raise NotFound("There is no such draft. Drafts go when a document that they rest on is forgotten.")
    rows = conn.execute(
        text("""
            SELECT p.*, d.title, d.location, d.category, d.written_at
            FROM serving.trace_passages p
            JOIN features.cleaned_documents d ON d.revision_id = p.revision_id AND d.author_id = p.author_id
            WHERE p.trace_id = :trace AND p.author_id = :author ORDER BY p.label
        """),
        {"trace": trace_id, "author": author_id},
    ).all()
    return KeptDraft(
        id=trace.id,
        kind=trace.kind,
        brief=trace.question,
        text=trace.answer,
        outcome=trace.outcome,
        passages=[
            Passage(
                chunk_id=row.chunk_id,
                document_id=row.document_id,
                revision_id=row.revision_id,
                category=Category(row.category),
                title=row.title,
                location=row.location,
                context=row.title,
                text=row.text,
                start=row.start_at,
                end=row.end_at,
                written_at=row.written_at,
                score=row.score,
                legs={},
            )
            for row in rows
        ],
        cited=frozenset(row.label for row in rows if row.cited),
        links=[TraceLink(**link) for link in trace.links],
        texts=trace.texts,
        prompt_version=trace.prompt_version,
        model=trace.model,
        engine=trace.engine,
        deployment_id=trace.deployment_id,
    )


def _storable(value: str) -> str:
    """Postgres stores no NUL, and a lone surrogate is no text."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode()
