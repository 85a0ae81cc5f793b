"""How several rankings become one, and how one document is left of each cluster."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from twin_core.retrieval.fusion import comparable, legs_of, one_per_cluster, rankings_of, summed
from twin_core.store.search import Candidate


def candidate(number: int, *, document: int | None = None, cluster: int | None = None, category="article", score=0.0):
    document = number if document is None else document
    return Candidate(
        chunk_id=UUID(int=number),
        document_id=UUID(int=document),
        cluster_id=UUID(int=document if cluster is None else cluster),
        category=category,
        score=score,
    )


rows = st.lists(
    st.builds(candidate, st.integers(0, 30), score=st.floats(-1, 50)), unique_by=lambda one: one.chunk_id, max_size=20
)
rankings = st.dictionaries(st.sampled_from(["dense", "lexical", "dense/post"]), rows, max_size=3).map(
    lambda found: {name: best_first(ranking) for name, ranking in found.items()}
)


def best_first(found: list[Candidate]) -> list[Candidate]:
    return comparable(sorted(found, key=lambda one: -one.score), limit=15)


def test_what_both_legs_find_well_comes_first():
    dense = [candidate(1, score=1.0), candidate(2, score=0.75)]
    lexical = [candidate(2, score=1.0)]
    assert summed({"dense": dense, "lexical": lexical}) == {UUID(int=2): 1.75, UUID(int=1): 1.0}


def test_a_weight_counts_that_much_of_a_ranking():
    found = summed({"dense": [candidate(1, score=1.0)], "lexical": [candidate(2, score=1.0)]}, {"lexical": 0.5})
    assert found == {UUID(int=1): 1.0, UUID(int=2): 0.5}


def test_a_full_ranking_begins_at_its_last_and_one_that_left_nothing_out_at_zero():
    found = [candidate(1, score=8.0), candidate(2, score=7.0), candidate(3, score=4.0), candidate(4, score=1.0)]
    assert [one.score for one in comparable(found, limit=3)] == [1.0, 0.75, 0.0]
    assert [one.score for one in comparable(found, limit=9)] == [1.0, 0.875, 0.5, 0.125]


def test_a_single_hit_is_the_best_there_is_and_a_likeness_below_nothing_is_nothing():
    assert [one.score for one in comparable([candidate(1, score=0.2)], limit=1)] == [1.0]
    assert [one.score for one in comparable([candidate(1, score=0.5), candidate(2, score=-0.5)], limit=9)] == [1.0, 0.0]
    assert comparable([], limit=9) == []


@settings(deadline=None)
@given(rows)
def test_made_comparable_a_ranking_keeps_its_order_between_nothing_and_the_best(found):
    scores = [one.score for one in best_first(found)]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert scores[:1] in ([], [1.0])


@settings(deadline=None)
@given(rankings)
def test_everything_found_is_ranked_once_and_best_first(found):
    scores = summed(found)
    assert set(scores) == {one.chunk_id for ranking in found.values() for one in ranking}
    assert list(scores.values()) == sorted(scores.values(), reverse=True)


@settings(deadline=None)
@given(rows, st.floats(0.1, 3))
def test_one_ranking_alone_keeps_its_order_and_so_does_the_same_twice(found, weight):
    ranking = best_first(found)
    ids = [one.chunk_id for one in ranking]
    assert list(summed({"dense": ranking})) == ids
    assert list(summed({"dense": ranking, "dense/post": ranking}, {"dense/post": weight})) == ids


def test_the_order_does_not_depend_on_the_order_in_which_rows_came():
    found = [candidate(n, score=n % 3) for n in range(9)]
    assert rankings_of("dense", found, limit=5, per_category=2) == rankings_of(
        "dense", found[::-1], limit=5, per_category=2
    )


def test_each_category_has_a_ranking_of_its_own_unless_there_is_only_one():
    articles = [candidate(n, score=10 - n) for n in range(5)]
    post = candidate(9, score=0.1, category="post")
    found = rankings_of("dense", [*articles, post], limit=3, per_category=2)
    assert {name: [one.chunk_id.int for one in ranking] for name, ranking in found.items()} == {
        "dense": [0, 1, 2],
        "dense/article": [0, 1],
        "dense/post": [9],
    }
    assert set(rankings_of("dense", articles, limit=3, per_category=2)) == {"dense"}


def test_a_leg_is_named_once_by_its_own_rank_and_by_category_only_where_it_found_nothing_itself():
    ranks = legs_of({"dense/post": ["p", "q"], "dense": ["a", "p"], "lexical": ["a"]}, ["a", "p", "q"])
    assert ranks == {"a": {"dense": 1, "lexical": 1}, "p": {"dense": 2}, "q": {"dense/post": 2}}


def even(ranked: list[Candidate], *falls: float) -> dict[UUID, float]:
    """Scores for a ranking: all the same, or as given."""
    return {one.chunk_id: falls[n] if falls else 1.0 for n, one in enumerate(ranked)}


def test_of_near_duplicates_the_canonical_document_stays_else_the_best():
    canonical, copy = candidate(1, cluster=1), candidate(2, cluster=1)
    assert one_per_cluster([copy, canonical], even([copy, canonical])) == [canonical]
    third, fourth = candidate(3, cluster=7), candidate(4, cluster=7)
    assert one_per_cluster([third, fourth], even([third, fourth])) == [third]


def test_a_copy_that_says_more_than_the_canonical_document_is_not_hidden_by_it():
    canonical, copy = candidate(1, cluster=1), candidate(2, cluster=1)
    assert one_per_cluster([copy, canonical], even([copy, canonical], 1.0, 0.5)) == [copy]


def test_several_passages_of_one_document_all_stay():
    passages = [candidate(n, document=1, cluster=1) for n in (1, 2, 3)]
    assert one_per_cluster(passages, even(passages)) == passages


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.floats(0, 1)), max_size=20))
def test_exactly_one_document_of_every_cluster_stays(rows):
    rows = sorted(rows, key=lambda row: -row[2])
    ranked = [
        candidate(n, document=10 * cluster + document, cluster=10 * cluster)
        for n, (document, cluster, _) in enumerate(rows)
    ]
    left = one_per_cluster(ranked, even(ranked, *(score for _, _, score in rows)))
    assert {one.cluster_id for one in left} == {one.cluster_id for one in ranked}
    assert len({one.document_id for one in left}) == len({one.cluster_id for one in left})
