"""Documents and revisions of given text, as plain values."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid5

from twin_core import identity
from twin_core.records import Category, CleanedDocument, RawRevision

_HERE = UUID("00000000-0000-5000-8000-000000000000")


def cleaned(
    text: str, *, category: Category = Category.ARTICLE, title: str = "Title", language: str = "en"
) -> CleanedDocument:
    return CleanedDocument(
        document_id=uuid5(_HERE, "document"), revision_id=uuid5(_HERE, text), author_id=_HERE, category=category,
        title=title, text=text, text_hash=identity.sha256(text), language=language, words=1, location="/x",
        written_at=None,
    )  # fmt: skip


def raw(
    body: bytes, *, category: Category = Category.ARTICLE, media_type: str = "text/markdown", name: str = "a.md",
    title: str | None = None, **metadata: object,
) -> RawRevision:  # fmt: skip
    return RawRevision(
        id=_HERE, document_id=_HERE, author_id=_HERE, source_id=_HERE, native_id=name, location=f"/notes/{name}",
        category=category, media_type=media_type, body=body, content_hash="", title=title, written_at=None,
        modified_at=None, metadata=metadata, fetched_at=datetime(2024, 1, 1, tzinfo=UTC),
    )  # fmt: skip
