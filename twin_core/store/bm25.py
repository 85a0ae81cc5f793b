"""The SQL of the lexical leg: BM25 over `features.postings`, summed at query time, and quoted phrases.

How rare a word is, and which words are worth summing, is arithmetic and lives in `retrieval/lexical.py`. Everything
is counted over the author's own chunks as they are now, so a ranking depends on the corpus and not on its history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.records import SearchFilters
from twin_core.store.search import Candidate, candidates, filter_clause, joined_documents

K1 = 1.2
B = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One lexeme of a query and in how many of the author's chunks it is."""

    lexeme: str
    frequency: int
    stop: bool
    """True for a word that only code is indexed with, such as "the": prose leaves it out."""


def terms(
    connection: Connection, author_id: UUID, texts: Sequence[str], configs: Sequence[str], *, count_to: int | None
) -> list[list[Term]]:
    """The lexemes of each query by each configuration, with document frequencies counted no further than `count_to`.

    A word that some configuration treats as a stop word is marked when `simple` brings it in: code is indexed with
    every word of its comments, and a question's "of" and "the" would otherwise find nothing but code. A lexeme that
    several queries share is counted once.
    """
    rows = connection.execute(
        text("""
            WITH lexemes AS (
                SELECT lexeme, bool_and(config = 'simple') AS plain, array_agg(DISTINCT query) AS queries
                FROM unnest(CAST(:texts AS text[])) WITH ORDINALITY AS asked(words, query),
                     unnest(CAST(:configs AS text[])) AS config,
                     unnest(tsvector_to_array(to_tsvector(CAST(config AS regconfig), words))) AS lexeme
                GROUP BY lexeme
            )
            SELECT l.lexeme,
                   (SELECT count(*) FROM (SELECT FROM features.postings p
                                          WHERE p.author_id = :author AND p.lexeme = l.lexeme
                                          LIMIT CAST(:count_to AS bigint)) AS found) AS frequency,
                   l.plain AND EXISTS (
                       SELECT FROM unnest(CAST(:configs AS text[]) || 'english'::text) AS config
                       WHERE config <> 'simple' AND to_tsvector(CAST(config AS regconfig), l.lexeme) = ''::tsvector),
                   l.queries
            FROM lexemes l ORDER BY l.lexeme
        """),
        {"author": author_id, "texts": list(texts), "configs": list(configs), "count_to": count_to},
    )
    found: list[list[Term]] = [[] for _ in texts]
    for lexeme, frequency, stop, queries in rows:
        for query in queries if frequency else ():
            found[query - 1].append(Term(lexeme=lexeme, frequency=int(frequency), stop=stop))
    return found


def ranked(
    connection: Connection,
    author_id: UUID,
    weights: Sequence[Mapping[str, float]],
    *,
    mean_length: float,
    filters: SearchFilters,
    limit: int,
    within: Sequence[UUID] | None = None,
) -> list[list[Candidate]]:
    """The best `limit` chunks by BM25 (k1 1.2, b 0.75) for each query: lexeme -> its inverse document frequency.

    Filters are applied before the limit, so that a narrow filter still finds all there is.
    """
    clause, params = filter_clause(filters)
    if within is not None:
        clause += " AND c.id = ANY(:within)"
        params["within"] = list(within)
    narrowed = ""
    if clause:
        narrowed = (
            f"JOIN features.chunks c ON c.key = s.chunk_key {joined_documents(clause)} WHERE c.author_id = :author"
        )
    best = " UNION ALL ".join(_best(query, f"{narrowed} {clause}") for query in range(len(weights)))
    sql = f"""
        WITH best AS MATERIALIZED ({best})
        SELECT best.query, c.id, c.document_id, d.cluster_id, c.category, best.score
        FROM best
        JOIN features.chunks c ON c.key = best.chunk_key AND c.author_id = :author
        JOIN features.cleaned_documents d ON d.revision_id = c.revision_id AND d.author_id = :author
        ORDER BY best.query, best.score DESC, c.id"""
    for query, of_query in enumerate(weights):
        params[f"lexemes_{query}"] = list(of_query)
        params[f"weights_{query}"] = [weight * (K1 + 1) for weight in of_query.values()]
    params |= {"author": author_id, "mean_length": float(mean_length), "k1": K1, "b": B, "limit": limit}
    return candidates(connection, sql, params, len(weights))


def _best(query: int, narrowed: str) -> str:
    return f"""
        (SELECT {query} AS query, s.chunk_key, s.score FROM (
            SELECT p.chunk_key,
                   sum(t.weight * p.tf / (p.tf + :k1 * (1 - :b + :b * p.len / :mean_length))) AS score
            FROM unnest(CAST(:lexemes_{query} AS text[]), CAST(:weights_{query} AS float8[])) AS t(lexeme, weight)
            CROSS JOIN LATERAL (  -- OFFSET 0: one index scan per lexeme, never a join over all postings
                SELECT chunk_key, tf, len FROM features.postings
                WHERE author_id = :author AND lexeme = t.lexeme OFFSET 0) AS p
            GROUP BY p.chunk_key) AS s
        {narrowed}
        ORDER BY s.score DESC, s.chunk_key LIMIT :limit)"""


def with_phrases(
    connection: Connection,
    author_id: UUID,
    phrases: Sequence[str],
    patterns: Sequence[str],
    configs: Sequence[str],
    *,
    limit: int,
) -> list[UUID]:
    """Chunks that hold every phrase word for word, at most `limit` of them.

    The postings name the chunks that hold all the words, and only those are read and compared with `patterns`
    (regular expressions, one per phrase): a full-text index is not used under row-level security. A configuration
    that indexes none of the words ("to be or not to be") has its chunks read one by one.
    """
    rows = connection.execute(
        text("""
            WITH needed AS (
                SELECT DISTINCT config, lexeme
                FROM unnest(CAST(:configs AS text[])) AS config, unnest(CAST(:phrases AS text[])) AS phrase,
                     unnest(tsvector_to_array(to_tsvector(CAST(config AS regconfig), phrase))) AS lexeme
            ), hits AS (
                SELECT n.config, p.chunk_key
                FROM needed n CROSS JOIN LATERAL (
                    SELECT chunk_key FROM features.postings
                    WHERE author_id = :author AND lexeme = n.lexeme OFFSET 0) AS p
                GROUP BY n.config, p.chunk_key
                HAVING count(*) = (SELECT count(*) FROM needed WHERE needed.config = n.config)
            ), possible AS (
                SELECT c.id, c.context, c.text FROM hits h
                JOIN features.chunks c ON c.key = h.chunk_key AND c.search_config = h.config AND c.author_id = :author
                UNION ALL
                SELECT c.id, c.context, c.text FROM features.chunks c
                WHERE c.author_id = :author AND c.search_config = ANY(CAST(:configs AS text[]))
                  AND c.search_config NOT IN (SELECT config FROM needed)
            )
            SELECT id FROM possible
            WHERE context || E'\\n' || text ~* ALL (CAST(:patterns AS text[])) LIMIT :limit
        """),
        {
            "author": author_id,
            "phrases": list(phrases),
            "patterns": list(patterns),
            "configs": list(configs),
            "limit": limit,
        },
    )
    return [row.id for row in rows]
