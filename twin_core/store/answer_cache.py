"""The SQL of the answer cache: what state the author's corpus is in, which answer a key leads to, putting one there.

What a key is made of is decided in `writing/answer_cache.py`. Nothing here holds text: the answer is in its trace.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.store.traces import KeptDraft, kept_draft


def corpus_version(conn: Connection, author_id: UUID) -> str:
    """Changes whenever a search could find something else: a document came, changed or went, or another model serves."""
    row = conn.execute(
        text("""
            SELECT count(*), max(k.chunked_at), sum(k.chunks), (SELECT id FROM features.embedding_models WHERE serving),
                   (SELECT lexemes FROM features.lexical_totals WHERE author_id = :author)
            FROM features.chunked_documents k WHERE k.author_id = :author
        """),
        {"author": author_id},
    ).one()
    return " ".join(map(str, row))


def look_up(conn: Connection, author_id: UUID, key: str, *, within: timedelta) -> KeptDraft | None:
    """The answer that was given to the same thing, while it is young enough and its texts are there as they were."""
    found = conn.execute(
        text("""
            SELECT c.trace_id FROM serving.cached_answers c JOIN serving.traces t ON t.id = c.trace_id
            WHERE c.author_id = :author AND t.author_id = :author AND c.key = :key AND t.texts = 'whole'
              AND c.at > clock_timestamp() - CAST(:within AS interval)
        """),
        {"author": author_id, "key": key, "within": within},
    ).scalar()
    return kept_draft(conn, author_id, found) if found is not None else None


def remember(conn: Connection, author_id: UUID, key: str, trace_id: UUID) -> bool:
    """Keep an answer under its key. False, and not kept, while passages of the author wait for their vectors.

    Then a search would soon find more, and nothing in the corpus version would tell.
    """
    kept = conn.execute(
        text("""
            INSERT INTO serving.cached_answers (author_id, key, trace_id)
            SELECT :author, :key, :trace
            WHERE NOT EXISTS (
                SELECT FROM features.chunks k JOIN features.embedding_models m ON m.serving
                WHERE k.author_id = :author AND NOT EXISTS (
                    SELECT FROM features.embeddings e
                    WHERE e.chunk_id = k.id AND e.model_id = m.id AND e.author_id = :author))
            ON CONFLICT (author_id, key) DO UPDATE SET trace_id = excluded.trace_id, at = excluded.at
        """),
        {"author": author_id, "key": key, "trace": trace_id},
    )
    return bool(kept.rowcount)


def drop_older(conn: Connection, *, than: timedelta) -> int:
    """Take out what is too old to be given again. Returns how many."""
    return conn.execute(
        text("DELETE FROM serving.cached_answers WHERE at <= clock_timestamp() - CAST(:than AS interval)"),
        {"than": than},
    ).rowcount
