"""The shapes of `/v1/traces`, `/v1/lineage` and `/v1/monitor`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from twin_api.schemas import Outcome, Shown
from twin_core.monitoring.drift import Drift
from twin_core.monitoring.retraining import Advice, Facts
from twin_core.store.monitor import Day
from twin_core.store.traces import Retrieval, Texts, TraceKind


class TraceView(Shown, kw_only=True):
    """One answer or draft, as a list shows it."""

    id: UUID
    at: datetime
    kind: TraceKind
    question: Annotated[str, Meta(description="The beginning of the question or brief; empty when `texts` is dropped.")]
    outcome: Outcome
    model: str | None
    adapter_id: str | None
    prompt_version: str
    seconds: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    verdict: Annotated[str | None, Meta(description="The last word on it: `up` or `down`.")]
    edited: bool
    texts: Texts


class TraceList(Struct, kw_only=True):
    """A page of traces, the latest first. `next_cursor` leads to the next one; null on the last."""

    traces: list[TraceView]
    next_cursor: str | None


class TracedPassageView(Struct, kw_only=True):
    """A passage of the prompt, as the model saw it."""

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


class CandidateView(Struct, kw_only=True):
    """A chunk that the search returned."""

    rank: int
    chunk_id: UUID
    document_id: UUID
    score: float
    legs: Annotated[dict[str, int], Meta(description="Rank in each leg that found it; 1 is best.")]
    title: str | None
    used: Annotated[bool, Meta(description="Whether it came into the prompt.")]


class WordView(Struct, kw_only=True):
    """What was said of it once."""

    at: datetime
    verdict: str | None
    edited: str | None


class TraceDetailView(Shown, kw_only=True):
    """One answer or draft in whole: how it came about and what became of it."""

    id: UUID
    at: datetime
    kind: TraceKind
    parent_id: Annotated[UUID | None, Meta(description="What it goes on from: an outline, or the draft it changes.")]
    question: str
    instruction: str | None
    answer: str
    texts: Annotated[Texts, Meta(description="Whether texts are here as they were, redacted, or not kept.")]
    outcome: Outcome
    error: str | None
    retrieval: Retrieval
    queries: Annotated[list[str], Meta(description="What was searched for beside the question.")]
    filters: dict[str, Any]
    prompt_version: str
    model: str | None
    engine: str | None
    deployment_id: UUID | None
    adapter_id: str | None
    timings: Annotated[dict[str, float], Meta(description="Seconds from the beginning to the end of each step.")]
    usage: dict[str, int]
    cost: Annotated[float | None, Meta(description="By TWIN_LLM_PRICE_…; null when no engine counted.")]
    cached_from: Annotated[UUID | None, Meta(description="The answer that this one repeats, from the cache.")]
    links: list[dict[str, Any]]
    passages: list[TracedPassageView]
    candidates: list[CandidateView]
    feedback: Annotated[list[WordView], Meta(description="The last word first.")]


class PassageSourceView(Struct, kw_only=True):
    """From a passage to its revision, document and source."""

    label: int
    cited: bool
    start: int
    end: int
    revision_id: UUID
    revision_at: datetime
    current: Annotated[bool, Meta(description="Whether the document still reads so.")]
    document_id: UUID
    title: str | None
    location: str | None
    category: str
    source_id: UUID
    platform: str
    locator: str


class LearntDocumentView(Struct, kw_only=True):
    """A document that the adapter saw."""

    document_id: UUID
    title: str | None
    location: str | None
    examples: int
    quotations: int


class AdapterLineageView(Struct, kw_only=True):
    """From the adapter that answered to the dataset version and the documents that it learnt."""

    adapter_id: str
    version: int
    kind: str
    base_model: str
    deployment_id: UUID
    dataset_version: str
    tainted_at: datetime | None
    document_count: int
    documents: Annotated[list[LearntDocumentView], Meta(description="At most 200, those with the most examples first.")]


class LineageView(Shown, kw_only=True):
    """What an answer rests on."""

    trace_id: UUID
    passages: list[PassageSourceView]
    adapter: Annotated[AdapterLineageView | None, Meta(description="Null when no adapter answered.")]


class LatencyView(Struct, kw_only=True):
    """Seconds from the beginning of the answer to the end of a step."""

    p50: float
    p95: float
    answers: int


class DayView(Shown, kw_only=True):
    """One day, in UTC."""

    day: date
    answers: int
    drafts: int
    outcomes: dict[str, int]
    cached: Annotated[int, Meta(description="Answers that were given again from the cache.")]
    prompt_tokens: int
    completion_tokens: int
    cost: float
    up: int
    down: int
    edited: Annotated[int, Meta(description="`up`, `down`, `edited`: by the last word on each.")]
    feedback_rate: float
    steps: dict[str, LatencyView]


class DriftView(Struct, kw_only=True):
    """Whether the author's newest writing differs from what the last adapter learnt."""

    moved: bool
    p: float
    shift: float
    shift_by_chance: float
    length_psi: float
    length_by_chance: float

    @classmethod
    def of(cls, found: Drift) -> DriftView:
        """The drift as the API shows it."""
        return cls(
            moved=found.moved,
            p=found.p,
            shift=found.shift,
            shift_by_chance=found.shift_by_chance,
            length_psi=found.length_psi,
            length_by_chance=found.length_by_chance,
        )


class LearningView(Struct, kw_only=True):
    """What speaks for learning again."""

    due: bool
    reason: str
    new_examples: int
    drift: Annotated[
        DriftView | None, Meta(description="Null before the first adapter, and while there is too little.")
    ]

    @classmethod
    def of(cls, facts: Facts, advice: Advice) -> LearningView:
        """The rule's advice as the API shows it."""
        return cls(
            due=advice.train,
            reason=advice.reason,
            new_examples=facts.new_examples,
            drift=DriftView.of(facts.drift) if facts.drift else None,
        )


class MonitorView(Struct, kw_only=True):
    """How the twin has been doing. Days without an answer are left out."""

    since: datetime
    until: datetime
    days: list[DayView]
    learning: LearningView

    @classmethod
    def of(cls, found: list[Day], since: datetime, until: datetime, learning: LearningView) -> MonitorView:
        """The figures as the API shows them."""
        return cls(since=since, until=until, days=[DayView.of(day) for day in found], learning=learning)
