"""Recognising and collecting an export without a database, as the command and the run do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from tests.collect.conftest import AUTHOR
from twin_core.collect import formats
from twin_core.collect.registry import collector_for
from twin_core.features.clean import clean_revision
from twin_core.records import Author, Category, Found, Item, Known, RawRevision, Source
from twin_core.settings import Settings

JANE = Author(id=AUTHOR, slug="jane-doe", name="Jane Doe")


def sources_of(path: Path, settings: Settings, *own: str) -> list[Source]:
    """The sources that a path becomes."""
    options: dict[str, str | list[str]] = {"as": list(own)} if own else {}
    return [one.source(AUTHOR, own, []) for one in formats.recognise(path, options, settings)]


def items_of(path: Path, settings: Settings, *own: str, known: Mapping[str, Known] | None = None) -> list[Item]:
    """All items of the one source at a path."""
    (source,) = sources_of(path, settings, *own)
    return list(collector_for(source.platform).collect(source, known or {}, settings))


@dataclass(frozen=True)
class Out:
    """A document as it comes out of the cleaner."""

    category: Category
    title: str
    text: str
    written_at: datetime | None


def cleaned(item: Item) -> Out:
    """What the cleaner makes of an item."""
    assert isinstance(item, Found), item
    document = clean_revision(
        RawRevision(
            id=uuid4(),
            document_id=uuid4(),
            author_id=AUTHOR,
            source_id=uuid4(),
            native_id=item.native_id,
            location=item.location,
            category=item.category,
            media_type=item.media_type,
            body=item.body,
            content_hash=item.content_hash,
            title=item.title,
            written_at=item.written_at,
            modified_at=item.modified_at,
            metadata=item.metadata,
            fetched_at=datetime.now(UTC),
        ),
        "en",
    )
    return Out(document.category, document.title, document.text, document.written_at)
