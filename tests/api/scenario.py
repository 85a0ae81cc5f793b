"""Two authors with a few passages each, embedded by the real model, in plain values: what the API tests ask about."""

from __future__ import annotations

from pgvector import HalfVector
from sqlalchemy import text

from tests.retrieval.scenario import Given, chunk_of, fill
from twin_core.models.embedder import embedder
from twin_core.records import Author, Category
from twin_core.settings import Settings
from twin_core.store.database import Database

JANE = [
    Given(
        title="Restore is the feature",
        text="Nobody wants backups. Everybody wants to restore. I restore one backup every month, on a clean machine.",
    ),
    Given(
        title="The queue in the table",
        text="A job queue in Postgres needs one table and SKIP LOCKED. We moved ours off the broker and slept better.",
    ),
    Given(
        title="Rye in a heatwave",
        text="In a heatwave my rye starter doubles in three hours, so the dough goes to the cellar with less salt.",
        category=Category.POST,
    ),
]
MALLORY = [Given(title="Mallory's secret", text="The launch code of Mallory's project is heliotrope seventeen.")]


def two_authors(database: Database, settings: Settings) -> tuple[Author, Author]:
    """Jane and Mallory, searchable by words and by meaning."""
    return _embedded(database, settings, "jane", JANE), _embedded(database, settings, "mallory", MALLORY)


def _embedded(database: Database, settings: Settings, slug: str, given: list[Given]) -> Author:
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
