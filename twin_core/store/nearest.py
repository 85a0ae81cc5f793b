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
    SELECT picked.query, picked.chunk_id, c.document_id, d.cluster_id, c.category, 1 - picked.distance AS score
    FROM picked
    JOIN features.chunks c ON c.id = picked.chunk_id AND c.author_id = :author
    JOIN features.cleaned_documents d ON d.revision_id = c.revision_id AND d.author_id = :author
    ORDER BY picked.query, picked.distance, picked.chunk_id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for: the nearest `limit` of all that pass the filters, and of each category in `each` so many."""

    author_id: UUID
    vectors: Sequence[Vector]
    """One row for each query, L2-normalised, of the model `model_id`."""
    model_id: str
    filters: SearchFilters
    limit: int
    each: Sequence[str] = ()
    per_category: int = 0

    @property
    def params(self) -> Params:
        """The parameters that every form of the query has."""
        rows = {f"vector_{number}": HalfVector(vector) for number, vector in enumerate(self.vectors)}
        return {"author": self.author_id, "model": self.model_id, "limit": self.limit, **rows}

    def distance(self, query: int) -> str:
        """The distance to this query's vector, as SQL: the very expression of the author's index."""
        size = int(self.vectors[query].shape[0])
        return f"(e.embedding::halfvec({size})) <=> CAST(:vector_{query} AS halfvec({size}))"


def exact(connection: Connection, wanted: Wanted, *, within: Sequence[UUID] | None = None) -> list[list[Candidate]]:
    """The nearest chunks to each query, every one that matches compared: the right way up to some 15,000 rows.

    The rows are read once for all queries. `within` narrows it to these chunks. The materialised list keeps the planner
    from answering out of an approximate index.
    """
    clause, params = filter_clause(wanted.filters)
    if within is not None:
        clause += " AND c.id = ANY(:within)"
        params["within"] = list(within)
    queries = range(len(wanted.vectors))
    distances = ", ".join(f"{wanted.distance(query)} AS distance_{query}" for query in queries)
    picked = " UNION ".join(_picked(query, each=bool(wanted.each)) for query in queries)
    sql = f"""
        WITH matching AS MATERIALIZED (
            SELECT e.chunk_id, {"c.category" if wanted.each else "NULL"} AS category, {distances}
            FROM features.embeddings e {_joins(clause, chunks=bool(wanted.each))}
            WHERE e.author_id = :author AND e.model_id = :model {clause}
        ), picked AS ({picked}) {_WITH_DOCUMENTS}"""
    if wanted.each:
        params |= {"each": list(wanted.each), "per_category": wanted.per_category}
    return candidates(connection, sql, params | wanted.params, len(wanted.vectors))


def indexed(connection: Connection, wanted: Wanted) -> list[list[Candidate]]:
    """The nearest chunks by the author's HNSW index: for more rows than an exact scan has time for.

    The same as `exact`, approximately. A category with few rows is scanned exactly beside it, because an index search
    that filters is starved by everything that is nearer; a large one is searched with its own filter. Without an
    index on this author it is right all the same, and slow.
    """
    clause, params = filter_clause(wanted.filters)
    sizes: dict[str, int] = {}
    if wanted.each:
        sizes = category_sizes(connection, wanted.author_id, wanted.each, stop_at=EXACT_CATEGORY_BELOW)
    parts: list[tuple[int, str]] = []
    for query in range(len(wanted.vectors)):
        parts.append((query, _index_search(wanted.distance(query), clause, "limit")))
        for number, (category, size) in enumerate(sizes.items()):
            params |= {f"category_{number}": category, "per_category": wanted.per_category}
            only = f"{clause} AND c.category = :category_{number}"
            search = _scan if size < EXACT_CATEGORY_BELOW else _index_search
            parts.append((query, search(wanted.distance(query), only, "per_category")))
    lists = ", ".join(f"part_{number} AS MATERIALIZED ({part})" for number, (_, part) in enumerate(parts))
    union = " UNION ".join(
        f"SELECT {query} AS query, chunk_id, distance FROM part_{number}" for number, (query, _) in enumerate(parts)
    )
    sql = f"WITH {lists}, picked AS ({union}) {_WITH_DOCUMENTS}"
    return candidates(connection, sql, params | wanted.params, len(wanted.vectors))


def _picked(query: int, *, each: bool) -> str:
    """The nearest to this query out of `matching`, of all and of each category."""
    distance = f"distance_{query}"
    of_all = f"""
        (SELECT {query} AS query, chunk_id, {distance} AS distance FROM matching
         ORDER BY {distance}, chunk_id LIMIT :limit)"""
    if not each:
        return of_all
    return f"""{of_all}
        UNION
        SELECT {query}, best.chunk_id, best.distance FROM unnest(CAST(:each AS text[])) AS wanted(category)
        CROSS JOIN LATERAL (
            SELECT chunk_id, {distance} AS distance FROM matching WHERE matching.category = wanted.category
            ORDER BY {distance}, chunk_id LIMIT :per_category) AS best"""


def _index_search(distance: str, clause: str, limit: str) -> str:
    """The form that the partial expression index answers: ordered by the very expression, then a limit."""
    return f"""
        SELECT e.chunk_id, {distance} AS distance
        FROM features.embeddings e {_joins(clause)}
        WHERE e.author_id = :author AND e.model_id = :model {clause}
        ORDER BY {distance} LIMIT :{limit}"""


def _scan(distance: str, clause: str, limit: str) -> str:
    return f"""
        SELECT chunk_id, distance FROM (
            SELECT e.chunk_id, {distance} AS distance
            FROM features.embeddings e {_joins(clause)}
            WHERE e.author_id = :author AND e.model_id = :model {clause} OFFSET 0) AS every_one
        ORDER BY distance, chunk_id LIMIT :{limit}"""


def _joins(clause: str, *, chunks: bool = False) -> str:
    if not clause and not chunks:
        return ""
    return f"JOIN features.chunks c ON c.id = e.chunk_id AND c.author_id = :author {joined_documents(clause)}"
