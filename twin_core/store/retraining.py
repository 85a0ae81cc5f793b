"""The SQL behind the decision to learn again: what is new since the last adapter, what was tried, what people said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Connection, text

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class DocumentVector:
    """A document as one point: the mean of its passages' embeddings under the serving model."""

    vector: NDArray[Any]
    words: int


def versions(conn: Connection, author_id: UUID) -> tuple[str | None, str | None]:
    """(the current instruct dataset version that can be learnt, the version that the newest SFT adapter learnt)."""
    row = conn.execute(
        text("""
            SELECT (SELECT CASE WHEN tainted_at IS NULL THEN id END FROM training.dataset_versions
                     WHERE author_id = :author AND kind = 'instruct' ORDER BY published_at DESC, id LIMIT 1),
                   (SELECT version_id FROM training.adapters
                     WHERE author_id = :author AND kind = 'sft' ORDER BY version DESC LIMIT 1)
        """),
        {"author": author_id},
    ).one()
    return row[0], row[1]


def example_counts(conn: Connection, version: str | None, learnt: str | None) -> tuple[int, int]:
    """(train examples of `version` that are not in `learnt`, train examples of `learnt`)."""
    row = conn.execute(
        text("""
            SELECT (SELECT count(*) FROM training.dataset_examples m WHERE m.version_id = :version AND m.split = 'train'
                       AND NOT EXISTS (SELECT FROM training.dataset_examples o WHERE o.version_id = :learnt
                                          AND o.example_id = m.example_id AND o.split = 'train')),
                   (SELECT count(*) FROM training.dataset_examples WHERE version_id = :learnt AND split = 'train')
        """),
        {"version": version, "learnt": learnt},
    ).one()
    return int(row[0]), int(row[1])


def last_tried(conn: Connection, author_id: UUID) -> datetime | None:
    """When training was last begun, whatever came of it."""
    return conn.execute(
        text("SELECT max(started_at) FROM training.attempts WHERE author_id = :author"), {"author": author_id}
    ).scalar()


def votes(conn: Connection, author_id: UUID, *, since: datetime) -> tuple[tuple[int, int], tuple[int, int]]:
    """((up, down) of answers until then, (up, down) since), of what has served since it began; the last word counts."""
    row = conn.execute(
        text("""
            WITH said AS (
                SELECT DISTINCT ON (f.trace_id) f.verdict, f.at FROM serving.feedback f
                WHERE f.author_id = :author AND f.verdict IS NOT NULL AND f.at >= coalesce(
                    (SELECT since FROM serving.deployments WHERE author_id = :author AND state = 'serving'), '-infinity')
                ORDER BY f.trace_id, f.at DESC
            )
            SELECT count(*) FILTER (WHERE verdict = 'up' AND at < :since), count(*) FILTER (WHERE verdict = 'down' AND at < :since),
                   count(*) FILTER (WHERE verdict = 'up' AND at >= :since), count(*) FILTER (WHERE verdict = 'down' AND at >= :since)
            FROM said
        """),
        {"author": author_id, "since": since},
    ).one()
    return (int(row[0]), int(row[1])), (int(row[2]), int(row[3]))


def document_vectors(
    conn: Connection, author_id: UUID, version: str, *, inside: bool, limit: int
) -> list[DocumentVector]:
    """The newest documents that the version was made from, or that came since (`inside` false)."""
    rows = conn.execute(
        text("""
            SELECT avg(e.embedding::vector) AS vector, max(c.words) AS words
            FROM warehouse.documents d
            JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
            JOIN features.chunks k ON k.document_id = d.id
            JOIN features.embedding_models m ON m.serving
            JOIN features.embeddings e ON e.chunk_id = k.id AND e.model_id = m.id AND e.author_id = d.author_id
            WHERE d.author_id = :author AND d.state = 'live' AND d.category <> 'code'
              AND :inside = EXISTS (SELECT FROM training.dataset_documents o
                                     WHERE o.version_id = :version AND o.document_id = d.id)
            GROUP BY d.id, c.written_at ORDER BY c.written_at DESC NULLS LAST, d.id LIMIT :limit
        """),
        {"author": author_id, "version": version, "inside": inside, "limit": limit},
    )
    return [
        DocumentVector(row.vector.to_numpy() if hasattr(row.vector, "to_numpy") else row.vector, row.words)
        for row in rows
    ]
