"""Which files there are, whose they are, and on which documents they rest: the rows beside the file store.

A file whose text comes from documents is stored and recorded by `file_text`;
forgetting one of its documents then removes it whole, because a Parquet file or a report cannot be
rewritten without ceasing to be what its key says. What is stored is in `files.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.errors import Refused
from twin_core.store.database import Database
from twin_core.store.files import FileStore, key_of

_HOLDS = "document_ids && CAST(:ids AS uuid[])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """A row of `training.files`."""

    key: str
    author_id: UUID
    kind: str
    version_id: str | None
    bytes: int
    created_at: datetime


def file_text(
    database: Database,
    store: FileStore,
    author_id: UUID,
    content: bytes,
    *,
    ending: str,
    kind: str,
    document_ids: Sequence[UUID],
    version_id: str | None = None,
) -> str:
    """Store a file that holds text of these documents, and return its key.

    The row comes first: an interruption leaves a row without a file, which forgetting clears, and never a file that
    forgetting cannot find. Whether a document is being forgotten is asked again afterwards, because forgetting may
    have passed by between the two. Raises Refused then, and nothing is left.
    """
    key, ids = key_of(author_id, content, ending=ending), sorted(set(document_ids))
    with database.transaction() as conn:
        _refuse_forgotten(conn, author_id, ids)
        conn.execute(
            text("""
                INSERT INTO training.files (key, author_id, kind, version_id, document_ids, bytes)
                VALUES (:key, :author, :kind, :version, CAST(:ids AS uuid[]), :bytes)
                ON CONFLICT (key) DO UPDATE SET version_id = excluded.version_id, document_ids =
                    ARRAY(SELECT unnest(files.document_ids) UNION SELECT unnest(excluded.document_ids) ORDER BY 1)
            """),
            {
                "key": key,
                "author": author_id,
                "kind": kind,
                "version": version_id,
                "ids": ids,
                "bytes": len(content),
            },
        )
    store.put(author_id, content, ending=ending)
    try:
        with database.transaction() as conn:
            _refuse_forgotten(conn, author_id, ids)
    except Refused:
        store.delete(key)
        with database.transaction() as conn:
            unfile(conn, [key])
        raise
    return key


def _refuse_forgotten(conn: Connection, author_id: UUID, document_ids: Sequence[UUID]) -> None:
    """Raise Refused unless all these documents are there and none is being forgotten."""
    fine = conn.execute(
        text("""
            SELECT (SELECT count(*) FROM warehouse.documents
                     WHERE author_id = :author AND id = ANY(CAST(:ids AS uuid[]))) = cardinality(CAST(:ids AS uuid[]))
               AND NOT EXISTS (SELECT FROM warehouse.forget_requests
                     WHERE author_id = :author AND state = 'requested' AND document_ids && CAST(:ids AS uuid[]))
        """),
        {"author": author_id, "ids": list(document_ids)},
    ).scalar_one()
    if not fine:
        raise Refused("A document of this file is being forgotten, so the file was not stored. Make it again.")


def filed(conn: Connection, author_id: UUID, *, kind: str | None = None, version_id: str | None = None) -> list[Filed]:
    """The author's files, the latest first."""
    rows = conn.execute(
        text("""
            SELECT key, author_id, kind, version_id, bytes, created_at FROM training.files
            WHERE author_id = :author AND (CAST(:kind AS text) IS NULL OR kind = :kind)
              AND (CAST(:version AS text) IS NULL OR version_id = :version)
            ORDER BY created_at DESC, key
        """),
        {"author": author_id, "kind": kind, "version": version_id},
    ).mappings()
    return [Filed(**row) for row in rows]


def keys_holding(conn: Connection, document_ids: Sequence[UUID]) -> list[str]:
    """The files in which there is text of one of these documents."""
    found = conn.execute(
        text(f"SELECT key FROM training.files WHERE {_HOLDS} ORDER BY key"), {"ids": list(document_ids)}
    )
    return list(found.scalars())


def unfile(conn: Connection, keys: Sequence[str]) -> int:
    """Take these files from the records. They must be gone from the store."""
    return conn.execute(text("DELETE FROM training.files WHERE key = ANY(:keys)"), {"keys": list(keys)}).rowcount
