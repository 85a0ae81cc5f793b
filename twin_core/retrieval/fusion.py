"""From several rankings to one: scores made comparable and summed, and one document of each cluster of near-duplicates.

Pure functions over ids and scores. What a leg finds comes from the store; texts are read afterwards. Why scores and not
ranks are fused: docs/decisions/0007.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

from twin_core.store.search import Candidate

NEARLY = 0.8
"""Share of the best score from which a canonical document stands for its copy. A copy of the same words scores within a
few hundredths."""

Id = TypeVar("Id", bound=Hashable)


def summed(
    rankings: Mapping[str, Sequence[Candidate]], weights: Mapping[str, float] | None = None
) -> dict[UUID, float]:
    """Chunk id -> the sum over rankings of weight times score, of rankings that `rankings_of` made comparable.

    A convex combination of min-max scores but for the weights' sum (Bruch, Gai and Ingber 2023): what a ranking did
    not find counts 0 there. Best first; equal scores keep the order in which the rankings, as given, name the chunks. A
    ranking without a weight has weight 1.
    """
    scores: dict[UUID, float] = {}
    for name, ranking in rankings.items():
        weight = 1.0 if weights is None else weights.get(name, 1.0)
        for candidate in ranking:
            scores[candidate.chunk_id] = scores.get(candidate.chunk_id, 0.0) + weight * candidate.score
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))


def rankings_of(leg: str, found: Sequence[Candidate], *, limit: int, per_category: int) -> dict[str, list[Candidate]]:
    """What one leg found, as rankings with scores from 0 to 1: the best `limit` of all, and of each category the best.

    Where there is only one category its ranking would say the same again, so it is left out.
    """
    best_first = sorted(found, key=lambda candidate: (-candidate.score, candidate.chunk_id))
    rankings = {leg: comparable(best_first, limit)}
    categories = sorted({candidate.category for candidate in best_first})
    if len(categories) > 1:
        for category in categories:
            own = [candidate for candidate in best_first if candidate.category == category]
            rankings[f"{leg}/{category}"] = comparable(own, per_category)
    return rankings


def comparable(best_first: Sequence[Candidate], limit: int) -> list[Candidate]:
    """The best `limit` with their score as the share of the way from what was not found (0) up to the best one (1).

    Of a full ranking the last one says how well anything left out may have scored; a ranking that is not full left
    nothing out, and there the way begins at 0: no word in common, no likeness. Else the worse of two good passages
    would count as if it had not been found.
    """
    kept = best_first[:limit]
    if not kept:
        return []
    top, floor = kept[0].score, kept[-1].score if len(kept) == limit else 0.0
    if top <= floor:
        return [replace(candidate, score=1.0) for candidate in kept]
    return [replace(candidate, score=max(0.0, (candidate.score - floor) / (top - floor))) for candidate in kept]


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
