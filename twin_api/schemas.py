"""The shapes of requests and responses, as msgspec structs. OpenAPI is generated from them, descriptions included.

The chat shapes are OpenAI's, so that any client of theirs works unmodified; what is ours on top (`citations`,
`outcome`, `trace_id`) stands beside their members, never inside.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from litestar.openapi.datastructures import ResponseSpec
from msgspec import UNSET, Meta, Struct, UnsetType, convert, field

from twin_api.limits import (
    CONTEXT_PASSAGES,
    CONVERSATION_CHARACTERS,
    MESSAGES,
    QUESTION_CHARACTERS,
    SEARCH_RESULTS,
)
from twin_core.collect.alarms import AlarmKind
from twin_core.collect.standing import Standing
from twin_core.promotion import Decision
from twin_core.records import Category, Passage, SearchFilters
from twin_core.records import Outcome as ItemOutcome
from twin_core.retrieval.retrieve import Retrieval as Found
from twin_core.settings import RetrievalMode
from twin_core.store.adapters import Adapter
from twin_core.store.ledger import LedgerItem, Run
from twin_core.store.registry import Deployment
from twin_core.writing.citations import Citation


class Filters(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a search is narrowed to. Empty means everything of the key's author."""

    categories: Annotated[list[Category], Meta(max_length=3, description="article, post, code")] = []
    source_ids: Annotated[list[UUID], Meta(max_length=100)] = []
    written_from: Annotated[datetime, Meta(tz=True)] | None = None
    """Inclusive, with a time zone."""
    written_to: Annotated[datetime, Meta(tz=True)] | None = None
    """Exclusive, with a time zone."""

    def record(self) -> SearchFilters:
        """The same, as retrieval takes it."""
        return SearchFilters(
            categories=tuple(self.categories),
            source_ids=tuple(self.source_ids),
            written_from=self.written_from,
            written_to=self.written_to,
        )


Retrieval = Annotated[
    RetrievalMode | None,
    Meta(
        description="How passages are found. off: not at all; fast: by meaning and by words; full: the language model reads "
        "the question first (dates, kinds, sources, other words for it) and the best passages are ranked anew. Default: "
        "TWIN_RETRIEVAL."
    ),
]
Notices = Annotated[list[str], Meta(description="What was not done as asked to find passages, and why.")]


class SearchRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """What to look for in the author's writing."""

    query: Annotated[str, Meta(min_length=1, max_length=QUESTION_CHARACTERS, description="Words or a question.")]
    k: Annotated[int, Meta(ge=1, le=SEARCH_RESULTS, description="The most passages to return.")] = 10
    filters: Filters = field(default_factory=Filters)
    retrieval: Retrieval = None


class PassageView(Struct, kw_only=True):
    """One passage, and where it stands in what the author wrote."""

    chunk_id: UUID
    document_id: UUID
    revision_id: UUID
    category: Category
    title: str
    location: str
    context: str
    text: str
    start: int
    end: int
    written_at: datetime | None
    score: float
    legs: dict[str, int]

    @classmethod
    def of(cls, passage: Passage) -> PassageView:
        """The passage as the API shows it."""
        return cls(
            chunk_id=passage.chunk_id,
            document_id=passage.document_id,
            revision_id=passage.revision_id,
            category=passage.category,
            title=passage.title,
            location=passage.location,
            context=passage.context,
            text=passage.text,
            start=passage.start,
            end=passage.end,
            written_at=passage.written_at,
            score=passage.score,
            legs=dict(passage.legs),
        )


class SearchedView(Struct, kw_only=True):
    """What a search was narrowed to, or preferred."""

    categories: list[Category]
    source_ids: list[UUID]
    written_from: datetime | None
    written_to: datetime | None

    @classmethod
    def of(cls, filters: SearchFilters) -> SearchedView:
        """The filters as the API shows them."""
        return cls(
            categories=list(filters.categories),
            source_ids=list(filters.source_ids),
            written_from=filters.written_from,
            written_to=filters.written_to,
        )


class SearchResponse(Struct, kw_only=True):
    """The passages, best first, and how they were found."""

    passages: list[PassageView]
    seconds: float
    retrieval: RetrievalMode
    queries: Annotated[list[str], Meta(description="What was searched for; empty with `off`.")]
    filters: Annotated[SearchedView, Meta(description="What was searched within: the request's filters.")]
    preferred: Annotated[SearchedView | None, Meta(description="What the question says of when, what kind and where.")]
    notices: Notices
    timings: Annotated[dict[str, float], Meta(description="Seconds until each step was done.")]

    @classmethod
    def of(cls, found: Found, seconds: float) -> SearchResponse:
        """What was found as the API shows it."""
        return cls(
            passages=[PassageView.of(passage) for passage in found.passages],
            seconds=seconds,
            retrieval=found.mode,
            queries=list(found.queries),
            filters=SearchedView.of(found.filters),
            preferred=SearchedView.of(found.preferred) if found.preferred else None,
            notices=list(found.notices),
            timings=found.timings,
        )


class CitationView(Struct, kw_only=True):
    """One passage that an answer was given, and whether the answer names it by its label."""

    label: int
    cited: bool
    document_id: UUID
    revision_id: UUID
    chunk_id: UUID
    category: Category
    title: str
    location: str
    written_at: datetime | None
    start: int
    end: int
    text: str

    @classmethod
    def of(cls, citation: Citation) -> CitationView:
        """The citation as the API shows it."""
        return cls(
            label=citation.label,
            cited=citation.cited,
            document_id=citation.document_id,
            revision_id=citation.revision_id,
            chunk_id=citation.chunk_id,
            category=citation.category,
            title=citation.title,
            location=citation.location,
            written_at=citation.written_at,
            start=citation.start,
            end=citation.end,
            text=citation.text,
        )


class TextPart(Struct, kw_only=True):
    """A part of a message. Only text is understood."""

    type: Literal["text"]
    text: str


class ChatMessage(Struct, kw_only=True):
    """One turn. The last one of the user is the question; those before it are the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, Meta(max_length=CONVERSATION_CHARACTERS)] | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class StreamOptions(Struct, kw_only=True):
    """OpenAI's options of a stream."""

    include_usage: bool = False


class ChatRequest(Struct, kw_only=True):
    """OpenAI's request. Members that are not listed here are accepted and have no effect."""

    model: Annotated[str, Meta(max_length=200, description="The author's slug; see GET /v1/models.")]
    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=MESSAGES)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    n: Annotated[int, Meta(ge=1, le=1, description="One answer per request.")] | None = None
    k: Annotated[int, Meta(ge=1, le=CONTEXT_PASSAGES, description="The most passages to answer from.")] | None = None
    filters: Filters = field(default_factory=Filters)
    fresh: Annotated[bool, Meta(description="Do not answer from the cache, where there is one.")] = False
    retrieval: Retrieval = None


Outcome = Annotated[
    Literal["answered", "retrieval_only", "interrupted", "failed"],
    Meta(description="`retrieval_only`: no language model answered, the passages are the answer."),
]


class UsageView(Struct, kw_only=True):
    """Tokens, as the language model's engine counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(Struct, kw_only=True):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str


class Choice(Struct, kw_only=True):
    """The only choice."""

    index: int = 0
    message: AnswerMessage
    finish_reason: str


class ChatCompletion(Struct, kw_only=True):
    """OpenAI's response, with the passages that the answer rests on."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: UsageView | None
    citations: list[CitationView]
    outcome: Outcome
    trace_id: UUID
    cached_from: Annotated[UUID | None, Meta(description="The answer that this one repeats, from the cache.")] = None
    retrieval: RetrievalMode
    notices: Notices


class Delta(Struct, kw_only=True, omit_defaults=True):
    """What a chunk of a stream adds."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET


class ChunkChoice(Struct, kw_only=True):
    """The only choice of a chunk."""

    index: int = 0
    delta: Delta
    finish_reason: str | None = None


class ChatChunk(Struct, kw_only=True):
    """One event of a stream. The last one before `[DONE]` carries citations, outcome and trace id."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    citations: list[CitationView] | UnsetType = UNSET
    outcome: Outcome | UnsetType = UNSET
    trace_id: UUID | UnsetType = UNSET
    cached_from: UUID | UnsetType | None = UNSET
    retrieval: RetrievalMode | UnsetType = UNSET
    notices: Notices | UnsetType = UNSET
    usage: UsageView | UnsetType | None = UNSET


class AlarmView(Struct, kw_only=True):
    """Why a source needs a person's eye although its runs succeed."""

    kind: AlarmKind
    said: str


class RunView(Struct, kw_only=True):
    """One collection run of a source, in items."""

    id: UUID
    started_at: datetime
    finished_at: datetime | None
    fetched: int
    unchanged: int
    skipped: int
    failed: int
    deleted: int
    own_count: int | None
    error: Annotated[str | None, Meta(description="Why it ended before the source's end; what came before is stored.")]

    @classmethod
    def of(cls, run: Run) -> RunView:
        """The run as the API shows it."""
        return cls(
            id=run.id,
            started_at=run.started_at,
            finished_at=run.finished_at,
            fetched=run.fetched,
            unchanged=run.unchanged,
            skipped=run.skipped,
            failed=run.failed,
            deleted=run.deleted,
            own_count=run.own_count,
            error=run.error,
        )


class SourceView(Struct, kw_only=True):
    """One place the author writes, and how it stands."""

    id: UUID
    platform: str
    locator: str
    schedule: Annotated[str | None, Meta(description="A cron expression in UTC; null: collected when asked.")]
    paused: bool
    next_run_at: datetime | None
    last_success_at: datetime | None
    held: Annotated[int, Meta(description="Items of it that are stored and live.")]
    own_count: Annotated[int | None, Meta(description="What the source counts itself, when it last said so.")]
    coverage: Annotated[float | None, Meta(description="`held` of `own_count`, at most 1.")]
    last_run: RunView | None
    alarms: list[AlarmView]

    @classmethod
    def of(cls, standing: Standing) -> SourceView:
        """The source as the API shows it."""
        source = standing.source
        return cls(
            id=source.id,
            platform=source.platform,
            locator=source.locator,
            schedule=source.schedule,
            paused=source.paused,
            next_run_at=source.next_run_at,
            last_success_at=standing.last_success_at,
            held=standing.held,
            own_count=standing.own_count,
            coverage=standing.coverage,
            last_run=None if standing.last_run is None else RunView.of(standing.last_run),
            alarms=[AlarmView(kind=alarm.kind, said=alarm.said) for alarm in standing.alarms],
        )


class SourceList(Struct, kw_only=True):
    """The sources of the key's author, oldest first."""

    sources: list[SourceView]
    next_cursor: str | None


class ItemView(Struct, kw_only=True):
    """How one item of a run ended."""

    native_id: str
    location: str
    outcome: ItemOutcome
    reason: str | None
    document_id: UUID | None
    at: datetime

    @classmethod
    def of(cls, item: LedgerItem) -> ItemView:
        """The item as the API shows it."""
        return cls(
            native_id=item.native_id,
            location=item.location,
            outcome=item.outcome,
            reason=item.reason,
            document_id=item.document_id,
            at=item.at,
        )


class ItemList(Struct, kw_only=True):
    """Items of a source's last run, what failed first."""

    run: RunView | None
    """Null: never collected."""
    items: list[ItemView]
    next_cursor: Annotated[str | None, Meta(description="Send it as `cursor` for the next page; null at the end.")]


class ModelView(Struct, kw_only=True):
    """A twin, or the model that embeds, as OpenAI shows a model."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class ModelList(Struct, kw_only=True):
    """What this key may ask: one twin, and the model that embeds."""

    object: Literal["list"] = "list"
    data: list[ModelView]


class Shown(Struct, kw_only=True):
    """A record of the core as the API shows it: the fields it names, and no others."""

    @classmethod
    def of(cls, record: object) -> Self:
        """The fields of this shape, taken from the record's attributes of the same names."""
        return convert(record, cls, from_attributes=True)


class DocumentView(Shown, kw_only=True):
    """One document, as a list shows it."""

    id: UUID
    source_id: UUID
    platform: str
    category: Category
    state: str
    title: str | None
    location: str | None
    words: int | None
    written_at: datetime | None
    revisions: int
    locations: int
    created_at: datetime
    updated_at: datetime


class LocationView(Struct, kw_only=True):
    """One place where a document was found."""

    source_id: UUID
    platform: str
    native_id: str
    location: str
    live: bool
    first_seen_at: datetime
    last_seen_at: datetime
    joined_by: Annotated[
        str, Meta(description="minted, canonical_url, platform_id, same_text, near_duplicate or by_hand")
    ]
    evidence: str | None
    leads: Annotated[
        str | None, Meta(description="Why the document's text is this one's: only, first, fullest or newest")
    ]


class RevisionView(Struct, kw_only=True):
    """One state that a document had."""

    id: UUID
    content_hash: str
    native_id: str
    fetched_at: datetime
    head: bool


class DocumentDetail(Shown, kw_only=True):
    """One document with where it comes from."""

    document: DocumentView
    source_locator: str
    locations: list[LocationView]
    revisions: list[RevisionView]
    merged: list[UUID]


class DocumentList(Struct, kw_only=True):
    """A page of documents. `next_cursor` leads to the next one; null on the last."""

    documents: list[DocumentView]
    next_cursor: str | None


class CountView(Struct, kw_only=True):
    """How much one store held of what was forgotten. `after` is missing until the request is done."""

    before: int
    after: int | None = None


class ForgetRequestView(Shown, kw_only=True):
    """A request to forget, and what has become of it."""

    id: UUID
    state: Literal["requested", "done"]
    document_ids: list[UUID]
    """With those merged into them, and those of the very same text, once it has begun."""
    requested_at: datetime
    finished_at: datetime | None
    receipt: dict[str, CountView] | None
    attempts: int
    problem: Annotated[str | None, Meta(description="Why the last attempt did not finish; it is tried again.")]


class SourceChange(Struct, kw_only=True, forbid_unknown_fields=True):
    """What to change of a source. What is left out stays."""

    schedule: Annotated[str, Meta(max_length=100, description="Cron, five fields, UTC.")] | UnsetType | None = UNSET
    paused: bool | UnsetType = UNSET


class ScheduleView(Shown, kw_only=True):
    """When a source is collected."""

    id: UUID
    platform: str
    locator: str
    schedule: str | None
    paused: bool
    next_run_at: datetime | None


class CollectRequestView(Shown, kw_only=True):
    """A request to collect a source, and what has become of it."""

    id: UUID
    source_id: UUID
    state: Literal["requested", "done"]
    run_id: UUID | None
    requested_at: datetime
    finished_at: datetime | None


class AdapterView(Struct, kw_only=True):
    """A trained adapter."""

    id: str
    version: int
    kind: Literal["sft", "dpo"]
    base_model: str
    dataset_version: str
    created_at: datetime
    tainted_at: datetime | None
    """When a document was forgotten that it was trained on. It may not serve any more."""
    verdict: str
    """What the promotion rule says now: better, fresher, not better, insufficient evidence, refused."""
    reasons: list[str]
    deployment: str | None
    """`serving`, `previous` (loaded, to go back to), `starting`, ...; null when it never was brought up."""
    served_name: str | None

    @classmethod
    def of(cls, adapter: Adapter, decision: Decision, deployments: list[Deployment]) -> AdapterView:
        """The adapter as the API shows it, with its deployments, the latest first."""
        latest = deployments[0] if deployments else None
        return cls(
            id=adapter.id,
            version=adapter.version,
            kind="dpo" if adapter.kind == "dpo" else "sft",
            base_model=adapter.base_model,
            dataset_version=adapter.version_id,
            created_at=adapter.created_at,
            tainted_at=adapter.tainted_at,
            verdict=decision.verdict.value,
            reasons=list(decision.reasons),
            deployment=latest.state if latest else None,
            served_name=latest.served_name if latest else None,
        )


class AdapterList(Struct, kw_only=True):
    """The newest version first."""

    adapters: list[AdapterView]
    next_cursor: str | None


class ApproveRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """That an adapter may serve."""

    reason: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None
    """Needed where the evidence is insufficient."""


class RejectRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """That an adapter shall not serve."""

    reason: Annotated[str, Meta(min_length=1, max_length=2_000)]


class DecisionView(Shown, kw_only=True):
    """A decision on an adapter, and what has become of it."""

    id: UUID
    adapter_id: str
    verdict: Literal["approve", "reject"]
    by: str
    reason: str | None
    at: datetime
    state: Literal["requested", "done", "refused"]
    attempts: int
    problem: str | None
    finished_at: datetime | None


class ServingView(Struct, kw_only=True):
    """What answers now."""

    adapter_id: str | None
    served_name: str


class OpenAIError(Struct, kw_only=True):
    """The error once more, in the shape that OpenAI's clients show."""

    message: str
    type: str
    code: int


class Problem(Struct, kw_only=True):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    error: OpenAIError


class FeedbackRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is said of one answer: a verdict, an edited text, or both."""

    trace_id: Annotated[UUID, Meta(description="The answer's `trace_id`.")]
    verdict: Literal["up", "down"] | None = None
    edited: Annotated[str, Meta(max_length=CONVERSATION_CHARACTERS)] | None = None
    """The answer as it should have been, whole."""


class FeedbackResponse(Struct, kw_only=True):
    """It was recorded."""

    id: UUID


ERRORS = {
    status: ResponseSpec(Problem, description=said, media_type="application/problem+json", generate_examples=False)
    for status, said in {
        400: "The request does not have the documented shape",
        401: "No valid key",
        403: "The key's scopes do not include this",
        413: "More than may be sent at once",
        429: "Too many requests, tokens or streams; see Retry-After",
        503: "The database does not answer; see Retry-After",
    }.items()
}
"""What every route behind a key may answer instead."""

NOT_FOUND = {
    404: ResponseSpec(
        Problem, description="Not the key's author", media_type="application/problem+json", generate_examples=False
    )
}


BROKE_OFF = {
    502: ResponseSpec(
        Problem,
        description="The language model broke off in the middle",
        media_type="application/problem+json",
        generate_examples=False,
    )
}


class Live(Struct, kw_only=True):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Ready(Struct, kw_only=True):
    """What the process needs, each `ok` or why not. The language model is not needed: without it, passages answer."""

    status: Literal["ready", "not ready"]
    database: str
    migrations: str
    embedder: str
    llm: str
