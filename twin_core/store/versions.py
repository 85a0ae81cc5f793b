"""Content versions of what each stage published for one author, computed where the rows are.

A version is equal exactly when the rows are equal, whatever order they were written in and whenever: the graph shows
it as the data version, and automation acts on a change of it. What the rows must look like is in `facts.py`.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, text

# The sum of 64-bit hashes does not depend on the order of the rows, so nothing is sorted and nothing leaves the
# server. Two seeds make an accidental collision a matter of 2^-128.
_SUM = """
    SELECT count(*),
           coalesce(sum(hashtextextended(r.state, 1)::numeric), 0),
           coalesce(sum(hashtextextended(r.state, 2)::numeric), 0)
    FROM ({rows}) AS r (state)
"""
_MASK = (1 << 64) - 1


def raw_version(conn: Connection, author_id: UUID) -> str:
    """Of the live documents and the revision that each stands at."""
    return _version(
        conn,
        "SELECT id::text || head_revision_id::text FROM warehouse.documents "
        "WHERE author_id = :author_id AND state = 'live'",
        author_id,
    )


def cleaned_version(conn: Connection, author_id: UUID) -> str:
    """Of the cleaned texts of the live documents' latest revisions, with the stage version that made them."""
    return _version(
        conn,
        "SELECT c.revision_id::text || c.text_hash || c.stage_version FROM warehouse.documents d "
        "JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id AND c.author_id = d.author_id "
        "WHERE d.author_id = :author_id AND d.state = 'live'",
        author_id,
    )


def material_version(conn: Connection, author_id: UUID) -> str:
    """The same, with what decides which side of a dataset a document is on: its near-duplicates and its date."""
    return _version(
        conn,
        "SELECT c.revision_id::text || c.text_hash || c.stage_version || c.cluster_id "
        "|| coalesce(c.written_at, d.created_at) || c.title || c.language || md5(c.metadata::text) "
        "FROM warehouse.documents d "
        "JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id AND c.author_id = d.author_id "
        "WHERE d.author_id = :author_id AND d.state = 'live'",
        author_id,
    )


def chunk_version(conn: Connection, author_id: UUID) -> str:
    """Of the chunks: id, place in the document and embedded text."""
    return _version(
        conn,
        "SELECT id::text || ordinal || embed_hash FROM features.chunks WHERE author_id = :author_id",
        author_id,
    )


def embedding_version(conn: Connection, author_id: UUID) -> str:
    """Of the vectors, by chunk, model and embedded text. Floating-point noise is no new version."""
    return _version(
        conn,
        "SELECT chunk_id::text || model_id || embed_hash FROM features.embeddings WHERE author_id = :author_id",
        author_id,
    )


def _version(conn: Connection, rows: str, author_id: UUID) -> str:
    count, first, second = conn.execute(text(_SUM.format(rows=rows)), {"author_id": author_id}).one()
    return f"{count}-{int(first) & _MASK:016x}{int(second) & _MASK:016x}"
