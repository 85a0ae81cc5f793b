"""The shapes of `/v1/authors`."""

from __future__ import annotations

from typing import Annotated, Self

from msgspec import UNSET, Meta, Struct, UnsetType

from twin_core.records import Author
from twin_core.store.facts import Totals


class CountsView(Struct, kw_only=True):
    """How much of the author's writing each stage holds now."""

    documents: int
    cleaned: int
    chunks: int
    vectors: Annotated[int, Meta(description="Of the embedding model that serves.")]


class AuthorView(Struct, kw_only=True):
    """The person whose twin it is."""

    slug: Annotated[str, Meta(description="The name of the twin: `model` of a question.")]
    name: str
    language: Annotated[str, Meta(description="ISO 639-1: what the author mostly writes in.")]
    counts: CountsView

    @classmethod
    def of(cls, author: Author, totals: Totals) -> Self:
        """The author as the API shows them."""
        counts = CountsView(
            documents=totals.documents, cleaned=totals.cleaned, chunks=totals.chunks, vectors=totals.vectors
        )
        return cls(slug=author.slug, name=author.name, language=author.language, counts=counts)


class AuthorList(Struct, kw_only=True):
    """The authors that this key may see: one."""

    authors: list[AuthorView]
    next_cursor: None = None


class AuthorChange(Struct, kw_only=True, forbid_unknown_fields=True):
    """What to change. What is left out stays."""

    name: Annotated[str, Meta(min_length=1, max_length=200, description="The name that readers know.")] | UnsetType = (
        UNSET
    )
    language: Annotated[str, Meta(pattern="^[a-z]{2}$", description="ISO 639-1.")] | UnsetType = UNSET
