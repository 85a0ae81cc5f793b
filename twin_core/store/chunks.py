"""The SQL of the chunk stage: what is to be chunked, and the one transaction that publishes a batch.

Chunks, postings and totals change together or not at all. A chunk that stays the same keeps its row, its key and its
vectors. Cleaned documents are in `cleaned.py`, vectors in `vectors.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.errors import ValidationFailed
from twin_core.records import Category, Chunk, CleanedDocument
from twin_core.store.bulk import stage

# What decides how a document is cut and indexed. Cleaning it again with the same outcome changes nothing here.
_INPUT_HASH = """encode(sha256(convert_to(
    c.text_hash || E'\\x1f' || c.title || E'\\x1f' || c.category || E'\\x1f' || c.language, 'UTF8')), 'hex')"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A cleaned document that is to be chunked."""

    document_id: UUID
    revision_id: UUID
    input_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """A chunk with the form in which the lexical index reads it."""

    chunk: Chunk
    search_config: str
    indexed: str


def pending_chunking(conn: Connection, author_id: UUID, version: str) -> list[Pending]:
    """Live documents whose latest revision is cleaned and was not chunked from this input by this version.

    A document whose latest revision could not be cleaned is not here: it keeps the chunks of the one before.
    """
    rows = conn.execute(
        text(f"""
            SELECT d.id, c.revision_id, {_INPUT_HASH} AS input_hash
            FROM warehouse.documents d
            JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id AND c.author_id = d.author_id
            LEFT JOIN features.chunked_documents k ON k.document_id = d.id
            WHERE d.author_id = :author AND d.state = 'live'
              AND (k.document_id IS NULL OR k.stage_version <> :version OR k.input_hash <> {_INPUT_HASH})
            ORDER BY d.created_at, d.id
        """),
        {"author": author_id, "version": version},
    )
    return [Pending(document_id=row[0], revision_id=row[1], input_hash=row[2]) for row in rows]


def read_cleaned(conn: Connection, revision_ids: Sequence[UUID]) -> list[CleanedDocument]:
    """The cleaned documents of these revisions, in the order of the ids."""
    rows = conn.execute(
        text("""
            SELECT document_id, revision_id, author_id, category, title, text, text_hash, language, words, location,
                   written_at, metadata
            FROM features.cleaned_documents WHERE revision_id = ANY(CAST(:ids AS uuid[]))
        """),
        {"ids": list(revision_ids)},
    )
    found = {
        row.revision_id: CleanedDocument(**{**row._mapping, "category": Category(row.category)})  # noqa: SLF001
        for row in rows
    }
    return [found[revision] for revision in revision_ids]


def count_chunked(conn: Connection, author_id: UUID) -> int:
    """Documents of the author that have chunks."""
    found = conn.execute(
        text("SELECT count(*) FROM features.chunked_documents WHERE author_id = :author"), {"author": author_id}
    )
    return int(found.scalar_one())


def drop_gone(conn: Connection, author_id: UUID) -> int:
    """Delete chunks, vectors and postings of documents that are no longer live. Returns how many documents.

    Their cleaned revisions stay: only forgetting deletes those.
    """
    gone = conn.execute(
        text("""
            DELETE FROM features.chunked_documents k USING warehouse.documents d
            WHERE d.id = k.document_id AND k.author_id = :author AND d.state <> 'live'
        """),
        {"author": author_id},
    ).rowcount
    if gone:
        set_totals(conn, author_id)
    return gone


def carry_over(conn: Connection, author_id: UUID, version: str) -> int:
    """Chunks of a new revision with the very same text point to it, as they are. Returns how many documents."""
    moved = conn.execute(
        text(f"""
            UPDATE features.chunked_documents k SET revision_id = c.revision_id
            FROM warehouse.documents d
            JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
            WHERE d.id = k.document_id AND k.author_id = :author AND d.state = 'live' AND k.stage_version = :version
              AND k.revision_id <> c.revision_id AND k.input_hash = {_INPUT_HASH}
        """),
        {"author": author_id, "version": version},
    ).rowcount
    if moved:
        conn.execute(
            text("""
                UPDATE features.chunks p SET revision_id = k.revision_id
                FROM features.chunked_documents k
                WHERE k.document_id = p.document_id AND k.author_id = :author AND p.revision_id <> k.revision_id
            """),
            {"author": author_id},
        )
    return moved


def publish_chunks(
    conn: Connection, author_id: UUID, documents: Sequence[Pending], chunks: Sequence[Indexed], version: str
) -> int:
    """Replace the chunks of these documents, with postings and totals. Returns how many chunks are new or changed.

    To be called in a transaction that ends with it. Raises ValidationFailed when the table holds something else
    afterwards than what was handed over.
    """
    _stage(conn, documents, chunks)
    # Existing chunks that go, or whose postings no longer hold; another version of the stage may index differently.
    # Postings and vectors are deleted as sets: the foreign keys would do it row by row.
    conn.execute(
        text("""
            CREATE TEMPORARY TABLE stale ON COMMIT DROP AS
            SELECT k.id, k.key, n.id IS NULL AS gone, n.embed_hash IS DISTINCT FROM k.embed_hash AS other_text
            FROM new_documents d
            JOIN features.chunked_documents o ON o.document_id = d.document_id
            JOIN features.chunks k ON k.document_id = d.document_id
            LEFT JOIN new_chunks n ON n.id = k.id
            WHERE n.id IS NULL OR n.embed_hash <> k.embed_hash OR n.search_config <> k.search_config
               OR o.stage_version <> :version
        """),
        {"version": version},
    )
    conn.execute(text("DELETE FROM features.postings WHERE chunk_key IN (SELECT key FROM stale)"))
    conn.execute(text("DELETE FROM features.embeddings WHERE chunk_id IN (SELECT id FROM stale WHERE other_text)"))
    conn.execute(text("DELETE FROM features.chunks WHERE id IN (SELECT id FROM stale WHERE gone)"))
    changed = _insert(conn, author_id, version)
    _check(conn, len(chunks))
    set_totals(conn, author_id)
    conn.execute(text("DROP TABLE new_documents, new_chunks, stale, fresh"))
    return changed


def _stage(conn: Connection, documents: Sequence[Pending], chunks: Sequence[Indexed]) -> None:
    stage(
        conn,
        "new_documents",
        {"document_id": "uuid", "revision_id": "uuid", "input_hash": "text"},
        ((one.document_id, one.revision_id, one.input_hash) for one in documents),
    )
    stage(
        conn,
        "new_chunks",
        {
            "id": "uuid", "document_id": "uuid", "revision_id": "uuid", "category": "text", "ordinal": "int4",
            "text": "text", "context": "text", "start_at": "int4", "end_at": "int4", "tokens": "int4",
            "embed_hash": "text", "search_config": "text", "indexed": "text",
        },
        (
            (
                one.chunk.id, one.chunk.document_id, one.chunk.revision_id, one.chunk.category.value,
                one.chunk.ordinal, one.chunk.text, one.chunk.context, one.chunk.start, one.chunk.end,
                one.chunk.tokens, one.chunk.embed_hash, one.search_config, one.indexed,
            )
            for one in chunks
        ),
    )  # fmt: skip


def _insert(conn: Connection, author_id: UUID, version: str) -> int:
    """Write documents, chunks and postings. A chunk that is not `fresh` keeps its postings and its length."""
    params = {"author": author_id, "version": version}
    conn.execute(
        text("""
            INSERT INTO features.chunked_documents (document_id, author_id, revision_id, input_hash, stage_version, chunks)
            SELECT n.document_id, :author, n.revision_id, n.input_hash, :version,
                   (SELECT count(*) FROM new_chunks k WHERE k.document_id = n.document_id)
            FROM new_documents n
            ON CONFLICT (document_id) DO UPDATE SET
                revision_id = excluded.revision_id, input_hash = excluded.input_hash,
                stage_version = excluded.stage_version, chunks = excluded.chunks, chunked_at = now()
        """),
        params,
    )
    # `len` counts positions, so that a word said twice counts twice; a tsvector keeps at most 255 positions of one
    # lexeme, which no passage reaches.
    conn.execute(
        text("""
            CREATE TEMPORARY TABLE fresh ON COMMIT DROP AS
            SELECT made.id, made.tsv,
                   (SELECT coalesce(sum(cardinality(u.positions)), 0)::integer FROM unnest(made.tsv) u) AS lexemes
            FROM (SELECT n.id, to_tsvector(CAST(n.search_config AS regconfig), n.indexed) AS tsv
                  FROM new_chunks n
                  WHERE NOT EXISTS (SELECT FROM features.chunks k WHERE k.id = n.id AND k.id NOT IN (SELECT id FROM stale))
                  OFFSET 0) AS made
        """)
    )
    conn.execute(
        text("""
            INSERT INTO features.chunks AS c
                (id, author_id, document_id, revision_id, category, ordinal, text, context, start_at, end_at, tokens,
                 embed_hash, search_config, lexemes)
            SELECT n.id, :author, n.document_id, n.revision_id, n.category, n.ordinal, n.text, n.context, n.start_at,
                   n.end_at, n.tokens, n.embed_hash, n.search_config, coalesce(f.lexemes, k.lexemes)
            FROM new_chunks n
            LEFT JOIN fresh f ON f.id = n.id
            LEFT JOIN features.chunks k ON k.id = n.id
            ORDER BY n.document_id, n.ordinal
            ON CONFLICT (id) DO UPDATE SET
                revision_id = excluded.revision_id, category = excluded.category, ordinal = excluded.ordinal,
                context = excluded.context, start_at = excluded.start_at, end_at = excluded.end_at,
                tokens = excluded.tokens, embed_hash = excluded.embed_hash, search_config = excluded.search_config,
                lexemes = excluded.lexemes
        """),
        params,
    )
    conn.execute(
        text("""
            INSERT INTO features.postings (author_id, lexeme, chunk_key, tf, len)
            SELECT :author, u.lexeme, k.key, cardinality(u.positions), f.lexemes
            FROM fresh f
            JOIN features.chunks k ON k.id = f.id
            CROSS JOIN LATERAL unnest(f.tsv) AS u
            ORDER BY u.lexeme, k.key
        """),
        params,
    )
    return int(conn.execute(text("SELECT count(*) FROM fresh")).scalar_one())


def _check(conn: Connection, expected: int) -> None:
    found = conn.execute(
        text("SELECT count(*) FROM features.chunks WHERE document_id IN (SELECT document_id FROM new_documents)")
    ).scalar_one()
    if found != expected:
        raise ValidationFailed(
            f"{expected} chunks were handed over and {found} are in the table; the batch was rolled back. Another "
            "process may have written to features.chunks: run the stage again."
        )


def set_totals(conn: Connection, author_id: UUID) -> None:
    """Count the author's chunks and lexemes anew: what BM25 needs of the whole corpus."""
    conn.execute(
        text("""
            INSERT INTO features.lexical_totals (author_id, chunks, lexemes)
            SELECT :author, count(*), coalesce(sum(lexemes), 0) FROM features.chunks WHERE author_id = :author
            ON CONFLICT (author_id) DO UPDATE SET chunks = excluded.chunks, lexemes = excluded.lexemes
        """),
        {"author": author_id},
    )
