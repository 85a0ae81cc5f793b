"""The shapes of `/v1/datasets`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from msgspec import Meta, Struct

from twin_core.records import Category, Example, ExampleKind, Split
from twin_core.store.datasets import Version


class DatasetView(Struct, kw_only=True):
    """A published version of a dataset."""

    id: str
    kind: ExampleKind
    examples: Annotated[int, Meta(description="When it was published; fewer are there now if it is tainted.")]
    created_at: datetime
    published_at: datetime
    tainted_at: Annotated[datetime | None, Meta(description="When a document was forgotten that it was made from.")]

    @classmethod
    def of(cls, version: Version) -> Self:
        """The version as the API shows it."""
        return cls(
            id=version.id,
            kind=version.kind,
            examples=version.examples,
            created_at=version.created_at,
            published_at=version.published_at,
            tainted_at=version.tainted_at,
        )


class DatasetList(Struct, kw_only=True):
    """Versions, the one published last first."""

    datasets: list[DatasetView]
    next_cursor: str | None


class DatasetDetail(Struct, kw_only=True):
    """A version with all that is said of it."""

    dataset: DatasetView
    documents: Annotated[dict[Split, int], Meta(description="Documents on each side; a document stands on one.")]
    drops: Annotated[dict[str, int], Meta(description="Why passages were left out, and how many.")]
    manifest: Annotated[dict[str, Any], Meta(description="How it was made: settings, counts, models. No text.")]
    card: Annotated[str, Meta(description="The dataset card, Markdown with a YAML header.")]


class MessageView(Struct, kw_only=True):
    """One turn of a prompt."""

    role: str
    content: str


class ExampleView(Struct, kw_only=True):
    """One row to learn from."""

    id: str
    split: Split
    rank: int
    document_id: UUID
    revision_id: UUID
    category: Category
    origin: str
    prompt: list[MessageView]
    answer: Annotated[str, Meta(description="The author's own text: `completion`, or `chosen` of a preference.")]
    rejected: str | None
    language: str
    words: int

    @classmethod
    def of(cls, split: Split, rank: int, example: Example) -> Self:
        """The example as the API shows it."""
        return cls(
            id=example.id,
            split=split,
            rank=rank,
            document_id=example.document_id,
            revision_id=example.revision_id,
            category=example.category,
            origin=example.origin,
            prompt=[MessageView(role=role, content=content) for role, content in example.prompt],
            answer=example.answer,
            rejected=example.rejected,
            language=example.language,
            words=example.words,
        )


class ExampleList(Struct, kw_only=True):
    """Examples by split, train first, and rank."""

    examples: list[ExampleView]
    next_cursor: str | None
