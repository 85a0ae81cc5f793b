"""The two legs of a search as they are run: how deep, exactly or by index, with which words.

Each returns candidates with scores of its own; making one ranking of them is in `fusion.py` and `search.py`, the SQL
in `store/{bm25,nearest}.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from twin_core.records import Category, SearchFilters
from twin_core.retrieval import fusion, lexical
from twin_core.retrieval.query import Query
from twin_core.settings import Settings
from twin_core.store import bm25, nearest
from twin_core.store.nearest import Vector
from twin_core.store.search import Candidate, Corpus, count_matching
from twin_core.text.lexical import query_text

PER_CATEGORY = 20
"""Candidates that each category is sure of in each leg, so that posts are not drowned by articles."""
LEXICAL_DEPTH = 5
"""Times the candidates that the lexical leg looks through for those of rarer categories."""
PHRASE_CANDIDATES = 2_000
"""Chunks with the quoted phrase that are ranked at most."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What both legs of one search are given."""

    corpus: Corpus
    filters: SearchFilters
    limit: int
    within: Sequence[UUID] | None
    """The only chunks that count, when the query quotes a phrase."""
    settings: Settings

    def depth(self, leg: str) -> int:
        """How many candidates of a leg are ranked; `dense 2` is the dense leg of the second query."""
        depths = {"dense": self.settings.search_dense_candidates, "lexical": self.settings.search_lexical_candidates}
        return max(depths[leg.partition(" ")[0]], self.limit)

    @property
    def categories(self) -> tuple[str, ...]:
        """Those that need a ranking of their own: none, where there is only one."""
        asked = [category.value for category in self.filters.categories] or self.corpus.categories
        there = tuple(category for category in self.corpus.categories if category in asked)
        return there if len(there) > 1 else ()

    def rankings(self, leg: str, found: Sequence[Candidate]) -> dict[str, list[Candidate]]:
        """What a leg found, as rankings: of all, and of each category where there are several."""
        return fusion.rankings_of(leg, found, limit=self.depth(leg), per_category=PER_CATEGORY)


def dense_leg(connection: Connection, author_id: UUID, vectors: Sequence[Vector], plan: Plan) -> list[list[Candidate]]:
    """The nearest chunks to each query: every one compared while they are few, by the author's index beyond.

    Empty lists without vectors of the author's.
    """
    corpus, exact_below = plan.corpus, plan.settings.search_exact_below
    if corpus.model_id is None:
        return [[] for _ in vectors]
    wanted = nearest.Wanted(
        author_id=author_id,
        vectors=vectors,
        model_id=corpus.model_id,
        filters=plan.filters,
        limit=plan.depth("dense"),
        each=plan.categories,
        per_category=PER_CATEGORY,
    )
    if plan.within is not None:
        return nearest.exact(connection, wanted, within=plan.within)
    few = corpus.chunks < exact_below or (
        plan.filters != SearchFilters()
        and count_matching(connection, author_id, plan.filters, stop_at=exact_below) < exact_below
    )
    return nearest.exact(connection, wanted) if few else nearest.indexed(connection, wanted)


def lexical_leg(connection: Connection, author_id: UUID, texts: Sequence[str], plan: Plan) -> list[list[Candidate]]:
    """The best chunks for each query by BM25 over the words worth summing.

    An empty list for a query when the author never used any of its words.
    """
    corpus = plan.corpus
    telling = _telling(connection, author_id, texts, corpus)
    if not any(telling):
        return [[] for _ in texts]
    return bm25.ranked(
        connection,
        author_id,
        [lexical.weights(terms, corpus.chunks) for terms in telling],
        mean_length=corpus.mean_length,
        filters=plan.filters,
        limit=plan.depth("lexical") * (LEXICAL_DEPTH if plan.categories else 1),
        within=plan.within,
    )


def _telling(connection: Connection, author_id: UUID, texts: Sequence[str], corpus: Corpus) -> list[list[bm25.Term]]:
    """The terms of each query that are worth summing."""
    common = lexical.common_above(corpus.chunks)
    words = [query_text(one) for one in texts]
    counted = bm25.terms(connection, author_id, words, corpus.configs, count_to=common)
    pruned = [lexical.prune(terms, common=common) for terms in counted]
    if any(term.frequency >= common for terms in pruned for term in terms):
        # In some query there is nothing rarer: then how common they are decides.
        whole = bm25.terms(connection, author_id, words, corpus.configs, count_to=None)
        for number, terms in enumerate(pruned):
            if any(term.frequency >= common for term in terms):
                pruned[number] = lexical.prune(whole[number], common=corpus.chunks + 1)
    return pruned


def with_phrases(connection: Connection, author_id: UUID, query: Query, corpus: Corpus) -> list[UUID]:
    """The chunks that hold every phrase the query quotes, at most PHRASE_CANDIDATES."""
    # As prose, so that `"getParser"` asks for that word and not also for its parts, which prose does not index.
    phrases = [query_text(phrase, Category.ARTICLE) for phrase in query.phrases]
    return bm25.with_phrases(connection, author_id, phrases, query.patterns, corpus.configs, limit=PHRASE_CANDIDATES)
