"""Reading traces: a page of them, one in whole, and what one rests on, down to the sources and the dataset.

Writing them is in `traces.py`, the figures over many in `monitor.py`. The view `analytics.answers` says the same to
people who read in SQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.errors import InvalidInput, NotFound
from twin_core.store.traces import TraceKind, TraceOutcome

_ID_PREFIX = re.compile(r"[0-9a-f-]{4,36}")
SHOWN = 200
"""Characters of a question in a list."""
MOST_DOCUMENTS = 200
"""Of a dataset, in the lineage of an answer. How many there are is said beside them."""

NO_TRACE = "There is no such answer. Answers go when a document that they rest on is forgotten, and when they are old."

Said = Literal["up", "down", "edited", "any", "none"]
KINDS: tuple[str, ...] = ("draft", *get_args(TraceKind))
OUTCOMES: tuple[str, ...] = get_args(TraceOutcome)
SAID: tuple[str, ...] = get_args(Said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which traces are asked for. None: whichever."""

    kind: str | None = None
    """A kind, or `draft` for everything that is no answer."""
    outcome: str | None = None
    model: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Exclusive."""
    feedback: str | None = None
    """One of SAID: what the last word on it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """One trace as a list shows it."""

    id: UUID
    at: datetime
    kind: str
    question: str
    """Its beginning."""
    outcome: str
    model: str | None
    adapter_id: str | None
    prompt_version: str
    seconds: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    verdict: str | None
    edited: bool
    texts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedPassage:
    """A passage of the prompt, with where it comes from now."""

    label: int
    cited: bool
    chunk_id: UUID
    document_id: UUID
    revision_id: UUID
    start: int
    end: int
    text: str
    score: float
    title: str | None
    location: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedCandidate:
    """A chunk that the search returned."""

    rank: int
    chunk_id: UUID
    document_id: UUID
    score: float
    legs: Mapping[str, int]
    title: str | None
    used: bool
    """Whether it came into the prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word of feedback."""

    at: datetime
    verdict: str | None
    edited: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceDetail:
    """One trace in whole."""

    id: UUID
    at: datetime
    kind: str
    parent_id: UUID | None
    question: str
    instruction: str | None
    answer: str
    texts: str
    outcome: str
    error: str | None
    retrieval: str
    queries: list[str]
    filters: Mapping[str, Any]
    prompt_version: str
    model: str | None
    engine: str | None
    deployment_id: UUID | None
    adapter_id: str | None
    timings: Mapping[str, float]
    usage: Mapping[str, int]
    cost: float | None
    cached_from: UUID | None
    links: list[Mapping[str, Any]]
    passages: list[TracedPassage]
    candidates: list[TracedCandidate]
    feedback: list[Word]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOfPassage:
    """From a passage of an answer to the revision, document and source that it is from."""

    label: int
    cited: bool
    start: int
    end: int
    revision_id: UUID
    revision_at: datetime
    """When the revision was fetched."""
    current: bool
    """Whether the document still reads so."""
    document_id: UUID
    title: str | None
    location: str | None
    category: str
    source_id: UUID
    platform: str
    locator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntDocument:
    """A document that the adapter saw, as what examples were made of or as what prompts quoted."""

    document_id: UUID
    title: str | None
    location: str | None
    examples: int
    quotations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterLineage:
    """From the adapter that answered to the dataset that it learnt."""

    adapter_id: str
    version: int
    kind: str
    base_model: str
    deployment_id: UUID
    dataset_version: str
    tainted_at: datetime | None
    document_count: int
    documents: list[LearntDocument]
    """At most MOST_DOCUMENTS, those with the most examples first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLineage:
    """What an answer rests on."""

    trace_id: UUID
    passages: list[SourceOfPassage]
    adapter: AdapterLineage | None
    """None when the base model answered, or nobody did."""


_WANTED = """
    author_id = :author
    AND (CAST(:kind AS text) IS NULL OR kind = :kind OR :kind = 'draft' AND kind <> 'answer')
    AND (CAST(:outcome AS text) IS NULL OR outcome = :outcome)
    AND (CAST(:model AS text) IS NULL OR model = :model)
    AND (CAST(:since AS timestamptz) IS NULL OR at >= :since)
    AND (CAST(:until AS timestamptz) IS NULL OR at < :until)
    AND CASE CAST(:feedback AS text)
        WHEN 'any' THEN feedback_at IS NOT NULL WHEN 'none' THEN feedback_at IS NULL
        WHEN 'edited' THEN edited IS NOT NULL ELSE :feedback IS NULL OR verdict = :feedback END
"""


def page_of_traces(
    conn: Connection, author_id: UUID, wanted: Wanted, *, after: tuple[datetime, UUID] | None = None, limit: int = 50
) -> list[TraceRow]:
    """Traces, the latest first, from the one after `after` (its `at` and id)."""
    rows = conn.execute(
        text(f"""
            SELECT trace_id AS id, at, kind, left(question, :shown) AS question, outcome, model, adapter_id,
                   prompt_version, seconds, prompt_tokens, completion_tokens, cost, verdict,
                   edited IS NOT NULL AS edited, texts
            FROM analytics.answers
            WHERE {_WANTED}
              AND (CAST(:after_at AS timestamptz) IS NULL OR (at, trace_id) < (:after_at, CAST(:after_id AS uuid)))
            ORDER BY at DESC, trace_id DESC LIMIT :limit
        """),
        {
            "author": author_id,
            "shown": SHOWN,
            **asdict(wanted),
            "after_at": after[0] if after else None,
            "after_id": after[1] if after else None,
            "limit": limit,
        },
    ).mappings()
    return [TraceRow(**row) for row in rows]


def rows_to_export(conn: Connection, author_id: UUID, wanted: Wanted, *, limit: int) -> list[dict[str, Any]]:
    """Traces in whole as plain rows, the earliest first, with their passages and the last word on each."""
    rows = conn.execute(
        text(f"""
            SELECT trace_id, at, kind, parent_id, question, instruction, answer, texts, outcome, error, prompt_version,
                   model, engine, adapter_id, dataset_version, retrieval, queries, filters, timings, seconds,
                   first_token_seconds, prompt_tokens, completion_tokens, cost, cached_from, verdict, edited,
                   coalesce(p.passages, '[]') AS passages
            FROM analytics.answers a
            LEFT JOIN LATERAL (
                SELECT jsonb_agg(jsonb_build_object(
                           'label', label, 'cited', cited, 'document_id', document_id, 'revision_id', revision_id,
                           'start', start_at, 'end', end_at, 'score', score, 'text', text) ORDER BY label) AS passages
                FROM serving.trace_passages WHERE trace_id = a.trace_id AND author_id = :author) p ON true
            WHERE {_WANTED} ORDER BY at, trace_id LIMIT :limit
        """),
        {"author": author_id, **asdict(wanted), "limit": limit},
    ).mappings()
    return [dict(row) for row in rows]


def resolve_trace(conn: Connection, author_id: UUID, key: str) -> UUID:
    """The trace that this id, or the beginning of one, means. Raises NotFound, or InvalidInput when several do."""
    if not _ID_PREFIX.fullmatch(key):
        raise InvalidInput("A trace is named by its id, or the first four or more characters of it.")
    found = list(
        conn.execute(
            text("SELECT id FROM serving.traces WHERE author_id = :author AND id::text LIKE :key LIMIT 2"),
            {"author": author_id, "key": f"{key}%"},
        ).scalars()
    )
    if not found:
        raise NotFound(NO_TRACE)
    if len(found) > 1:
        raise InvalidInput(f"Several traces begin with {key}. Give more of the id.")
    return UUID(str(found[0]))


def trace_detail(conn: Connection, author_id: UUID, trace_id: UUID) -> TraceDetail:
    """One trace with its passages, candidates and feedback. Raises NotFound."""
    ids = {"author": author_id, "trace": trace_id}
    trace = conn.execute(
        text("""
            SELECT t.*, d.adapter_id FROM serving.traces t
            LEFT JOIN serving.deployments d ON d.id = t.deployment_id AND d.author_id = t.author_id
            WHERE t.id = :trace AND t.author_id = :author
        """),
        ids,
    ).first()
    if trace is None:
        raise NotFound(NO_TRACE)
    passages = conn.execute(
        text("""
            SELECT p.label, p.cited, p.chunk_id, p.document_id, p.revision_id, p.start_at AS start, p.end_at AS end,
                   p.text, p.score, c.title, c.location
            FROM serving.trace_passages p
            LEFT JOIN features.cleaned_documents c ON c.revision_id = p.revision_id AND c.author_id = p.author_id
            WHERE p.trace_id = :trace AND p.author_id = :author ORDER BY p.label
        """),
        ids,
    ).mappings()
    candidates = conn.execute(
        text("""
            SELECT k.rank, k.chunk_id, k.document_id, k.score, k.legs, c.title,
                   EXISTS (SELECT FROM serving.trace_passages p WHERE p.trace_id = k.trace_id AND p.chunk_id = k.chunk_id)
                       AS used
            FROM serving.trace_candidates k
            JOIN warehouse.documents d ON d.id = k.document_id AND d.author_id = k.author_id
            LEFT JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id AND c.author_id = k.author_id
            WHERE k.trace_id = :trace AND k.author_id = :author ORDER BY k.rank
        """),
        ids,
    ).mappings()
    said = conn.execute(
        text("""
            SELECT at, verdict, edited FROM serving.feedback
            WHERE trace_id = :trace AND author_id = :author ORDER BY at DESC, id
        """),
        ids,
    ).mappings()
    kept = {name: getattr(trace, name) for name in TraceDetail.__slots__ if name in trace._fields}
    return TraceDetail(
        **kept,
        passages=[TracedPassage(**row) for row in passages],
        candidates=[TracedCandidate(**row) for row in candidates],
        feedback=[Word(**row) for row in said],
    )


def answer_lineage(conn: Connection, author_id: UUID, trace_id: UUID) -> AnswerLineage:
    """What an answer rests on: passages down to their sources, and the adapter down to the documents it learnt.

    Raises NotFound.
    """
    ids = {"author": author_id, "trace": trace_id}
    trace = conn.execute(
        text("SELECT deployment_id FROM serving.traces WHERE id = :trace AND author_id = :author"), ids
    ).first()
    if trace is None:
        raise NotFound(NO_TRACE)
    passages = conn.execute(
        text("""
            SELECT p.label, p.cited, p.start_at AS start, p.end_at AS end, p.revision_id, r.fetched_at AS revision_at,
                   d.head_revision_id = p.revision_id AS current, d.id AS document_id, c.title, c.location, d.category,
                   s.id AS source_id, s.platform, s.locator
            FROM serving.trace_passages p
            JOIN warehouse.documents d ON d.id = p.document_id AND d.author_id = p.author_id
            JOIN warehouse.revisions r ON r.id = p.revision_id AND r.author_id = p.author_id
            JOIN warehouse.sources s ON s.id = r.source_id AND s.author_id = p.author_id
            LEFT JOIN features.cleaned_documents c ON c.revision_id = p.revision_id AND c.author_id = p.author_id
            WHERE p.trace_id = :trace AND p.author_id = :author ORDER BY p.label
        """),
        ids,
    ).mappings()
    return AnswerLineage(
        trace_id=trace_id,
        passages=[SourceOfPassage(**row) for row in passages],
        adapter=_adapter(conn, author_id, trace.deployment_id) if trace.deployment_id else None,
    )


def _adapter(conn: Connection, author_id: UUID, deployment_id: UUID) -> AdapterLineage:
    row = conn.execute(
        text("""
            SELECT v.adapter_id, v.version, v.kind, v.base_model, d.id AS deployment_id, v.dataset_version, v.tainted_at
            FROM serving.deployments d JOIN analytics.adapters v ON v.adapter_id = d.adapter_id
            WHERE d.id = :deployment AND d.author_id = :author
        """),
        {"author": author_id, "deployment": deployment_id},
    )
    found = row.mappings().one()
    learnt = conn.execute(
        text("""
            SELECT document_id, title, location, examples, quotations, count(*) OVER () AS documents
            FROM analytics.adapter_documents WHERE author_id = :author AND adapter_id = :adapter
            ORDER BY examples DESC, quotations DESC, document_id LIMIT :most
        """),
        {"author": author_id, "adapter": found["adapter_id"], "most": MOST_DOCUMENTS},
    ).all()
    return AdapterLineage(
        **found,
        document_count=learnt[0].documents if learnt else 0,
        documents=[
            LearntDocument(
                document_id=one.document_id,
                title=one.title,
                location=one.location,
                examples=one.examples,
                quotations=one.quotations,
            )
            for one in learnt
        ],
    )
