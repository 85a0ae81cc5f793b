"""A few authors with a few passages, written straight into the feature tables: plain values in, ids out.

The vectors are made up, so that a test decides what is near what; the postings are what PostgreSQL itself reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from sqlalchemy import text

from twin_core import identity
from twin_core.models.embedder import embedder
from twin_core.records import Author, Category
from twin_core.settings import Settings
from twin_core.store.database import Database
from twin_core.text.lexical import indexed_text, search_config

MODEL = "made-up-8"
DIMENSION = 8
Vector = NDArray[np.float32]


def direction(*weights: float) -> Vector:
    """A unit vector with these first coordinates."""
    vector = np.zeros(DIMENSION, dtype=np.float32)
    vector[: len(weights)] = weights
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


NOWHERE = direction(0, 0, 0, 0, 0, 0, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Given:
    """One document with one passage."""

    text: str
    title: str = "A title"
    category: Category = Category.ARTICLE
    vector: Vector | None = None
    source: str = "blog"
    written_at: datetime | None = datetime(2025, 1, 1, tzinfo=UTC)
    language: str = "en"
    duplicate_of: str | None = None
    """The title of the document whose near-duplicate this is."""


def fill(database: Database, slug: str, given: Sequence[Given]) -> Author:
    """Write the author with these documents, all statements in one transaction, and nothing of any other author."""
    author = Author(id=identity.author_id(slug), slug=slug, name=slug.title())
    rows = [_row(author, number, one) for number, one in enumerate(given)]
    by_title = {row["title"]: row["document"] for row in rows}
    for row, one in zip(rows, given, strict=True):
        row["cluster"] = by_title[one.duplicate_of] if one.duplicate_of else row["document"]
    with database.transaction() as connection:
        who = {"author": author.id, "slug": slug, "name": author.name}
        connection.execute(text("INSERT INTO warehouse.authors (id, slug, name) VALUES (:author, :slug, :name)"), who)
        connection.execute(
            text("INSERT INTO features.embedding_models VALUES (:id, :size, true, now()) ON CONFLICT DO NOTHING"),
            {"id": MODEL, "size": DIMENSION},
        )
        for statement in _STATEMENTS:
            if rows:
                connection.execute(text(statement), rows)
        connection.execute(text(_TOTALS), who)
    return author


def embedded(database: Database, settings: Settings, slug: str, given: Sequence[Given]) -> Author:
    """The same, with vectors of the real model beside the made-up ones."""
    author = fill(database, slug, given)
    model = embedder(settings)
    vectors = model.encode([f"{one.title}\n{one.text}" for one in given])
    with database.transaction() as conn:
        conn.execute(
            text("UPDATE features.embedding_models SET serving = false WHERE id <> :id"), {"id": model.model_id}
        )
        conn.execute(
            text("INSERT INTO features.embedding_models VALUES (:id, :size, true, now()) ON CONFLICT DO NOTHING"),
            {"id": model.model_id, "size": model.dimension},
        )
        conn.execute(
            text(
                "INSERT INTO features.embeddings SELECT :author, :chunk, :model, embed_hash, :vector "
                "FROM features.chunks WHERE id = :chunk"
            ),
            [
                {
                    "author": author.id,
                    "chunk": chunk_of(author, number),
                    "model": model.model_id,
                    "vector": HalfVector(row),
                }
                for number, row in enumerate(vectors)
            ],
        )
    return author


def source_of(author: Author, locator: str = "blog") -> UUID:
    return identity.source_id(author.id, "folder", locator)


def chunk_of(author: Author, number: int) -> UUID:
    return uuid5(author.id, f"chunk {number}")


def _row(author: Author, number: int, one: Given) -> dict[str, object]:
    document = uuid5(author.id, f"document {number}")
    return {
        "author": author.id,
        "source": source_of(author, one.source),
        "locator": one.source,
        "document": document,
        "revision": uuid5(document, "revision"),
        "chunk": chunk_of(author, number),
        "category": one.category.value,
        "title": one.title,
        "text": one.text,
        "end": len(one.text),
        "words": len(one.text.split()),
        "hash": identity.sha256(f"{number} {one.text}"),
        "language": one.language,
        "written": one.written_at,
        "location": f"https://{author.slug}.example/{number}",
        "config": search_config(one.language, one.category),
        "indexed": indexed_text(one.title, one.text, one.category),
        "model": MODEL,
        "vector": HalfVector(NOWHERE if one.vector is None else one.vector),
    }


_STATEMENTS = (
    """INSERT INTO warehouse.sources (id, author_id, platform, locator, consent_claimed_by, consent_proof, consent_at)
       VALUES (:source, :author, 'folder', :locator, 'test', 'test', now()) ON CONFLICT DO NOTHING""",
    """INSERT INTO warehouse.documents (id, author_id, source_id, category, head_revision_id, content_hash)
       VALUES (:document, :author, :source, :category, :revision, :hash)""",
    """INSERT INTO features.cleaned_documents (revision_id, author_id, document_id, source_id, category, title, text,
           text_hash, language, words, location, written_at, cluster_id, stage_version)
       VALUES (:revision, :author, :document, :source, :category, :title, :text, :hash, :language, :words, :location,
           :written, :cluster, '1')""",
    """INSERT INTO features.chunked_documents (document_id, author_id, revision_id, input_hash, stage_version, chunks)
       VALUES (:document, :author, :revision, :hash, '1', 1)""",
    """INSERT INTO features.chunks (id, author_id, document_id, revision_id, category, ordinal, text, context, start_at,
           end_at, tokens, embed_hash, search_config)
       VALUES (:chunk, :author, :document, :revision, :category, 0, :text, :title, 0, :end, :words, :hash, :config)""",
    """WITH lexemes AS (
           SELECT lexeme, greatest(coalesce(array_length(positions, 1), 1), 1) AS tf
           FROM unnest(to_tsvector(CAST(:config AS regconfig), :indexed)))
       INSERT INTO features.postings (author_id, lexeme, chunk_key, tf, len)
       SELECT :author, lexeme, c.key, tf, (SELECT sum(tf) FROM lexemes) FROM lexemes, features.chunks c
       WHERE c.id = :chunk""",
    "INSERT INTO features.embeddings VALUES (:author, :chunk, :model, :hash, :vector)",
)

_TOTALS = """
    WITH lengths AS (
        UPDATE features.chunks c SET lexemes = p.len
        FROM (SELECT DISTINCT chunk_key, len FROM features.postings WHERE author_id = :author) p
        WHERE p.chunk_key = c.key RETURNING c.lexemes)
    INSERT INTO features.lexical_totals
    SELECT :author, (SELECT count(*) FROM features.chunks WHERE author_id = :author), coalesce(sum(lexemes), 0)
    FROM lengths
"""
