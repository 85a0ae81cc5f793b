"""Which document each location belongs to: read in one go for a batch of items, written back in one go.

The rules by which a location finds its document are in `collect/placing.py`, a pure module over the two records
below. Here is only how they come from and go to Postgres: a handful of set-based statements per batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.records import Category


@dataclass(slots=True, kw_only=True)
class Document:
    """A row of `warehouse.documents`, changed in memory while a batch is placed."""

    id: UUID
    source_id: UUID
    category: Category
    state: Literal["live", "gone", "merged"]
    head_revision_id: UUID
    content_hash: str


@dataclass(slots=True, kw_only=True)
class Place:
    """A row of `warehouse.document_locations`, changed in memory while a batch is placed."""

    source_id: UUID
    native_id: str
    document_id: UUID
    revision_id: UUID
    holder_id: UUID
    """The document that the revision belongs to: another one (now merged) where a person merged two texts."""
    location: str
    content_hash: str
    validators: Mapping[str, str]
    live: bool
    mints: int
    """How many documents were minted here."""
    first_seen_at: datetime
    """When it became a location of this document: the earliest live one leads."""
    last_seen_at: datetime

    @property
    def key(self) -> tuple[UUID, str]:
        """Source and native id: what identifies a location."""
        return self.source_id, self.native_id


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRow:
    """A row of `warehouse.revisions`: that this document once had this text, and where."""

    id: UUID
    document_id: UUID
    source_id: UUID
    native_id: str
    content_hash: str
    fetched_at: datetime


@dataclass(slots=True)
class Shelf:
    """A part of an author's documents with all their live locations: what a batch is placed on."""

    documents: dict[UUID, Document] = field(default_factory=dict)
    places: dict[tuple[UUID, str], Place] = field(default_factory=dict)


def load_shelf(
    conn: Connection,
    author_id: UUID,
    source_id: UUID,
    *,
    native_ids: Sequence[str],
    content_hashes: Sequence[str] = (),
    document_ids: Sequence[UUID] = (),
) -> Shelf:
    """The locations named, their documents, the documents with one of these texts, those of these ids; and of every
    document its live locations in all sources. Merged documents come only by id.
    """
    shelf = Shelf()
    _add_places(
        shelf,
        conn,
        "l.author_id = :author AND l.source_id = :source AND l.native_id = ANY(CAST(:natives AS text[]))",
        {"author": author_id, "source": source_id, "natives": list(native_ids)},
    )
    wanted = {id_ for place in shelf.places.values() for id_ in (place.document_id, place.holder_id)} | {*document_ids}
    rows = conn.execute(
        text("""
            SELECT id, source_id, category, state, head_revision_id, content_hash FROM warehouse.documents
            WHERE author_id = :author AND (id = ANY(CAST(:ids AS uuid[]))
                  OR (content_hash = ANY(CAST(:hashes AS text[])) AND state <> 'merged'))
        """),
        {"author": author_id, "ids": list(wanted), "hashes": list(content_hashes)},
    )
    for row in rows:
        shelf.documents[row.id] = Document(
            id=row.id,
            source_id=row.source_id,
            category=Category(row.category),
            state=row.state,
            head_revision_id=row.head_revision_id,
            content_hash=row.content_hash,
        )
    _add_places(
        shelf,
        conn,
        "l.author_id = :author AND l.document_id = ANY(CAST(:ids AS uuid[])) AND l.state = 'live'",
        {"author": author_id, "ids": list(shelf.documents)},
    )
    return shelf


def unseen_places(conn: Connection, run_id: UUID, source_id: UUID) -> list[str]:
    """Native ids of the source's live locations that the run has no item of."""
    rows = conn.execute(
        text("""
            SELECT l.native_id FROM warehouse.document_locations l
            WHERE l.source_id = :source AND l.state = 'live' AND NOT EXISTS
                  (SELECT FROM warehouse.ledger i WHERE i.run_id = :run AND i.native_id = l.native_id)
            ORDER BY l.native_id
        """),
        {"source": source_id, "run": run_id},
    )
    return list(rows.scalars())


def strayed_places(conn: Connection, run_id: UUID, source_id: UUID) -> list[str]:
    """Native ids of live locations that the run saw with another text than their document's.

    Locations that a person merged into their document are not among them: their revision is the merged document's.
    """
    rows = conn.execute(
        text("""
            SELECT l.native_id FROM warehouse.document_locations l
            JOIN warehouse.documents d ON d.id = l.document_id
            JOIN warehouse.revisions r ON r.id = l.revision_id AND r.document_id = l.document_id
            JOIN warehouse.ledger i ON i.run_id = :run AND i.native_id = l.native_id
            WHERE l.source_id = :source AND l.state = 'live' AND l.content_hash <> d.content_hash
              AND i.outcome IN ('fetched', 'unchanged')
            ORDER BY l.native_id
        """),
        {"source": source_id, "run": run_id},
    )
    return list(rows.scalars())


def write_documents(conn: Connection, author_id: UUID, documents: Iterable[Document]) -> None:
    """Insert or update documents. One statement."""
    rows = list(documents)
    if not rows:
        return
    conn.execute(
        text("""
            INSERT INTO warehouse.documents AS d
                (id, author_id, source_id, category, state, head_revision_id, content_hash)
            SELECT id, CAST(:author AS uuid), source_id, category, state, head, hash
            FROM unnest(CAST(:ids AS uuid[]), CAST(:sources AS uuid[]), CAST(:categories AS text[]),
                        CAST(:states AS text[]), CAST(:heads AS uuid[]), CAST(:hashes AS text[]))
                 AS given (id, source_id, category, state, head, hash)
            ON CONFLICT (id) DO UPDATE
               SET category = excluded.category, state = excluded.state, head_revision_id = excluded.head_revision_id,
                   content_hash = excluded.content_hash, updated_at = now()
             WHERE (d.category, d.state, d.head_revision_id, d.content_hash) IS DISTINCT FROM
                   (excluded.category, excluded.state, excluded.head_revision_id, excluded.content_hash)
        """),
        {
            "author": author_id,
            "ids": [row.id for row in rows],
            "sources": [row.source_id for row in rows],
            "categories": [row.category.value for row in rows],
            "states": [row.state for row in rows],
            "heads": [row.head_revision_id for row in rows],
            "hashes": [row.content_hash for row in rows],
        },
    )


def write_revisions(conn: Connection, author_id: UUID, revisions: Iterable[RevisionRow]) -> None:
    """Insert revisions that are not there. One statement."""
    rows = list(revisions)
    if not rows:
        return
    conn.execute(
        text("""
            INSERT INTO warehouse.revisions
                (id, author_id, document_id, source_id, native_id, content_hash, fetched_at)
            SELECT id, CAST(:author AS uuid), document_id, source_id, native_id, hash, fetched_at
            FROM unnest(CAST(:ids AS uuid[]), CAST(:documents AS uuid[]), CAST(:sources AS uuid[]),
                        CAST(:natives AS text[]), CAST(:hashes AS text[]), CAST(:times AS timestamptz[]))
                 AS given (id, document_id, source_id, native_id, hash, fetched_at)
            ON CONFLICT (id) DO NOTHING
        """),
        {
            "author": author_id,
            "ids": [row.id for row in rows],
            "documents": [row.document_id for row in rows],
            "sources": [row.source_id for row in rows],
            "natives": [row.native_id for row in rows],
            "hashes": [row.content_hash for row in rows],
            "times": [row.fetched_at for row in rows],
        },
    )


def write_places(conn: Connection, author_id: UUID, places: Iterable[Place]) -> None:
    """Insert or update locations. One statement."""
    rows = list(places)
    if not rows:
        return
    conn.execute(
        text("""
            INSERT INTO warehouse.document_locations
                (author_id, source_id, native_id, document_id, revision_id, location, content_hash, validators, state,
                 mints, first_seen_at, last_seen_at)
            SELECT CAST(:author AS uuid), source_id, native_id, document_id, revision_id, location, hash,
                   validators::jsonb, state, mints, first_seen_at, last_seen_at
            FROM unnest(CAST(:sources AS uuid[]), CAST(:natives AS text[]), CAST(:documents AS uuid[]),
                        CAST(:revisions AS uuid[]), CAST(:locations AS text[]), CAST(:hashes AS text[]),
                        CAST(:validators AS text[]), CAST(:states AS text[]), CAST(:mints AS integer[]),
                        CAST(:first AS timestamptz[]), CAST(:last AS timestamptz[]))
                 AS given (source_id, native_id, document_id, revision_id, location, hash, validators, state, mints,
                           first_seen_at, last_seen_at)
            ON CONFLICT (source_id, native_id) DO UPDATE
               SET document_id = excluded.document_id, revision_id = excluded.revision_id,
                   location = excluded.location, content_hash = excluded.content_hash,
                   validators = excluded.validators, state = excluded.state, mints = excluded.mints,
                   first_seen_at = excluded.first_seen_at, last_seen_at = excluded.last_seen_at
        """),
        {
            "author": author_id,
            "sources": [row.source_id for row in rows],
            "natives": [row.native_id for row in rows],
            "documents": [row.document_id for row in rows],
            "revisions": [row.revision_id for row in rows],
            "locations": [row.location for row in rows],
            "hashes": [row.content_hash for row in rows],
            "validators": [json.dumps(dict(row.validators)) for row in rows],
            "states": ["live" if row.live else "gone" for row in rows],
            "mints": [row.mints for row in rows],
            "first": [row.first_seen_at for row in rows],
            "last": [row.last_seen_at for row in rows],
        },
    )


def _add_places(shelf: Shelf, conn: Connection, condition: str, values: Mapping[str, object]) -> None:
    rows = conn.execute(
        text(f"""
            SELECT l.source_id, l.native_id, l.document_id, l.revision_id, r.document_id AS holder_id, l.location,
                   l.content_hash, l.validators, l.state, l.mints, l.first_seen_at, l.last_seen_at
            FROM warehouse.document_locations l JOIN warehouse.revisions r ON r.id = l.revision_id
            WHERE {condition}
        """),
        values,
    )
    for row in rows:
        shelf.places.setdefault(
            (row.source_id, row.native_id),
            Place(
                source_id=row.source_id,
                native_id=row.native_id,
                document_id=row.document_id,
                revision_id=row.revision_id,
                holder_id=row.holder_id,
                location=row.location,
                content_hash=row.content_hash,
                validators=row.validators,
                live=row.state == "live",
                mints=row.mints,
                first_seen_at=row.first_seen_at,
                last_seen_at=row.last_seen_at,
            ),
        )
