"""Raw documents as JSONB rows: the SQL of the Postgres warehouse.

What a row means is in `warehouse/encoding.py`; that the rows belong to documents is in `documents.py`. No foreign keys
lead here, because the raw documents may as well live on another server.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text


def insert_raw(
    conn: Connection,
    *,
    revision_ids: Sequence[UUID],
    author_ids: Sequence[UUID],
    document_ids: Sequence[UUID],
    raw: Sequence[str],
) -> None:
    """Insert rows, each `raw` a JSON object as text; rows that are there stay as they are. One statement."""
    conn.execute(
        text("""
            INSERT INTO warehouse.raw_documents (revision_id, author_id, document_id, raw)
            SELECT revision_id, author_id, document_id, raw::jsonb
            FROM unnest(CAST(:revisions AS uuid[]), CAST(:authors AS uuid[]), CAST(:documents AS uuid[]),
                        CAST(:raw AS text[])) AS given (revision_id, author_id, document_id, raw)
            ON CONFLICT (revision_id) DO NOTHING
        """),
        {
            "revisions": list(revision_ids),
            "authors": list(author_ids),
            "documents": list(document_ids),
            "raw": list(raw),
        },
    )


def read_raw(conn: Connection, revision_ids: Sequence[UUID]) -> list[tuple[UUID, UUID, UUID, dict[str, object]]]:
    """(revision id, document id, author id, raw) of the named revisions that are there."""
    return _rows(conn, "revision_id", revision_ids)


def raw_of_documents(
    conn: Connection, document_ids: Sequence[UUID]
) -> list[tuple[UUID, UUID, UUID, dict[str, object]]]:
    """(revision id, document id, author id, raw) of every revision of these documents."""
    return _rows(conn, "document_id", document_ids)


def delete_raw(conn: Connection, document_ids: Sequence[UUID]) -> int:
    """Delete every revision of these documents. Returns how many went."""
    return conn.execute(
        text("DELETE FROM warehouse.raw_documents WHERE document_id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": list(document_ids)},
    ).rowcount


def count_raw(conn: Connection, document_ids: Sequence[UUID]) -> int:
    """How many revisions of these documents are there."""
    found = conn.execute(
        text("SELECT count(*) FROM warehouse.raw_documents WHERE document_id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": list(document_ids)},
    )
    return int(found.scalar_one())


def _rows(conn: Connection, column: str, ids: Sequence[UUID]) -> list[tuple[UUID, UUID, UUID, dict[str, object]]]:
    found = conn.execute(
        text(f"""
            SELECT revision_id, document_id, author_id, raw FROM warehouse.raw_documents
            WHERE {column} = ANY(CAST(:ids AS uuid[]))
        """),
        {"ids": list(ids)},
    )
    return [(row.revision_id, row.document_id, row.author_id, row.raw) for row in found]
