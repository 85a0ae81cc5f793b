"""Which document each location belongs to: read in one go for a batch of items, written back in one go.

The rules by which a location finds its document are in `collect/placing.py`, a pure module over the two records
below. Here is only how they come from and go to Postgres: a handful of set-based statements per batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.records import Category


class Joined(StrEnum):
    """Why a location belongs to its document. In the order in which the grounds are tried; see `collect/placing.py`."""

    MINTED = "minted"
    """The document was made here, or its maker's text is no longer to be found anywhere else."""
    CANONICAL_URL = "canonical_url"
    PLATFORM_ID = "platform_id"
    SAME_TEXT = "same_text"
    NEAR_DUPLICATE = "near_duplicate"
    BY_HAND = "by_hand"
    """A person said so: nothing that is collected later changes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """By what an item may be known to be the same writing as another one. Empty where nothing is known."""

    canonical_url: str | None = None
    """The address that the item names as its own, reduced to what identifies a page."""
    address: str | None = None
    """The address where it was found, reduced likewise."""
    platform_id: str | None = None
    words: int | None = None
    signature: bytes | None = None
    """MinHash of its words; None for code and for texts too short to be told apart by it."""
    bands: tuple[int, ...] = ()
    """Of the signature: texts that resemble each other have some in common."""

    @property
    def addresses(self) -> frozenset[str]:
        """Where the item says that it is, and where it was found."""
        return frozenset(url for url in (self.canonical_url, self.address) if url is not None)


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
    marks: Marks = Marks()
    changed_at: datetime | None = None
    """As of when its text is known to be the newest: stated by the source, or when an edit was seen here."""
    joined_by: Joined = Joined.MINTED
    evidence: str | None = None
    """What `joined_by` rests on: the address, the id, the similarity."""
    leads: str | None = None
    """Why the document's text is this one: only, first, fullest or newest. None: another location's is."""

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
    marks: Sequence[Marks] = (),
) -> Shelf:
    """The locations named and those that have one of these marks, their documents, the documents with one of these
    texts, those of these ids; and of every document its live locations in all sources. Merged documents come only by id.
    """
    shelf = Shelf()
    _add_places(
        shelf,
        conn,
        "l.author_id = :author AND l.source_id = :source AND l.native_id = ANY(CAST(:natives AS text[]))",
        {"author": author_id, "source": source_id, "natives": list(native_ids)},
    )
    _add_marked(shelf, conn, author_id, marks)
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

    Those that an address, a platform's id or a person holds are not among them: they belong there with any text.
    """
    rows = conn.execute(
        text("""
            SELECT l.native_id FROM warehouse.document_locations l
            JOIN warehouse.documents d ON d.id = l.document_id
            JOIN warehouse.ledger i ON i.run_id = :run AND i.native_id = l.native_id
            WHERE l.source_id = :source AND l.state = 'live' AND l.content_hash <> d.content_hash
              AND i.outcome IN ('fetched', 'unchanged')
              AND l.joined_by IN ('minted', 'same_text', 'near_duplicate')
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
                 mints, first_seen_at, last_seen_at, canonical_url, address, platform_id, words, signature, bands,
                 changed_at, joined_by, evidence, leads)
            SELECT CAST(:author AS uuid), source_id, native_id, document_id, revision_id, location, hash,
                   validators::jsonb, state, mints, first_seen_at, last_seen_at, canonical, address, platform_id, words,
                   signature, bands::bigint[], changed_at, joined_by, evidence, leads
            FROM unnest(CAST(:sources AS uuid[]), CAST(:natives AS text[]), CAST(:documents AS uuid[]),
                        CAST(:revisions AS uuid[]), CAST(:locations AS text[]), CAST(:hashes AS text[]),
                        CAST(:validators AS text[]), CAST(:states AS text[]), CAST(:mints AS integer[]),
                        CAST(:first AS timestamptz[]), CAST(:last AS timestamptz[]), CAST(:canonicals AS text[]),
                        CAST(:addresses AS text[]), CAST(:platform_ids AS text[]), CAST(:words AS integer[]),
                        CAST(:signatures AS bytea[]), CAST(:bands AS text[]), CAST(:changed AS timestamptz[]),
                        CAST(:joined AS text[]), CAST(:evidence AS text[]), CAST(:leads AS text[]))
                 AS given (source_id, native_id, document_id, revision_id, location, hash, validators, state, mints,
                           first_seen_at, last_seen_at, canonical, address, platform_id, words, signature, bands,
                           changed_at, joined_by, evidence, leads)
            ON CONFLICT (source_id, native_id) DO UPDATE
               SET document_id = excluded.document_id, revision_id = excluded.revision_id,
                   location = excluded.location, content_hash = excluded.content_hash,
                   validators = excluded.validators, state = excluded.state, mints = excluded.mints,
                   first_seen_at = excluded.first_seen_at, last_seen_at = excluded.last_seen_at,
                   canonical_url = excluded.canonical_url, address = excluded.address,
                   platform_id = excluded.platform_id, words = excluded.words, signature = excluded.signature,
                   bands = excluded.bands, changed_at = excluded.changed_at, joined_by = excluded.joined_by,
                   evidence = excluded.evidence, leads = excluded.leads
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
            "canonicals": [row.marks.canonical_url for row in rows],
            "addresses": [row.marks.address for row in rows],
            "platform_ids": [row.marks.platform_id for row in rows],
            "words": [row.marks.words for row in rows],
            "signatures": [row.marks.signature for row in rows],
            # An array of arrays must be a rectangle, and some have none: as text, one by one.
            "bands": [f"{{{','.join(map(str, row.marks.bands))}}}" if row.marks.bands else None for row in rows],
            "changed": [row.changed_at for row in rows],
            "joined": [row.joined_by.value for row in rows],
            "evidence": [row.evidence for row in rows],
            "leads": [row.leads for row in rows],
        },
    )


def _add_marked(shelf: Shelf, conn: Connection, author_id: UUID, marks: Sequence[Marks]) -> None:
    """Locations that share an address or a platform's id, gone ones too; and live ones whose texts may be alike."""
    addresses = sorted({address for one in marks for address in one.addresses})
    platform_ids = sorted({one.platform_id for one in marks if one.platform_id is not None})
    bands = sorted({band for one in marks for band in one.bands})
    for asked, condition in (
        (addresses, "(l.canonical_url = ANY(CAST(:asked AS text[])) OR l.address = ANY(CAST(:asked AS text[])))"),
        (platform_ids, "l.platform_id = ANY(CAST(:asked AS text[]))"),
        (bands, "l.bands && CAST(:asked AS bigint[]) AND l.state = 'live'"),
    ):
        if asked:
            _add_places(shelf, conn, f"l.author_id = :author AND {condition}", {"author": author_id, "asked": asked})


def _add_places(shelf: Shelf, conn: Connection, condition: str, values: Mapping[str, object]) -> None:
    rows = conn.execute(
        text(f"""
            SELECT l.source_id, l.native_id, l.document_id, l.revision_id, r.document_id AS holder_id, l.location,
                   l.content_hash, l.validators, l.state, l.mints, l.first_seen_at, l.last_seen_at, l.canonical_url,
                   l.address, l.platform_id, l.words, l.signature, l.bands, l.changed_at, l.joined_by, l.evidence, l.leads
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
                marks=Marks(
                    canonical_url=row.canonical_url,
                    address=row.address,
                    platform_id=row.platform_id,
                    words=row.words,
                    signature=None if row.signature is None else bytes(row.signature),
                    bands=tuple(row.bands or ()),
                ),
                changed_at=row.changed_at,
                joined_by=Joined(row.joined_by),
                evidence=row.evidence,
                leads=row.leads,
            ),
        )
