"""An author's documents as people ask for them: what is known of a source, which one a key means, lists, lineage.

Reading only. Documents are made by collection (`placement.py`), joined by `merging.py`, removed by `purging.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.engine import RowMapping

from twin_core.errors import InvalidInput, NotFound
from twin_core.records import Category, Known

_ID_PREFIX = re.compile(r"[0-9a-f-]{4,36}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRow:
    """One document as a list shows it."""

    id: UUID
    source_id: UUID
    platform: str
    category: Category
    state: str
    title: str | None
    """None until the document was cleaned."""
    location: str | None
    """Its leading location, or the last one it had."""
    words: int | None
    written_at: datetime | None
    revisions: int
    locations: int
    """How many live ones."""
    created_at: datetime
    updated_at: datetime

    @property
    def listed_at(self) -> datetime:
        """By what lists are ordered: when it was written, or first collected where that is not known."""
        return self.written_at or self.created_at


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationRow:
    """One place where a document was found."""

    source_id: UUID
    platform: str
    native_id: str
    location: str
    live: bool
    revision_id: UUID
    first_seen_at: datetime
    last_seen_at: datetime
    joined_by: str
    """Why it belongs to the document: minted, canonical_url, platform_id, same_text, near_duplicate or by_hand."""
    evidence: str | None
    """The address, the id or the likeness that this rests on."""
    leads: str | None
    """Why the document has this location's text: only, first, fullest or newest; None where it has another's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionSummary:
    """One state that a document had."""

    id: UUID
    content_hash: str
    native_id: str
    fetched_at: datetime
    head: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A document with where it comes from: source, locations, revisions, and the documents merged into it."""

    document: DocumentRow
    source_locator: str
    locations: list[LocationRow]
    revisions: list[RevisionSummary]
    merged: list[UUID]


def known_locations(conn: Connection, source_id: UUID, native_ids: Sequence[str] | None = None) -> dict[str, Known]:
    """Native id -> what is stored of the source's live locations; of those named only, where any are."""
    rows = conn.execute(
        text("""
            SELECT native_id, location, content_hash, validators FROM warehouse.document_locations
             WHERE source_id = :source AND state = 'live'
               AND (CAST(:natives AS text[]) IS NULL OR native_id = ANY(CAST(:natives AS text[])))
        """),
        {"source": source_id, "natives": None if native_ids is None else list(native_ids)},
    )
    return {row.native_id: Known(**row) for row in rows.mappings()}


def list_documents(
    conn: Connection,
    author_id: UUID,
    *,
    category: Category | None = None,
    source_id: UUID | None = None,
    state: str = "live",
    limit: int = 50,
    offset: int = 0,
) -> list[DocumentRow]:
    """Documents of an author, latest written first, narrowed and paged."""
    return _rows(
        conn,
        """
        d.author_id = :author AND d.state = :state AND (CAST(:category AS text) IS NULL OR d.category = :category)
        AND (CAST(:source AS uuid) IS NULL OR EXISTS (SELECT FROM warehouse.document_locations s
             WHERE s.document_id = d.id AND s.source_id = :source))
        ORDER BY coalesce(c.written_at, d.created_at) DESC, d.id LIMIT :limit OFFSET :offset
        """,
        {
            "author": author_id,
            "category": None if category is None else category.value,
            "source": source_id,
            "state": state,
            "limit": limit,
            "offset": offset,
        },
    )


def page_of_documents(
    conn: Connection,
    author_id: UUID,
    *,
    category: Category | None = None,
    source_id: UUID | None = None,
    state: str = "live",
    containing: str | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> list[DocumentRow]:
    """As `list_documents`, from the one after `after` (its `listed_at` and id): a page never repeats or misses one that is
    there throughout. `containing` narrows to those whose title, address or item name has these words.
    """
    return _rows(
        conn,
        """
        d.author_id = :author AND d.state = :state AND (CAST(:category AS text) IS NULL OR d.category = :category)
        AND (CAST(:source AS uuid) IS NULL OR EXISTS (SELECT FROM warehouse.document_locations s
             WHERE s.document_id = d.id AND s.source_id = :source))
        AND (CAST(:words AS text) IS NULL OR strpos(lower(c.title), lower(:words)) > 0
             OR EXISTS (SELECT FROM warehouse.document_locations w WHERE w.document_id = d.id
                        AND strpos(lower(w.location || ' ' || w.native_id), lower(:words)) > 0))
        AND (CAST(:at AS timestamptz) IS NULL OR coalesce(c.written_at, d.created_at) < :at
             OR (coalesce(c.written_at, d.created_at) = :at AND d.id > CAST(:id AS uuid)))
        ORDER BY coalesce(c.written_at, d.created_at) DESC, d.id LIMIT :limit
        """,
        {
            "author": author_id,
            "category": None if category is None else category.value,
            "source": source_id,
            "state": state,
            "words": containing,
            "at": None if after is None else after[0],
            "id": None if after is None else after[1],
            "limit": limit,
        },
    )


def documents_of_source(conn: Connection, source_id: UUID) -> list[UUID]:
    """Every document that was minted in the source or has a location there."""
    rows = conn.execute(
        text("""
            SELECT id FROM warehouse.documents d WHERE d.source_id = :source OR EXISTS
                   (SELECT FROM warehouse.document_locations l WHERE l.document_id = d.id AND l.source_id = :source)
            ORDER BY id
        """),
        {"source": source_id},
    )
    return list(rows.scalars())


def resolve_document(conn: Connection, author_id: UUID, key: str) -> UUID:
    """The document that a person means by `key`: its id or the beginning of it, a URL, a path, an item name, a title.

    A merged document's id leads to the one it was merged into. Raises NotFound when nothing of this author fits,
    InvalidInput naming the choices when more than one does.
    """
    key = key.strip()
    questions = [
        "l.location = :key OR l.native_id = :key",
        "right(l.location, length(:key) + 1) = '/' || :key",
        "lower(c.title) = lower(:key)",
    ]
    if _ID_PREFIX.fullmatch(key.lower()):
        questions.insert(0, "starts_with(d.id::text, lower(:key))")
    for question in questions if key else []:
        found = conn.execute(
            text(f"""
                SELECT DISTINCT coalesce(d.merged_into, d.id) AS id FROM warehouse.documents d
                LEFT JOIN warehouse.document_locations l ON l.document_id = d.id
                LEFT JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
                WHERE d.author_id = :author AND ({question}) ORDER BY id LIMIT 6
            """),
            {"author": author_id, "key": key},
        )
        ids = list(found.scalars())
        if len(ids) == 1:
            return UUID(str(ids[0]))
        if ids:
            raise InvalidInput(
                f"`{key}` fits more than one document: {', '.join(map(str, ids[:5]))}"
                f"{', …' if len(ids) > 5 else ''}. Name one by its id."
            )
    raise NotFound(
        f"No document of this author has `{key}` as its id, address, item name or title. `twin documents` lists them."
    )


def resolve_location(conn: Connection, author_id: UUID, key: str) -> tuple[UUID, str]:
    """The (source id, native id) of the live location that a person means by its address, path or item name.

    Raises NotFound when there is none, InvalidInput when several sources have one of that name.
    """
    found = conn.execute(
        text("""
            SELECT source_id, native_id, location FROM warehouse.document_locations
             WHERE author_id = :author AND state = 'live' AND (location = :key OR native_id = :key
                   OR source_id || ':' || native_id = :key) ORDER BY source_id, native_id LIMIT 6
        """),
        {"author": author_id, "key": key.strip()},
    ).all()
    if not found:
        raise NotFound(f"No live location of this author is `{key}`. `twin documents show KEY` lists a document's.")
    if len(found) > 1:
        choices = ", ".join(f"{row.source_id}:{row.native_id}" for row in found)
        raise InvalidInput(f"`{key}` is a location in more than one source. Name one of: {choices}.")
    return found[0].source_id, found[0].native_id


def lineage(conn: Connection, author_id: UUID, document_id: UUID) -> Lineage:
    """The document with its source, locations and revisions. Raises NotFound."""
    rows = _rows(conn, "d.author_id = :author AND d.id = :id", {"author": author_id, "id": document_id})
    if not rows:
        raise NotFound(f"There is no document {document_id}. `twin documents` lists those there are.")
    document, names = rows[0], {"id": document_id}
    locator = conn.execute(
        text("SELECT locator FROM warehouse.sources WHERE id = :id"), {"id": document.source_id}
    ).scalar_one()
    locations = conn.execute(
        text("""
            SELECT l.source_id, s.platform, l.native_id, l.location, l.state = 'live' AS live, l.revision_id,
                   l.first_seen_at, l.last_seen_at, l.joined_by, l.evidence, l.leads
            FROM warehouse.document_locations l JOIN warehouse.sources s ON s.id = l.source_id
            WHERE l.document_id = :id ORDER BY l.leads IS NULL, live DESC, l.first_seen_at, l.source_id, l.native_id
        """),
        names,
    )
    revisions = conn.execute(
        text("""
            SELECT r.id, r.content_hash, r.native_id, r.fetched_at, r.id = d.head_revision_id AS head
            FROM warehouse.revisions r JOIN warehouse.documents d ON d.id = r.document_id
            WHERE r.document_id = :id ORDER BY r.fetched_at DESC, r.id
        """),
        names,
    )
    merged = conn.execute(text("SELECT id FROM warehouse.documents WHERE merged_into = :id ORDER BY id"), names)
    return Lineage(
        document=document,
        source_locator=str(locator),
        locations=[LocationRow(**row) for row in locations.mappings()],
        revisions=[RevisionSummary(**row) for row in revisions.mappings()],
        merged=list(merged.scalars()),
    )


def _rows(conn: Connection, condition: str, values: Mapping[str, object]) -> list[DocumentRow]:
    rows = conn.execute(
        text(f"""
            SELECT d.id, d.source_id, s.platform, d.category, d.state, c.title, c.words, c.written_at, d.created_at,
                   d.updated_at,
                   (SELECT l.location FROM warehouse.document_locations l WHERE l.document_id = d.id
                     ORDER BY l.leads IS NULL, l.state = 'live' DESC, l.first_seen_at, l.source_id, l.native_id LIMIT 1)
                     AS location,
                   (SELECT count(*) FROM warehouse.revisions r WHERE r.document_id = d.id) AS revisions,
                   (SELECT count(*) FROM warehouse.document_locations l
                     WHERE l.document_id = d.id AND l.state = 'live') AS locations
            FROM warehouse.documents d
            JOIN warehouse.sources s ON s.id = d.source_id
            LEFT JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
            WHERE {condition}
        """),
        values,
    )
    return [_document(row) for row in rows.mappings()]


def _document(row: RowMapping) -> DocumentRow:
    return DocumentRow(**{**row, "category": Category(row["category"])})
