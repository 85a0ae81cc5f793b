"""What the checks look at: one row of measures per published document or chunk, and one fingerprint over them all.

Measures only (lengths, counts, norms), never texts: they are shown in the orchestrator. What the measures must be
is decided by the checks in `twin_assets/checks.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

Columns = dict[str, list[object]]
"""A frame as plain lists of equal length, by column name."""

# A document is live, its text is that of the revision it stands at. White space alone is no text.
_CLEANED = """
    SELECT d.id AS document_id, length(btrim(c.text, E' \\t\\r\\n')) AS characters, c.words
    FROM warehouse.documents d
    JOIN features.cleaned_documents c ON c.document_id = d.id AND c.revision_id = d.head_revision_id
    WHERE d.author_id = :author_id AND d.state = 'live'
"""

# One row per chunk and vector of the serving model; a chunk without a vector has a row with no norm.
_EMBEDDED = """
    SELECT k.id AS chunk_id, length(btrim(k.text, E' \\t\\r\\n')) AS characters,
           CASE WHEN e.chunk_id IS NULL THEN 0 ELSE 1 END AS vectors,
           round(l2_norm(e.embedding)::numeric, 3)::double precision AS norm,
           CASE WHEN e.embed_hash = k.embed_hash THEN 1 ELSE 0 END AS of_this_text
    FROM features.chunks k
    LEFT JOIN features.embeddings e ON e.chunk_id = k.id AND e.author_id = k.author_id
        AND e.model_id = (SELECT id FROM features.embedding_models WHERE serving)
    WHERE k.author_id = :author_id
"""


def cleaned_facts(conn: Connection, author_id: UUID) -> Columns:
    """Columns document_id (text), characters (without outer white space), words; a row per cleaned live document."""
    return _columns(conn, _CLEANED, author_id)


def embedding_facts(conn: Connection, author_id: UUID) -> Columns:
    """Columns chunk_id (text), characters, vectors (0 or 1), norm (None without vector), of_this_text (0 or 1)."""
    return _columns(conn, _EMBEDDED, author_id)


def cleaned_fingerprint(conn: Connection, author_id: UUID) -> str:
    """Equal exactly when `cleaned_facts` are: what was found about them before still holds."""
    return _fingerprint(conn, _CLEANED, author_id)


def embedding_fingerprint(conn: Connection, author_id: UUID) -> str:
    """Equal exactly when `embedding_facts` are."""
    return _fingerprint(conn, _EMBEDDED, author_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How much of an author's writing each stage holds now."""

    documents: int
    cleaned: int
    chunks: int
    vectors: int
    """Of the serving model."""


def totals(conn: Connection, author_id: UUID) -> Totals:
    """Counts over the live documents of one author."""
    row = conn.execute(
        text("""
            SELECT (SELECT count(*) FROM warehouse.documents WHERE author_id = :author_id AND state = 'live')
                       AS documents,
                   (SELECT count(*) FROM warehouse.documents d
                        JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
                    WHERE d.author_id = :author_id AND d.state = 'live') AS cleaned,
                   (SELECT count(*) FROM features.chunks WHERE author_id = :author_id) AS chunks,
                   (SELECT count(*) FROM features.embeddings WHERE author_id = :author_id
                        AND model_id = (SELECT id FROM features.embedding_models WHERE serving)) AS vectors
        """),
        {"author_id": author_id},
    ).one()
    return Totals(documents=row.documents, cleaned=row.cleaned, chunks=row.chunks, vectors=row.vectors)


def token_histogram(conn: Connection, author_id: UUID, *, width: int = 16) -> dict[int, int]:
    """Chunks by length: lower bound of a class of `width` tokens -> how many chunks."""
    rows = conn.execute(
        text("""
            SELECT tokens / :width * :width AS low, count(*) AS chunks
            FROM features.chunks WHERE author_id = :author_id GROUP BY low ORDER BY low
        """),
        {"author_id": author_id, "width": width},
    )
    return {row.low: row.chunks for row in rows}


def places_of(conn: Connection, document_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Where a person finds each of these documents: one location each, by document id."""
    rows = conn.execute(
        text("""
            SELECT DISTINCT ON (document_id) document_id, location FROM warehouse.document_locations
            WHERE document_id = ANY(:ids) ORDER BY document_id, leads IS NULL, state = 'gone', first_seen_at
        """),
        {"ids": list(document_ids)},
    )
    return {row.document_id: row.location for row in rows}


def _columns(conn: Connection, query: str, author_id: UUID) -> Columns:
    result = conn.execute(text(query), {"author_id": author_id})
    names = list(result.keys())
    rows = result.all()
    return {
        name: [str(row[at]) if isinstance(row[at], UUID) else row[at] for row in rows] for at, name in enumerate(names)
    }


def _fingerprint(conn: Connection, query: str, author_id: UUID) -> str:
    # A row's text form holds every column, NULLs included, so any change of any measure changes the sum.
    summed = f"SELECT count(*), coalesce(sum(hashtextextended(f::text, 0)::numeric), 0) FROM ({query}) AS f"
    count, total = conn.execute(text(summed), {"author_id": author_id}).one()
    return f"{count}-{int(total) & ((1 << 64) - 1):016x}"
