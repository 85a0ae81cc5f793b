"""What a search finds, for whom, and in what order: the whole way through real tables."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pytest

from tests.retrieval.scenario import DIMENSION, NOWHERE, Given, chunk_of, direction, fill, source_of
from twin_core.errors import InvalidInput
from twin_core.records import Category, Passage, SearchFilters
from twin_core.retrieval.search import search
from twin_core.settings import Settings
from twin_core.store.database import Database

EAST, NORTH = direction(1), direction(0, 1)


@pytest.fixture
def find(database: Database, settings: Settings):
    def found(author, query, vector=NOWHERE, **options) -> list[Passage]:
        return search(database, author.id, query, settings=settings, vector=vector, **options)

    return found


def titles(passages: list[Passage]) -> list[str]:
    return [passage.title for passage in passages]


def test_a_passage_found_by_both_legs_comes_first(database, find):
    ada = fill(
        database,
        "ada",
        [
            Given(title="Only near", text="Nothing of the sort.", vector=direction(1, 0.1)),
            Given(title="Only the word", text="A queue, in passing.", vector=NORTH),
            Given(title="Both", text="A queue of jobs.", vector=EAST),
        ],
    )
    first, *rest = find(ada, "queue", EAST)
    assert first.title == "Both"
    assert set(first.legs) == {"dense", "lexical"}
    assert set(titles(rest)) == {"Only near", "Only the word"}
    assert first.text == "A queue of jobs."
    assert first.score > rest[0].score > 0


def test_words_match_by_their_stem_and_code_by_the_parts_of_its_names(database, find):
    ada = fill(
        database,
        "ada",
        [
            Given(title="Prose", text="Connections are pooled.", vector=EAST),
            Given(title="Code", text="def open_pool(): ...", category=Category.CODE, language="python", vector=EAST),
            Given(title="Neither", text="Bread and salt.", vector=NORTH),
        ],
    )
    by_stem = {passage.title: passage.legs for passage in find(ada, "pooling connection")}
    assert "lexical" in by_stem["Prose"]
    assert "lexical" not in by_stem["Neither"]
    by_part = {passage.title: passage.legs for passage in find(ada, "openPool")}
    assert "lexical" in by_part["Code"]


def test_small_words_of_a_question_do_not_bring_up_the_comments_of_code(database, find):
    ada = fill(
        database,
        "ada",
        [
            Given(title="Code", text="# what to do with the rest of it", category=Category.CODE, language="python"),
            Given(title="Prose", text="Sourdough wants time."),
        ],
    )
    found = {passage.title: passage.legs for passage in find(ada, "what to do with the sourdough")}
    assert "lexical" in found["Prose"]
    assert "lexical" not in found["Code"]


def test_a_quoted_phrase_must_stand_in_the_passage_as_it_is(database, find):
    ada = fill(
        database,
        "ada",
        [
            Given(title="Scattered", text="The pool has a connection.", vector=EAST),
            Given(title="As it is", text="Mind the Connection\n**pool**, always.", vector=NORTH),
            Given(title="Within a word", text="A misconnection pool.", vector=EAST),
        ],
    )
    assert titles(find(ada, 'how large is a "connection pool"', EAST)) == ["As it is"]
    assert len(find(ada, "how large is a connection pool", EAST)) == 3
    assert find(ada, '"pool connection never"') == []


def test_a_phrase_of_stop_words_is_found_too(database, find):
    ada = fill(
        database, "ada", [Given(title="Hamlet", text="To be, or not to be."), Given(title="Else", text="Be it so.")]
    )
    assert titles(find(ada, '"to be or not to be"')) == ["Hamlet"]


def test_filters_narrow_by_category_source_and_date(database, find):
    ada = fill(
        database,
        "ada",
        [
            Given(title="Old", text="A queue.", written_at=datetime(2020, 5, 1, tzinfo=UTC)),
            Given(title="New", text="A queue again.", written_at=datetime(2024, 5, 1, tzinfo=UTC)),
            Given(title="Post", text="Queue!", category=Category.POST, source="posts"),
            Given(title="Undated", text="A queue, some day.", written_at=None),
        ],
    )
    assert set(titles(find(ada, "queue"))) == {"Old", "New", "Post", "Undated"}
    assert titles(find(ada, "queue", filters=SearchFilters(categories=(Category.POST,)))) == ["Post"]
    assert titles(find(ada, "queue", filters=SearchFilters(source_ids=(source_of(ada, "posts"),)))) == ["Post"]
    year = SearchFilters(written_from=datetime(2020, 1, 1, tzinfo=UTC), written_to=datetime(2024, 5, 1, tzinfo=UTC))
    assert titles(find(ada, "queue", filters=year)) == ["Old"]
    assert find(ada, "queue", filters=SearchFilters(source_ids=(uuid4(),))) == []


def test_only_the_authors_own_passages_are_found(database, find):
    ada = fill(database, "ada", [Given(title="Hers", text="A queue.", vector=EAST)])
    bob = fill(database, "bob", [Given(title="His", text="A queue.", vector=EAST)])
    assert titles(find(ada, "queue", EAST)) == ["Hers"]
    assert titles(find(bob, "queue", EAST)) == ["His"]


def test_how_rare_a_word_is_counts_the_authors_own_passages_only(database, find):
    mine = [
        Given(title="Rare", text="harbour harbour", vector=NOWHERE),
        *[Given(title=f"Common {n}", text="ferry timetable words", vector=NOWHERE) for n in range(5)],
    ]
    ada = fill(database, "ada", mine)
    alone = [passage.score for passage in find(ada, "ferry harbour")]
    fill(database, "bob", [Given(title=f"{n}", text="harbour") for n in range(50)])
    assert [passage.score for passage in find(ada, "ferry harbour")] == alone
    assert find(ada, "ferry harbour")[0].title == "Rare"


def test_near_duplicates_are_shown_once_as_the_canonical_document(database, find):
    ada = fill(
        database,
        "ada",
        [
            Given(title="Canonical", text="A queue of jobs in a table.", vector=direction(1, 0.2)),
            Given(title="Copy", text="A queue of jobs in a table!", vector=EAST, duplicate_of="Canonical"),
            Given(title="Other", text="A queue of people.", vector=NORTH),
        ],
    )
    assert titles(find(ada, "queue of jobs", EAST)) == ["Canonical", "Other"]


def test_posts_are_among_the_candidates_however_many_articles_are_nearer(database, find, settings):
    few = settings.model_copy(update={"search_dense_candidates": 10, "search_lexical_candidates": 10})
    articles = [
        Given(title=f"Article {n}", text=f"Queue number {n}.", vector=direction(1, n / 1000)) for n in range(40)
    ]
    post = Given(title="Post", text="On waiting in line.", category=Category.POST, vector=direction(1, 0.5))
    ada = fill(database, "ada", [*articles, post])
    found = search(database, ada.id, "queue", settings=few, vector=EAST, limit=10)
    assert found == search(database, ada.id, "queue", settings=few, vector=EAST, limit=10), "the same every time"
    everything = search(database, ada.id, "queue", settings=few, vector=EAST, limit=60)
    assert "Post" in titles(everything)


def test_the_index_and_the_exact_scan_agree_on_a_small_collection(database, settings):
    random = np.random.default_rng(7)
    rows = [
        Given(title=f"{n}", text=f"word{n % 7} text", vector=direction(*random.normal(size=DIMENSION)),
              category=Category.POST if n % 3 else Category.ARTICLE)
        for n in range(60)
    ]  # fmt: skip
    ada = fill(database, "ada", rows)
    indexed = settings.model_copy(update={"search_exact_below": 1})
    query = direction(*random.normal(size=DIMENSION))
    for filters in (SearchFilters(), SearchFilters(categories=(Category.POST,))):
        options = {"vector": query, "filters": filters, "limit": 20}
        exact = search(database, ada.id, "word3", settings=settings, **options)
        assert exact == search(database, ada.id, "word3", settings=indexed, **options)


def test_under_row_level_security_the_same_is_found(database, find):
    ada = fill(database, "ada", [Given(title="Hers", text="A queue.", vector=EAST)])
    assert find(ada, "queue", EAST, as_author=True) == find(ada, "queue", EAST)


def test_passages_that_were_never_embedded_are_found_by_their_words(database, find):
    ada = fill(database, "ada", [Given(title="Hers", text="A queue.", vector=EAST)])
    with database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM features.embeddings")
        connection.exec_driver_sql("DELETE FROM features.embedding_models")
    assert titles(find(ada, "queue", EAST)) == ["Hers"]


def test_an_author_without_passages_finds_nothing(database, find):
    ada = fill(database, "ada", [])
    assert find(ada, "queue") == []


@pytest.mark.parametrize(
    ("query", "options", "says"),
    [
        ("   ", {}, "no words"),
        ('"?!"', {}, "no words"),
        ("queue", {"limit": 0}, "1 to 100"),
        ("queue", {"limit": 101}, "1 to 100"),
        ("x" * 3000, {}, "3000 characters"),
        ("queue\x00", {}, "NUL"),
        ("queue", {"vector": direction(1)[:5]}, "5 dimensions"),
        ("queue", {"vector": np.full(DIMENSION, np.nan)}, "finite"),
        ("queue", {"filters": SearchFilters(written_from=datetime(2020, 1, 1))}, "time zone"),
        (
            "queue",
            {
                "filters": SearchFilters(
                    written_from=datetime(2021, 1, 1, tzinfo=UTC), written_to=datetime(2020, 1, 1, tzinfo=UTC)
                )
            },
            "wrong way round",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_with_the_reason(database, find, query, options, says):
    ada = fill(database, "ada", [Given(text="A queue.")])
    with pytest.raises(InvalidInput, match=says):
        find(ada, query, **options)


@pytest.mark.parametrize(
    "query", ["'; DROP TABLE features.chunks; --", "a & | ! b:*", "100% :author %(x)s", "\\", "🙂 queue", "日本語"]
)
def test_signs_that_mean_something_elsewhere_are_only_text(database, find, query):
    ada = fill(database, "ada", [Given(text="A queue.")])
    if query != "\\":
        find(ada, query)
        find(ada, f'queue "{query}"')
    assert titles(find(ada, "queue")) == ["A title"]


def test_a_vector_of_another_model_is_refused(database, find, settings, monkeypatch):
    ada = fill(database, "ada", [Given(text="A queue.", vector=EAST)])
    assert find(ada, "queue")[0].chunk_id == chunk_of(ada, 0)


def test_other_words_are_searched_in_the_same_statements_and_count_less_than_the_query(database, find):
    ada = fill(
        database,
        "ada",
        [
            Given(title="Asked", text="A queue.", vector=EAST),
            Given(title="Also", text="A harbour.", vector=NORTH),
            Given(title="Too", text="A lighthouse.", vector=direction(0, 0, 1)),
        ],
    )
    vectors = np.stack([EAST, NORTH, direction(0, 0, 1)])
    found = find(ada, "queue", vectors, also=["harbour", "lighthouse"])
    assert titles(found)[0] == "Asked"
    legs = {passage.title: passage.legs for passage in found}
    assert legs["Asked"]["dense"] == 1
    assert legs["Also"]["lexical 2"] == legs["Too"]["lexical 3"] == 1
    alone = {
        name: [passage.title for passage in find(ada, name, vector)]
        for name, vector in (("queue", EAST), ("harbour", NORTH))
    }
    assert alone["harbour"][0] == "Also"
    with pytest.raises(InvalidInput, match="one row"):
        find(ada, "queue", EAST, also=["harbour"])
