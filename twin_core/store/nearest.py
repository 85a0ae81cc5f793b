"""The SQL of the dense leg: nearest chunks by cosine, exactly or by an author's HNSW index.

Which of the two is right for a search is decided in `retrieval/search.py`; the indexes themselves are made by the
features stage. Vectors are bind parameters: a subquery in their place would keep the index from being used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from sqlalchemy import Connection

from twin_core.records import SearchFilters
from twin_core.store.search import Candidate, Params, candidates, category_sizes, filter_clause, joined_documents

Vector = NDArray[np.float32]

EXACT_CATEGORY_BELOW = 3_000
"""Rows of a category below which it is scanned beside HNSW: rarer than that among 100k, and an index search that
filters would walk thousands of other rows to find a handful."""

_WITH_DOCUMENTS = """
    SELECT picked.chunk_id, c.document_id, d.cluster_id, c.category, 1 - picked.distance AS score
    FROM picked
    JOIN features.chunks c ON c.id = picked.chunk_id AND c.author_id = :author
    JOIN features.cleaned_documents d ON d.revision_id = c.revision_id AND d.author_id = :author
    ORDER BY picked.distance, picked.chunk_id"""

_EACH_CATEGORY = """
    UNION
    SELECT best.chunk_id, best.distance FROM unnest(CAST(:each AS text[])) AS wanted(category) CROSS JOIN LATERAL (
        SELECT chunk_id, distance FROM matching WHERE matching.category = wanted.category
        ORDER BY distance, chunk_id LIMIT :per_category) AS best"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for: the nearest `limit` of all that pass the filters, and of each category in `each` so many."""

    author_id: UUID
    vector: Vector
    """One row, L2-normalised, of the model `model_id`."""
    model_id: str
    filters: SearchFilters
    limit: int
    each: Sequence[str] = ()
    per_category: int = 0

    @property
    def params(self) -> Params:
        """The parameters that every form of the query has."""
        return {
            "author": self.author_id,
            "model": self.model_id,
            "vector": HalfVector(self.vector),
            "limit": self.limit,
        }


def exact(connection: Connection, wanted: Wanted, *, within: Sequence[UUID] | None = None) -> list[Candidate]:
    """The nearest chunks, every one that matches compared: the right way up to some 15,000 rows.

    `within` narrows it to these chunks. The materialised list keeps the planner from answering out of an approximate
    index.
    """
    clause, params = filter_clause(wanted.filters)
    if within is not None:
        clause += " AND c.id = ANY(:within)"
        params["within"] = list(within)
    category = "c.category" if wanted.each else "NULL"
    sql = f"""
        WITH matching AS MATERIALIZED (
            SELECT e.chunk_id, {category} AS category, {_distance(wanted.vector)} AS distance
            FROM features.embeddings e {_joins(clause, chunks=bool(wanted.each))}
            WHERE e.author_id = :author AND e.model_id = :model {clause}
        ), picked AS (
            (SELECT chunk_id, distance FROM matching ORDER BY distance, chunk_id LIMIT :limit)
            {_EACH_CATEGORY if wanted.each else ""}
        ) {_WITH_DOCUMENTS}"""
    if wanted.each:
        params |= {"each": list(wanted.each), "per_category": wanted.per_category}
    return candidates(connection, sql, params | wanted.params)


def indexed(connection: Connection, wanted: Wanted) -> list[Candidate]:
    """The nearest chunks by the author's HNSW index: for more rows than an exact scan has time for.

    The same as `exact`, approximately. A category with few rows is scanned exactly beside it, because an index search
    that filters is starved by everything that is nearer; a large one is searched with its own filter. Without an
    index on this author it is right all the same, and slow.
    """
    clause, params = filter_clause(wanted.filters)
    parts = [_index_search(wanted.vector, clause, "limit")]
    sizes: dict[str, int] = {}
    if wanted.each:
        sizes = category_sizes(connection, wanted.author_id, wanted.each, stop_at=EXACT_CATEGORY_BELOW)
    for number, (category, size) in enumerate(sizes.items()):
        params |= {f"category_{number}": category, "per_category": wanted.per_category}
        only = f"{clause} AND c.category = :category_{number}"
        search = _scan if size < EXACT_CATEGORY_BELOW else _index_search
        parts.append(search(wanted.vector, only, "per_category"))
    lists = ", ".join(f"part_{number} AS MATERIALIZED ({part})" for number, part in enumerate(parts))
    union = " UNION ".join(f"SELECT chunk_id, distance FROM part_{number}" for number in range(len(parts)))
    sql = f"WITH {lists}, picked AS ({union}) {_WITH_DOCUMENTS}"
    return candidates(connection, sql, params | wanted.params)


def _index_search(vector: Vector, clause: str, limit: str) -> str:
    """The form that the partial expression index answers: ordered by the very expression, then a limit."""
    return f"""
        SELECT e.chunk_id, {_distance(vector)} AS distance
        FROM features.embeddings e {_joins(clause)}
        WHERE e.author_id = :author AND e.model_id = :model {clause}
        ORDER BY {_distance(vector)} LIMIT :{limit}"""


def _scan(vector: Vector, clause: str, limit: str) -> str:
    return f"""
        SELECT chunk_id, distance FROM (
            SELECT e.chunk_id, {_distance(vector)} AS distance
            FROM features.embeddings e {_joins(clause)}
            WHERE e.author_id = :author AND e.model_id = :model {clause} OFFSET 0) AS every_one
        ORDER BY distance, chunk_id LIMIT :{limit}"""


def _joins(clause: str, *, chunks: bool = False) -> str:
    if not clause and not chunks:
        return ""
    return f"JOIN features.chunks c ON c.id = e.chunk_id AND c.author_id = :author {joined_documents(clause)}"


def _distance(vector: Vector) -> str:
    size = int(vector.shape[0])
    return f"(e.embedding::halfvec({size})) <=> CAST(:vector AS halfvec({size}))"
