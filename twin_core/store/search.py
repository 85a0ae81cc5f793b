"""The SQL around the legs of a search: what must be set and known first, filters, the passages it ends with.

The legs are in `bm25.py` and `nearest.py`; how they become one ranking, and which of them run, is in `retrieval/`.
Every query names the author itself: under row-level security that predicate keeps the plans on their indexes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.errors import ServiceUnavailable
from twin_core.records import Category, Passage, SearchFilters

EF_SEARCH = 100
"""Nodes that HNSW keeps in view. 80 to 100 is where recall at 100 stops rising on collections of 100k chunks."""

Params = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One chunk that a leg found. `score` grows with relevance and compares only within its leg."""

    chunk_id: UUID
    document_id: UUID
    cluster_id: UUID
    """Near-duplicates share it."""
    category: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What a search must know of one author's chunks before a leg can run."""

    chunks: int
    mean_length: float
    """Lexemes per chunk."""
    model_id: str | None
    """The embedding model that serves; None as long as nothing was ever embedded."""
    dimension: int
    kinds: tuple[tuple[str, str], ...]
    """The pairs of category and text search configuration that there are."""

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories that the author has chunks of."""
        return tuple(sorted({category for category, _ in self.kinds}))

    @property
    def configs(self) -> tuple[str, ...]:
        """The text search configurations that the author's chunks were read with."""
        return tuple(sorted({config for _, config in self.kinds}))


def tune(connection: Connection) -> None:
    """Set what searches need for the rest of this transaction, and check that it took.

    JIT and parallel workers cost more than they save in queries of milliseconds. Custom plans let the planner see the
    author and so use that author's partial index. Raises ServiceUnavailable where pgvector cannot scan iteratively.
    """
    row = connection.execute(
        text("""
            SELECT set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true),
                   set_config('max_parallel_workers_per_gather', '0', true), set_config('work_mem', '32MB', true),
                   set_config('hnsw.ef_search', :ef, true), set_config('hnsw.iterative_scan', 'relaxed_order', true),
                   CAST('[0]' AS halfvec)  -- loads pgvector, which then refuses what it does not know
        """),
        {"ef": str(EF_SEARCH)},
    )
    row.close()
    found = connection.execute(text("SHOW hnsw.iterative_scan")).scalar_one()
    if found != "relaxed_order":
        raise ServiceUnavailable(
            f"pgvector does not scan iteratively (hnsw.iterative_scan is {found!r}), so filtered searches would lose "
            f"results. Update the extension to 0.8 or newer: ALTER EXTENSION vector UPDATE."
        )


def corpus_of(connection: Connection, author_id: UUID) -> Corpus:
    """Totals, serving model and kinds of chunk of one author. Reads a handful of index entries, whatever the size."""
    row = connection.execute(
        text("""
            WITH RECURSIVE kinds AS (  -- skips from pair to pair through the index instead of reading every chunk
                (SELECT category, search_config FROM features.chunks WHERE author_id = :author
                 ORDER BY category, search_config LIMIT 1)
                UNION ALL
                SELECT later.category, later.search_config FROM kinds k CROSS JOIN LATERAL (
                    SELECT c.category, c.search_config FROM features.chunks c
                    WHERE c.author_id = :author AND (c.category, c.search_config) > (k.category, k.search_config)
                    ORDER BY c.category, c.search_config LIMIT 1) later
            )
            SELECT coalesce(t.chunks, 0), coalesce(t.lexemes, 0), m.id, coalesce(m.dimension, 0),
                   ARRAY(SELECT category FROM kinds), ARRAY(SELECT search_config FROM kinds)
            FROM (SELECT) AS one
            LEFT JOIN features.lexical_totals t ON t.author_id = :author
            LEFT JOIN features.embedding_models m ON m.serving
        """),
        {"author": author_id},
    ).one()
    chunks, lexemes, model_id, dimension, categories, configs = row
    return Corpus(
        chunks=chunks,
        mean_length=lexemes / chunks if chunks and lexemes else 1.0,
        model_id=model_id,
        dimension=dimension,
        kinds=tuple(zip(categories, configs, strict=True)),
    )


def filter_clause(filters: SearchFilters) -> tuple[str, Params]:
    """The filters as SQL over `c` (features.chunks) and `d` (features.cleaned_documents), with its parameters."""
    clauses, params = [], Params()
    if filters.categories:
        clauses.append("c.category = ANY(:categories)")
        params["categories"] = [Category(category).value for category in filters.categories]
    if filters.source_ids:
        clauses.append("d.source_id = ANY(:sources)")
        params["sources"] = list(filters.source_ids)
    if filters.written_from is not None:
        clauses.append("d.written_at >= :written_from")
        params["written_from"] = filters.written_from
    if filters.written_to is not None:
        clauses.append("d.written_at < :written_to")
        params["written_to"] = filters.written_to
    if filters.without_documents:
        clauses.append("c.document_id <> ALL(CAST(:without AS uuid[]))")
        params["without"] = list(filters.without_documents)
    return "".join(f" AND {clause}" for clause in clauses), params


def joined_documents(clause: str) -> str:
    """The join that brings in `d`, where the clause speaks of it: a join that nobody asked for is a row read each."""
    if " d." not in clause:
        return ""
    return "JOIN features.cleaned_documents d ON d.revision_id = c.revision_id AND d.author_id = :author"


def count_matching(connection: Connection, author_id: UUID, filters: SearchFilters, *, stop_at: int) -> int:
    """How many of the author's chunks pass the filters, counted no further than `stop_at`."""
    clause, params = filter_clause(filters)
    found = connection.execute(
        text(f"""
            SELECT count(*) FROM (
                SELECT FROM features.chunks c {joined_documents(clause)}
                WHERE c.author_id = :author {clause} LIMIT :stop_at) AS found
        """),
        {"author": author_id, "stop_at": stop_at, **params},
    ).scalar_one()
    return int(found)


def category_sizes(
    connection: Connection, author_id: UUID, categories: Sequence[str], *, stop_at: int
) -> dict[str, int]:
    """Chunks of each category, counted no further than `stop_at`."""
    rows = connection.execute(
        text("""
            SELECT wanted.category, (
                SELECT count(*) FROM (SELECT FROM features.chunks c WHERE c.author_id = :author
                                      AND c.category = wanted.category LIMIT :stop_at) AS found)
            FROM unnest(CAST(:categories AS text[])) AS wanted(category)
        """),
        {"author": author_id, "categories": list(categories), "stop_at": stop_at},
    )
    return {category: int(found) for category, found in rows}


def candidates(connection: Connection, sql: str, params: Params, queries: int) -> list[list[Candidate]]:
    """Run a leg whose columns are query, chunk id, document id, cluster id, category and score, best first.

    Returns one list for each query; the query's number counts from 0.
    """
    found: list[list[Candidate]] = [[] for _ in range(queries)]
    for query, chunk, document, cluster, category, score in connection.execute(text(sql), params):
        found[query].append(
            Candidate(chunk_id=chunk, document_id=document, cluster_id=cluster, category=category, score=float(score))
        )
    return found


def passages(
    connection: Connection, author_id: UUID, ranked: Mapping[UUID, tuple[float, Mapping[str, int]]]
) -> list[Passage]:
    """The chunks as passages, in the order given: chunk id -> (score, rank by leg)."""
    rows = connection.execute(
        text("""
            SELECT c.id, c.document_id, c.revision_id, c.category, d.title, d.location, c.context, c.text,
                   c.start_at, c.end_at, d.written_at
            FROM features.chunks c
            JOIN features.cleaned_documents d ON d.revision_id = c.revision_id AND d.author_id = :author
            WHERE c.id = ANY(:ids) AND c.author_id = :author
        """),
        {"author": author_id, "ids": list(ranked)},
    )
    found = {row.id: row for row in rows}
    return [
        Passage(
            chunk_id=chunk_id,
            document_id=found[chunk_id].document_id,
            revision_id=found[chunk_id].revision_id,
            category=Category(found[chunk_id].category),
            title=found[chunk_id].title,
            location=found[chunk_id].location,
            context=found[chunk_id].context,
            text=found[chunk_id].text,
            start=found[chunk_id].start_at,
            end=found[chunk_id].end_at,
            written_at=found[chunk_id].written_at,
            score=score,
            legs=dict(legs),
        )
        for chunk_id, (score, legs) in ranked.items()
        if chunk_id in found  # a sync may have replaced a chunk since the leg ran
    ]


def headlines(
    connection: Connection, author_id: UUID, chunk_ids: Sequence[UUID], words: str, *, start: str, stop: str
) -> dict[UUID, str]:
    """A short extract of each chunk around the query's words, each word between `start` and `stop`.

    `words` is the query as `text.lexical.query_text` gives it. Extracts are of the text, so they may hold anything.
    """
    rows = connection.execute(
        text("""
            SELECT c.id, ts_headline(CAST(c.search_config AS regconfig), c.text, CAST(coalesce(w.query, '') AS tsquery),
                                     'MaxFragments=2, MaxWords=24, MinWords=8, FragmentDelimiter=" … ", '
                                     || format('StartSel="%s", StopSel="%s"', CAST(:start AS text), CAST(:stop AS text)))
            FROM features.chunks c CROSS JOIN LATERAL (
                SELECT string_agg(quote_literal(lexeme), ' | ') AS query
                FROM unnest(tsvector_to_array(to_tsvector(CAST(c.search_config AS regconfig), :words))) AS lexeme) w
            WHERE c.id = ANY(:ids) AND c.author_id = :author
        """),
        {"author": author_id, "ids": list(chunk_ids), "words": words, "start": start, "stop": stop},
    )
    return {row[0]: row[1] for row in rows}
