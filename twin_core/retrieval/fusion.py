"""From several rankings to one: reciprocal rank fusion, and one document out of each cluster of near-duplicates.

Pure functions over ids and ranks. What a leg finds comes from the store; texts are read afterwards.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from twin_core.store.search import Candidate

K = 60
"""The constant of reciprocal rank fusion, from its paper (Cormack, Clarke and Büttcher 2009)."""

NEARLY = 0.8
"""Share of the best score from which a canonical document stands for its copy: some 15 ranks further down in both
legs. A copy of the same words ranks within one or two."""

Id = TypeVar("Id", bound=Hashable)


def reciprocal_ranks(
    rankings: Mapping[str, Sequence[Id]], weights: Mapping[str, float] | None = None, *, k: int = K
) -> dict[Id, float]:
    """Score of every id: the sum over rankings of weight / (k + rank), where the best rank is 1.

    Best first; equal scores keep the order in which the rankings, as given, name the ids. A ranking without a weight
    has weight 1.
    """
    scores: dict[Id, float] = {}
    for name, ranking in rankings.items():
        weight = 1.0 if weights is None else weights.get(name, 1.0)
        for rank, found in enumerate(ranking, start=1):
            scores[found] = scores.get(found, 0.0) + weight / (k + rank)
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))


def rankings_of(leg: str, found: Sequence[Candidate], *, limit: int, per_category: int) -> dict[str, list[Candidate]]:
    """What one leg found, as rankings: the best `limit` of all, and the best `per_category` of each category.

    Where there is only one category its ranking would say the same again, so it is left out.
    """
    best_first = sorted(found, key=lambda candidate: (-candidate.score, candidate.chunk_id))
    rankings = {leg: best_first[:limit]}
    categories = sorted({candidate.category for candidate in best_first})
    if len(categories) > 1:
        for category in categories:
            own = [candidate for candidate in best_first if candidate.category == category]
            rankings[f"{leg}/{category}"] = own[:per_category]
    return rankings


def one_per_cluster(ranked: Sequence[Candidate], scores: Mapping[UUID, float]) -> list[Candidate]:
    """Leave one document of each cluster of near-duplicates, best first as they came. `scores` is by chunk id.

    The canonical document, which the cluster is named after, where it scores nearly as well as the best; else the
    best, because then it says something that the canonical one does not. Several passages of one document stay.
    """
    chosen: dict[UUID, Candidate] = {}
    for candidate in ranked:
        best = chosen.setdefault(candidate.cluster_id, candidate)
        canonical = candidate.document_id == candidate.cluster_id
        if canonical and scores[candidate.chunk_id] >= NEARLY * scores[best.chunk_id]:
            chosen[candidate.cluster_id] = candidate
    return [candidate for candidate in ranked if chosen[candidate.cluster_id].document_id == candidate.document_id]


def legs_of(rankings: Mapping[str, Sequence[Id]], ids: Sequence[Id]) -> dict[Id, dict[str, int]]:
    """Rank by leg of each id, 1 is best. A category's ranking is named only where its leg has not found the id."""
    ranks: dict[Id, dict[str, int]] = {found: {} for found in ids}
    for name in sorted(rankings, key=lambda name: ("/" in name, name)):
        leg = name.partition("/")[0]
        for rank, found in enumerate(rankings[name], start=1):
            if found in ranks and leg not in ranks[found]:
                ranks[found][name] = rank
    return ranks
