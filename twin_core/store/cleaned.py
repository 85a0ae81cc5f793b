"""The SQL of the clean stage: what is to be cleaned, what was, what could not be, and who resembles whom.

Cleaned documents are kept for every revision; only forgetting deletes them. Chunks are in `chunks.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, text

from twin_core.errors import NotFound
from twin_core.records import CleanedDocument
from twin_core.store.bulk import stage

CLEAN = "clean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A live document whose latest revision was not cleaned by this version of the stage."""

    document_id: UUID
    revision_id: UUID
    source_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """A cleaned document with what only the store keeps of it."""

    document: CleanedDocument
    source_id: UUID
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The MinHash signature of a live document's latest revision."""

    revision_id: UUID
    document_id: UUID
    cluster_id: UUID
    signature: bytes
    first_at: datetime
    """When it was written, or first collected where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """A document as it is read."""

    document_id: UUID
    revision_id: UUID
    title: str
    text: str


def readable(conn: Connection, author_id: UUID, document_id: UUID) -> Readable:
    """The latest cleaned text of a document that is there. Raises NotFound."""
    row = conn.execute(
        text("""
            SELECT d.id AS document_id, c.revision_id, coalesce(c.title, '') AS title, c.text FROM warehouse.documents d
            JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id AND c.author_id = d.author_id
            WHERE d.author_id = :author AND d.id = :document AND d.state = 'live'
        """),
        {"author": author_id, "document": document_id},
    ).one_or_none()
    if row is None:
        raise NotFound("There is no text of such a document: it is not there, or was not cleaned yet (`twin sync`).")
    return Readable(**row._mapping)  # noqa: SLF001  SQLAlchemy's public name


def count_live(conn: Connection, author_id: UUID) -> int:
    """Live documents of the author."""
    found = conn.execute(
        text("SELECT count(*) FROM warehouse.documents WHERE author_id = :author AND state = 'live'"),
        {"author": author_id},
    )
    return int(found.scalar_one())


def live_texts(conn: Connection, author_id: UUID) -> list[str]:
    """The cleaned text of every live document, in the order of document ids: what a stand-in model learns from."""
    rows = conn.execute(
        text("""
            SELECT c.text
            FROM warehouse.documents d
            JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
            WHERE d.author_id = :author AND d.state = 'live'
            ORDER BY d.id
        """),
        {"author": author_id},
    )
    return list(rows.scalars())


def pending_cleaning(conn: Connection, author_id: UUID, version: str) -> list[Pending]:
    """Live documents whose latest revision has neither a cleaned text nor a recorded failure of this version."""
    rows = conn.execute(
        text("""
            SELECT d.id, d.head_revision_id, d.source_id
            FROM warehouse.documents d
            LEFT JOIN features.cleaned_documents c
              ON c.revision_id = d.head_revision_id AND c.stage_version = :version
            LEFT JOIN features.failures f
              ON f.document_id = d.id AND f.stage = :stage AND f.input_hash = d.head_revision_id::text
             AND f.stage_version = :version
            WHERE d.author_id = :author AND d.state = 'live' AND c.revision_id IS NULL AND f.document_id IS NULL
            ORDER BY d.created_at, d.id
        """),
        {"author": author_id, "version": version, "stage": CLEAN},
    )
    return [Pending(document_id=row[0], revision_id=row[1], source_id=row[2]) for row in rows]


def publish_cleaned(conn: Connection, cleaned: Sequence[Cleaned], version: str) -> None:
    """Store cleaned revisions, replacing what an earlier version of the stage made of the same revisions.

    A new revision starts as its own cluster; `set_clusters` says otherwise.
    """
    if not cleaned:
        return
    stage(
        conn,
        "new_cleaned",
        {
            "revision_id": "uuid", "author_id": "uuid", "document_id": "uuid", "source_id": "uuid", "category": "text",
            "title": "text", "text": "text", "text_hash": "text", "language": "text", "words": "int4",
            "location": "text", "written_at": "timestamptz", "metadata": "jsonb", "signature": "bytea",
        },
        (
            (
                one.document.revision_id, one.document.author_id, one.document.document_id, one.source_id,
                one.document.category.value, one.document.title, one.document.text, one.document.text_hash,
                one.document.language, one.document.words, one.document.location, one.document.written_at,
                Jsonb(dict(one.document.metadata)), one.signature,
            )
            for one in cleaned
        ),
    )  # fmt: skip
    conn.execute(
        text("""
            INSERT INTO features.cleaned_documents AS c
                (revision_id, author_id, document_id, source_id, category, title, text, text_hash, language, words,
                 location, written_at, metadata, signature, cluster_id, stage_version)
            SELECT revision_id, author_id, document_id, source_id, category, title, text, text_hash, language, words,
                   location, written_at, metadata, signature, document_id, :version
            FROM new_cleaned
            ON CONFLICT (revision_id) DO UPDATE SET
                source_id = excluded.source_id, category = excluded.category, title = excluded.title,
                text = excluded.text, text_hash = excluded.text_hash, language = excluded.language,
                words = excluded.words, location = excluded.location, written_at = excluded.written_at,
                metadata = excluded.metadata, signature = excluded.signature, stage_version = excluded.stage_version,
                cleaned_at = now()
        """),
        {"version": version},
    )
    conn.execute(
        text(
            "DELETE FROM features.failures WHERE stage = :stage AND document_id IN (SELECT document_id FROM new_cleaned)"
        ),
        {"stage": CLEAN},
    )
    conn.execute(text("DROP TABLE new_cleaned"))


def record_failures(
    conn: Connection, author_id: UUID, stage_name: str, version: str, failures: Sequence[tuple[UUID, str, str]]
) -> None:
    """Record (document id, input hash, reason): not tried again until the input or the stage's version changes."""
    conn.execute(
        text("""
            INSERT INTO features.failures (author_id, stage, document_id, input_hash, stage_version, reason)
            SELECT :author, :stage, f.document_id, f.input_hash, :version, f.reason
            FROM unnest(CAST(:documents AS uuid[]), CAST(:hashes AS text[]), CAST(:reasons AS text[]))
                 AS f (document_id, input_hash, reason)
            ON CONFLICT (document_id, stage) DO UPDATE SET
                input_hash = excluded.input_hash, stage_version = excluded.stage_version, reason = excluded.reason,
                failed_at = now()
        """),
        {
            "author": author_id,
            "stage": stage_name,
            "version": version,
            "documents": [failure[0] for failure in failures],
            "hashes": [failure[1] for failure in failures],
            "reasons": [failure[2] for failure in failures],
        },
    )


def known_failures(conn: Connection, author_id: UUID, version: str) -> dict[UUID, str]:
    """Live documents whose latest revision this version of the stage could not clean, with the reason."""
    rows = conn.execute(
        text("""
            SELECT f.document_id, f.reason
            FROM features.failures f
            JOIN warehouse.documents d ON d.id = f.document_id AND d.head_revision_id::text = f.input_hash
            WHERE f.author_id = :author AND f.stage = :stage AND f.stage_version = :version AND d.state = 'live'
            ORDER BY f.document_id
        """),
        {"author": author_id, "stage": CLEAN, "version": version},
    )
    return {row[0]: row[1] for row in rows}


def cluster_state(conn: Connection, author_id: UUID) -> tuple[int, int]:
    """(clusters, live cleaned documents that name a canonical one which is live no more): cheap to ask every run."""
    row = conn.execute(
        text("""
            SELECT count(DISTINCT c.cluster_id), count(*) FILTER (WHERE canonical.state IS DISTINCT FROM 'live')
            FROM warehouse.documents d
            JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
            LEFT JOIN warehouse.documents canonical ON canonical.id = c.cluster_id
            WHERE d.author_id = :author AND d.state = 'live'
        """),
        {"author": author_id},
    ).one()
    return int(row[0]), int(row[1])


def signatures(conn: Connection, author_id: UUID) -> list[Signed]:
    """Every live document with a cleaned latest revision, the earliest first."""
    rows = conn.execute(
        text("""
            SELECT c.revision_id, c.document_id, c.cluster_id, c.signature, coalesce(c.written_at, d.created_at) AS at
            FROM warehouse.documents d
            JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id AND c.author_id = d.author_id
            WHERE d.author_id = :author AND d.state = 'live' AND c.signature IS NOT NULL
            ORDER BY at, d.created_at, d.id
        """),
        {"author": author_id},
    )
    return [
        Signed(revision_id=row[0], document_id=row[1], cluster_id=row[2], signature=bytes(row[3]), first_at=row[4])
        for row in rows
    ]


def set_clusters(conn: Connection, author_id: UUID, clusters: Mapping[UUID, UUID]) -> int:
    """Set revision id -> cluster id where it differs. Returns how many rows changed."""
    if not clusters:
        return 0
    changed = conn.execute(
        text("""
            UPDATE features.cleaned_documents c SET cluster_id = n.cluster_id
            FROM unnest(CAST(:revisions AS uuid[]), CAST(:clusters AS uuid[])) AS n (revision_id, cluster_id)
            WHERE c.revision_id = n.revision_id AND c.author_id = :author AND c.cluster_id <> n.cluster_id
        """),
        {"author": author_id, "revisions": list(clusters), "clusters": list(clusters.values())},
    )
    return changed.rowcount
