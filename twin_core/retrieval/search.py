"""Hybrid search over one author's chunks: a lexical and a dense leg, their scores fused.

How each leg runs is in `legs.py`, the arithmetic in `lexical.py` and `fusion.py`, the SQL in
`store/{search,bm25,nearest}.py`. Choosing passages for a prompt is in `pack.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import numpy as np
from sqlalchemy import Connection

from twin_core.errors import InvalidInput
from twin_core.records import Passage, SearchFilters
from twin_core.retrieval import fusion
from twin_core.retrieval.legs import Plan, dense_leg, lexical_leg, with_phrases
from twin_core.retrieval.query import Query, parse
from twin_core.settings import Settings
from twin_core.store.database import Database
from twin_core.store.nearest import Vector
from twin_core.store.search import Candidate, Corpus, corpus_of, passages, tune

MAX_LIMIT = 100
CATEGORY_WEIGHT = 0.3
"""What a score within a category counts for beside one among all: enough to bring the best post up to a middling
article, not enough to put it above a good one."""


def search(
    database: Database,
    author_id: UUID,
    query: str | Query,
    *,
    settings: Settings,
    filters: SearchFilters | None = None,
    limit: int = 10,
    as_author: bool = False,
    vector: Vector | None = None,
    also: Sequence[str] = (),
) -> list[Passage]:
    """The author's passages that answer the query best, best first, at most `limit` (1 to 100).

    Words in quotation marks must be in a passage as they stand. `vector` is the query's embedding where the caller
    has it; otherwise the query is embedded here, in one batch with `also`: other words for the same, searched for
    beside it. `as_author=True` runs under row-level security as that author.
    Nothing indexed, or nothing found, is an empty list. Raises InvalidInput for an empty query, a limit out of range,
    dates the wrong way round, or a vector that is not of the model that serves.
    """
    filters = filters or SearchFilters()
    parsed = parse(query) if isinstance(query, str) else query
    _check(filters, limit)
    model_id = None
    if vector is None:
        from twin_core.models.embedder import embedder

        model = embedder(settings)
        model_id, vector = model.model_id, model.encode_query([parsed.text, *also])
    vectors = np.atleast_2d(np.asarray(vector, dtype=np.float32))
    if vectors.ndim != 2 or len(vectors) != 1 + len(also) or not np.isfinite(vectors).all():
        raise InvalidInput("The query's vector must be one row of finite numbers.")
    with database.as_author(author_id) if as_author else database.transaction() as connection:
        return search_with(
            connection,
            author_id,
            parsed,
            vectors,
            model_id=model_id,
            settings=settings,
            filters=filters,
            limit=limit,
            also=also,
        )


def search_with(
    connection: Connection,
    author_id: UUID,
    query: Query,
    vectors: Vector,
    *,
    model_id: str | None,
    settings: Settings,
    filters: SearchFilters,
    limit: int,
    also: Sequence[str] = (),
) -> list[Passage]:
    """The same within a transaction that is open already. `model_id` names the vectors' model, if it is known."""
    tune(connection)
    corpus = corpus_of(connection, author_id)
    if not corpus.chunks:
        return []
    vectors = np.atleast_2d(vectors)
    _check_model(corpus, vectors, model_id, settings)
    within = None
    if query.phrases:
        within = with_phrases(connection, author_id, query, corpus)
    plan = Plan(corpus, filters, limit, within, settings)
    by_leg = {
        "dense": dense_leg(connection, author_id, list(vectors), plan),
        "lexical": lexical_leg(connection, author_id, [query.text, *also], plan),
    }
    rankings: dict[str, list[Candidate]] = {}
    for leg, by_query in by_leg.items():
        for number, found in enumerate(by_query, start=1):
            rankings |= plan.rankings(leg if number == 1 else f"{leg} {number}", found)
    return passages(connection, author_id, fused(rankings, limit))


def fused(rankings: Mapping[str, Sequence[Candidate]], limit: int) -> dict[UUID, tuple[float, dict[str, int]]]:
    """Chunk id -> (score, rank by leg), best first, near-duplicates and what is beyond the limit left out."""
    ids = {name: [candidate.chunk_id for candidate in ranking] for name, ranking in rankings.items()}
    scores = fusion.summed(rankings, {name: _weight(name, ids) for name in ids})
    by_id = {candidate.chunk_id: candidate for ranking in rankings.values() for candidate in ranking}
    best = fusion.one_per_cluster([by_id[chunk_id] for chunk_id in scores], scores)[:limit]
    legs = fusion.legs_of(ids, [candidate.chunk_id for candidate in best])
    return {candidate.chunk_id: (scores[candidate.chunk_id], legs[candidate.chunk_id]) for candidate in best}


def _weight(name: str, names: Collection[str]) -> float:
    """Of a ranking such as `dense`, `lexical/post` (within a category) or `dense 2` (of a rewritten query).

    The rewritten queries of a leg count together for what the question itself does: three of them must not outvote it.
    """
    leg, _, category = name.partition("/")
    weight = CATEGORY_WEIGHT if category else 1.0
    if " " not in leg:
        return weight
    kind = leg.partition(" ")[0]
    return weight / sum(1 for one in names if one.startswith(f"{kind} ") and "/" not in one)


def _check(filters: SearchFilters, limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput(f"A search returns 1 to {MAX_LIMIT} passages, not {limit}.")
    start, end = filters.written_from, filters.written_to
    for when in (start, end):
        if when is not None and when.tzinfo is None:
            raise InvalidInput(f"The date {when.isoformat()} has no time zone. Give it one, such as UTC.")
    if start is not None and end is not None and start >= end:
        raise InvalidInput(f"The dates are the wrong way round: from {start.isoformat()} to {end.isoformat()}.")


def _check_model(corpus: Corpus, vectors: Vector, model_id: str | None, settings: Settings) -> None:
    if corpus.model_id is None:
        return
    if model_id is not None and model_id != corpus.model_id:
        raise InvalidInput(
            f"The passages were embedded with {corpus.model_id}, the settings name {settings.embedding_model} "
            f"({model_id}). Run `twin sync` to embed them anew, or set TWIN_EMBEDDING_MODEL back."
        )
    if vectors.shape[1] != corpus.dimension:
        raise InvalidInput(
            f"The query's vector has {vectors.shape[1]} dimensions, {corpus.model_id} has {corpus.dimension}."
        )
