"""The SQL of the embed stage: models, chunks without a vector, vectors by binary COPY, indexes of large authors.

Searching by vector is in `nearest.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
from pgvector import HalfVector
from sqlalchemy import Connection, text

from twin_core.errors import InvalidInput, NotFound
from twin_core.store.bulk import stage

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Unembedded:
    """A chunk without a vector of the model, or with one of another text."""

    chunk_id: UUID
    document_id: UUID
    embed_hash: str
    tokens: int


def register_model(conn: Connection, model_id: str, dimension: int) -> None:
    """Make the model known; the first one ever serves. Raises InvalidInput for another dimension than it had."""
    conn.execute(
        text("""
            INSERT INTO features.embedding_models (id, dimension, serving)
            SELECT :id, :dimension, NOT EXISTS (SELECT FROM features.embedding_models WHERE serving)
            ON CONFLICT (id) DO NOTHING
        """),
        {"id": model_id, "dimension": dimension},
    )
    known = dimension_of(conn, model_id)
    if known != dimension:
        raise InvalidInput(
            f"The model {model_id} has {dimension} dimensions and had {known} before. Name it otherwise."
        )


def serving_model(conn: Connection) -> str | None:
    """The id of the model whose vectors are searched; None before anything was embedded."""
    return conn.execute(text("SELECT id FROM features.embedding_models WHERE serving")).scalar_one_or_none()


def switch_serving(conn: Connection, model_id: str) -> None:
    """Search by this model's vectors from now on: one statement, whatever the number of vectors.

    Raises NotFound for a model that was never filled.
    """
    switched = conn.execute(
        text("""
            WITH off AS (
                UPDATE features.embedding_models SET serving = false
                WHERE serving AND id <> :id AND EXISTS (SELECT FROM features.embedding_models WHERE id = :id)
                RETURNING id
            )
            UPDATE features.embedding_models SET serving = true
            WHERE id = :id AND (SELECT count(*) FROM off) >= 0  -- so that the other one is off before this one is on
        """),
        {"id": model_id},
    ).rowcount
    if not switched:
        raise NotFound(f"No embedding model {model_id} was ever filled. Run `twin sync` with it first.")


def reuse_vectors(conn: Connection, author_id: UUID, model_id: str) -> int:
    """Give chunks without a vector the one that another chunk of the author has for the same text. Returns how many."""
    return conn.execute(
        text("""
            INSERT INTO features.embeddings (author_id, chunk_id, model_id, embed_hash, embedding)
            SELECT :author, k.id, :model, k.embed_hash, same.embedding
            FROM features.chunks k
            LEFT JOIN features.embeddings e
              ON e.chunk_id = k.id AND e.model_id = :model AND e.embed_hash = k.embed_hash
            CROSS JOIN LATERAL (
                SELECT o.embedding FROM features.embeddings o
                WHERE o.author_id = :author AND o.model_id = :model AND o.embed_hash = k.embed_hash
                ORDER BY o.chunk_id LIMIT 1) AS same
            WHERE k.author_id = :author AND e.chunk_id IS NULL
            ON CONFLICT (chunk_id, model_id) DO UPDATE SET
                embed_hash = excluded.embed_hash, embedding = excluded.embedding
        """),
        {"author": author_id, "model": model_id},
    ).rowcount


def unembedded(conn: Connection, author_id: UUID, model_id: str) -> list[Unembedded]:
    """The author's chunks that lack a vector of this model for their present text."""
    rows = conn.execute(
        text("""
            SELECT k.id, k.document_id, k.embed_hash, k.tokens
            FROM features.chunks k
            LEFT JOIN features.embeddings e
              ON e.chunk_id = k.id AND e.model_id = :model AND e.embed_hash = k.embed_hash
            WHERE k.author_id = :author AND e.chunk_id IS NULL
            ORDER BY k.key
        """),
        {"author": author_id, "model": model_id},
    )
    return [Unembedded(chunk_id=row[0], document_id=row[1], embed_hash=row[2], tokens=row[3]) for row in rows]


def texts_of(conn: Connection, chunk_ids: Sequence[UUID]) -> dict[UUID, tuple[str, str]]:
    """Chunk id -> (context, text)."""
    rows = conn.execute(
        text("SELECT id, context, text FROM features.chunks WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": list(chunk_ids)},
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def write_vectors(
    conn: Connection, author_id: UUID, model_id: str, rows: Iterable[tuple[UUID, str, NDArray[np.float32]]]
) -> int:
    """Store (chunk id, embed hash, vector) by binary COPY. Returns how many were stored.

    A chunk that has gone, or has another text by now, is left out: its vector would be of nothing.
    """
    stage(
        conn,
        "new_vectors",
        {"chunk_id": "uuid", "embed_hash": "text", "embedding": "halfvec"},
        ((chunk_id, embed_hash, HalfVector(vector)) for chunk_id, embed_hash, vector in rows),
    )
    stored = conn.execute(
        text("""
            INSERT INTO features.embeddings (author_id, chunk_id, model_id, embed_hash, embedding)
            SELECT :author, n.chunk_id, :model, n.embed_hash, n.embedding
            FROM new_vectors n
            JOIN features.chunks k ON k.id = n.chunk_id AND k.embed_hash = n.embed_hash AND k.author_id = :author
            ON CONFLICT (chunk_id, model_id) DO UPDATE SET
                embed_hash = excluded.embed_hash, embedding = excluded.embedding
        """),
        {"author": author_id, "model": model_id},
    ).rowcount
    conn.execute(text("DROP TABLE new_vectors"))
    return stored


def count_vectors(conn: Connection, author_id: UUID, model_id: str) -> int:
    """The author's vectors of one model."""
    found = conn.execute(
        text("SELECT count(*) FROM features.embeddings WHERE author_id = :author AND model_id = :model"),
        {"author": author_id, "model": model_id},
    )
    return int(found.scalar_one())


def dimension_of(conn: Connection, model_id: str) -> int:
    """The length of the model's vectors. Raises NotFound for a model that was never filled."""
    found = conn.execute(
        text("SELECT dimension FROM features.embedding_models WHERE id = :id"), {"id": model_id}
    ).scalar_one_or_none()
    if found is None:
        raise NotFound(f"No embedding model {model_id} was ever filled. Run `twin sync` with it first.")
    return int(found)


def index_name(author_id: UUID, model_id: str) -> str:
    """The name of the author's HNSW index for one model."""
    return f"embeddings_hnsw_{author_id.hex}_{hashlib.sha256(model_id.encode()).hexdigest()[:8]}"


def index_state(conn: Connection, name: str) -> bool | None:
    """Whether the index is valid; None when there is none of this name."""
    return conn.execute(
        text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": f"features.{name}"}
    ).scalar_one_or_none()


def drop_index(conn: Connection, name: str) -> None:
    """Drop an index of ours, if it is there."""
    conn.execute(text(f"DROP INDEX IF EXISTS features.{name}"))


def build_index(conn: Connection, author_id: UUID, model_id: str, dimension: int) -> None:
    """Build the author's partial HNSW index without blocking writers: `conn` must be in autocommit mode."""
    # Workers would share memory through /dev/shm, which containers keep at 64 MB: the build would fail there.
    conn.execute(text("SET max_parallel_maintenance_workers = 0"))
    conn.execute(text("SET maintenance_work_mem = '1GB'"))
    model = model_id.replace("'", "''").replace(":", r"\\:")
    conn.execute(
        text(
            f"CREATE INDEX CONCURRENTLY {index_name(author_id, model_id)} ON features.embeddings "
            f"USING hnsw ((embedding::halfvec({int(dimension)})) halfvec_cosine_ops) "
            f"WITH (m = 16, ef_construction = 64) WHERE author_id = '{author_id}' AND model_id = '{model}'"
        )
    )
    conn.execute(text("RESET maintenance_work_mem"))
    conn.execute(text("RESET max_parallel_maintenance_workers"))


def record_maintenance(conn: Connection, author_id: UUID, action: str, detail: str, seconds: float) -> None:
    """Note what was done to the database outside its migrations."""
    conn.execute(
        text("""
            INSERT INTO features.maintenance (author_id, action, detail, seconds)
            VALUES (:author, :action, :detail, :seconds)
        """),
        {"author": author_id, "action": action, "detail": detail, "seconds": seconds},
    )
