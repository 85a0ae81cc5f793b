"""The frozen records that flow between the parts of the twin.

Plain values only: no I/O, no framework objects, nothing that knows a database. A record is made once and never
changed; a stage that learns something makes a new one. Ids are minted in `identity.py`, never here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Category(StrEnum):
    """What kind of writing a document is; decides cleaning, chunking and prompts. Never the platform."""

    ARTICLE = "article"
    POST = "post"
    CODE = "code"


class Outcome(StrEnum):
    """How one item of one collection run ended. Every item ends as exactly one of these."""

    FETCHED = "fetched"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"
    DELETED = "deleted"


class ExampleKind(StrEnum):
    """What an example teaches: to write this, or to prefer this to that."""

    INSTRUCT = "instruct"
    PREFERENCE = "preference"


class Split(StrEnum):
    """On which side of a dataset version a document stands, whole."""

    TRAIN = "train"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """The person. Owns every row, key and adapter."""

    id: UUID
    slug: str
    name: str
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """Who claims a source as their own writing, on what proof, and when. A source without it is refused."""

    claimed_by: str
    proof: str
    claimed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place an author writes: platform + locator + schedule + consent."""

    id: UUID
    author_id: UUID
    platform: str
    locator: str
    schedule: str | None = None
    """A cron expression in UTC, or None: collected only when asked."""
    options: Mapping[str, str | list[str]] = field(default_factory=dict)
    """What the platform's module understands, such as include globs or the author's mail addresses."""
    consent: Consent | None = None
    next_run_at: datetime | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One item as a source gave it, unaltered, with what the source says of it.

    `content_hash` is that of the normalised text (see `identity.content_hash`), so that a page whose
    advertisements change is not a new revision. `metadata` holds only what the source itself stated.
    """

    native_id: str
    location: str
    """Where a person finds it: URL, or path for a file."""
    category: Category
    media_type: str
    body: bytes
    content_hash: str
    title: str | None = None
    written_at: datetime | None = None
    modified_at: datetime | None = None
    canonical_url: str | None = None
    """The address that the source itself names as this text's own (rel=canonical, a-p-canonical, canonical_url)."""
    platform_id: str | None = None
    """The platform's own id of the item with its name in front, equal in its export, feed and API: `medium:3f2a…`."""
    metadata: Mapping[str, object] = field(default_factory=dict)
    validators: Mapping[str, str] = field(default_factory=dict)
    """What lets the next run ask "has it changed?" cheaply: etag, last_modified, mtime_ns, size, blob."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """The source still has the item and it is the same as at the last run."""

    native_id: str
    validators: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """The item was seen and, by a rule, not taken: a draft, an empty body, robots.txt, someone else's file.

    A skipped item that was stored before stays stored, unless `withdrawn` is true (a published piece
    turned back into a draft).
    """

    native_id: str
    location: str
    reason: str
    withdrawn: bool = False
    empty: bool = False
    """It came without any text of its own. Many of these at once mean that the source, or its reading, has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The item should have been taken and could not be. It is quarantined; the rest goes on."""

    native_id: str
    location: str
    reason: str
    validators: Mapping[str, str] = field(default_factory=dict)
    """What the next run must know of this one, such as a first 404. Empty: what is stored stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """The source says that the item no longer exists (HTTP 410, a second 404, a deleted file)."""

    native_id: str
    reason: str = "the source no longer has it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The source was listed to its end: what was stored and not seen in this run is gone.

    A collector yields this last, and only when the listing was complete and trustworthy. `own_count` is the
    source's own number of items where it states one: the ledger shows coverage against it.
    """

    own_count: int | None = None


Item = Found | Unchanged | Skipped | Failed | Gone | Listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the warehouse already knows of one location of a source, handed to the collector."""

    native_id: str
    location: str
    content_hash: str
    validators: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRevision:
    """One state of a raw document: what the source gave, unaltered. Immutable; kept until forgotten."""

    id: UUID
    document_id: UUID
    author_id: UUID
    source_id: UUID
    native_id: str
    location: str
    category: Category
    media_type: str
    body: bytes
    content_hash: str
    title: str | None
    written_at: datetime | None
    modified_at: datetime | None
    metadata: Mapping[str, object]
    fetched_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanedDocument:
    """Normalised text of one revision (snapshot 1: training reads this)."""

    document_id: UUID
    revision_id: UUID
    author_id: UUID
    category: Category
    title: str
    text: str
    """Normalised Markdown for articles, plain text for posts, unaltered source for code."""
    text_hash: str
    language: str
    """ISO 639-1 code of a natural language; for code, the programming language ("python")."""
    words: int
    location: str
    written_at: datetime | None
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A passage of a cleaned document. `text == document.text[start:end]`, always."""

    id: UUID
    document_id: UUID
    revision_id: UUID
    author_id: UUID
    category: Category
    ordinal: int
    text: str
    context: str
    """Title and heading path, or path and symbol: put in front of the text when it is embedded and indexed."""
    start: int
    end: int
    """Offsets into the cleaned text, in characters."""
    tokens: int
    """Length of context and text by the embedding model's own tokenizer, special tokens included."""
    embed_hash: str
    """SHA-256 of the text that is embedded (context and text)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A retrieved chunk with where it came from: what a citation points to."""

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
    legs: Mapping[str, int]
    """Rank in each leg that found it (1 is best): {"dense": 3, "lexical": 1}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedText:
    """A page or paper that somebody gave as extra knowledge: other people's words, never the author's.

    Quoted in prompts with where it comes from. It is not a document: nothing searches it and nothing learns from it.
    """

    url: str
    """Where it was found, redirects followed."""
    title: str
    text: str
    """Its main text, or as much of it from its beginning as is quoted."""
    characters: int
    """How long the whole main text is."""
    written_at: datetime | None = None


QUESTION = "question"
"""Origin of an example that asks about what the author wrote (datasets/questions.py); of a draft's, who wrote its instruction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row to learn from. The answer is the author's own text, always; what a model wrote is only ever rejected."""

    id: str
    """SHA-256 of the document's id and of everything a model will see; minted in `identity.example_id`."""
    author_id: UUID
    document_id: UUID
    revision_id: UUID
    """The revision it was first made from. A later one with the same passage is the same example."""
    kind: ExampleKind
    category: Category
    origin: str
    """Where the instruction comes from: `llm` or `rule` for a draft, or QUESTION; for preferences who
    gave the rejected answer: `model`, or a person's `edit` or `rejection`."""
    prompt: tuple[tuple[str, str], ...]
    """(role, content) in order: system, then user. The serving prompt, context passages included."""
    answer: str
    """The author's passage: TRL's `completion`, or its `chosen`. To a question its beginning, with labels in it."""
    rejected: str | None = None
    language: str
    words: int
    """Of the answer."""
    start: int
    end: int
    """Offsets of the passage into the cleaned text of the revision, in characters. Inside, what others wrote is cut."""
    context_document_ids: tuple[UUID, ...] = ()
    """The documents whose passages stand in the prompt. The example's own is not among them, and is quoted to a question alone."""
    input_hash: str
    """Of what it was made from: passage, instruction, templates, rules. Equal: it need not be made again."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean of paired differences over held-out documents, and its 95 % interval. Higher is better for the first-named."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFilters:
    """What a search is narrowed to. Empty means everything; the author is never a filter but an argument."""

    categories: tuple[Category, ...] = ()
    source_ids: tuple[UUID, ...] = ()
    written_from: datetime | None = None
    written_to: datetime | None = None
    """Exclusive."""
    without_documents: tuple[UUID, ...] = ()
    """Documents that must not be found: the one an example is made from, and what is held out for evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """What one run of a feature stage did, in documents unless said otherwise. Zero everywhere: nothing to do."""

    done: int = 0
    unchanged: int = 0
    failed: int = 0
    deleted: int = 0
    rows: int = 0
    """Rows written: chunks for the chunk stage, vectors for the embed stage."""
    reused: int = 0
    """Vectors taken over instead of computed."""
    seconds: float = 0.0
    failures: Mapping[str, str] = field(default_factory=dict)
    """Document id -> reason. Ids only: a reason never quotes the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What one collection run of one source did, in items."""

    source_id: UUID
    platform: str
    locator: str
    run_id: UUID
    fetched: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    deleted: int = 0
    own_count: int | None = None
    seconds: float = 0.0
    error: str | None = None
    """Why the run stopped before the source's end, when it did. What came before is stored."""

    @property
    def complete(self) -> bool:
        """True when nothing failed: the run may be green."""
        return self.failed == 0 and self.error is None
