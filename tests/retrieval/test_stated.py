"""What a question says outright, and what only looks like it."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin_core.retrieval.stated import stated

TODAY = date(2026, 3, 18)  # a Wednesday


@pytest.mark.parametrize(
    ("question", "first", "end", "left"),
    [
        ("What did she write in 2021 about queues?", "2021-01-01", "2022-01-01", "queues?"),
        ("queues in March 2022", "2022-03-01", "2022-04-01", "queues"),
        ("queues in december, 2022", "2022-12-01", "2023-01-01", "queues"),
        ("on 4 May 2023 I wrote about rye", "2023-05-04", "2023-05-05", "I wrote about rye"),
        ("rye on May 4th, 2023", "2023-05-04", "2023-05-05", "rye"),
        ("rye since 2022-11", "2022-11-01", None, "rye"),
        ("rye from 2022 onwards", "2022-01-01", None, "rye"),
        ("rye after 2022", "2023-01-01", None, "rye"),
        ("rye before March 2022", None, "2022-03-01", "rye"),
        ("rye until 2022", None, "2023-01-01", "rye"),
        ("rye between 2019 and 2021", "2019-01-01", "2022-01-01", "rye"),
        ("posts from 2019 to 2021 on rye", "2019-01-01", "2022-01-01", "posts on rye"),
        ("rye in the summer of 2020", "2020-01-01", "2021-01-01", "rye"),
        ("her 2023 notes about rye", "2023-01-01", "2024-01-01", "notes about rye"),
        ("what did I do last month?", "2026-02-01", "2026-03-01", "what did I do?"),
        ("rye this week", "2026-03-16", "2026-03-19", "rye"),
        ("rye last year", "2025-01-01", "2026-01-01", "rye"),
        ("rye in the past two weeks", "2026-03-04", "2026-03-19", "rye"),
        ("in 2021", "2021-01-01", "2022-01-01", "in 2021"),
    ],
)
def test_a_period_is_read_and_left_out_of_the_words(question, first, end, left):
    found = stated(question, TODAY)
    assert (str(found.written_from.date()) if found.written_from else None) == first
    assert (str(found.written_to.date()) if found.written_to else None) == end
    assert found.text == left


@pytest.mark.parametrize(
    "question",
    [
        "what changed with Python 3.12",
        "how do I handle 2021.5 in numbers",
        "the 2021-edition of the book",
        "how may I march on",
        "port 2020",
        "a file named in 2021-13-01",
        "between 2021 and 2019",
    ],
)
def test_a_number_that_is_no_period_is_left_alone(question):
    found = stated(question, TODAY)
    assert (found.text, found.written_from, found.written_to) == (question, None, None)


@pytest.mark.parametrize(
    ("question", "categories"),
    [
        ("my posts about rye", ["post"]),
        ("what do your articles say", []),
        ("in your articles, what is said of rye?", ["article"]),
        ("her blog posts on rye", ["article"]),
        ("which article did I write about rye?", ["article"]),
        ("in your code, where is the parser?", ["code"]),
        ("how do I find bugs in my code", []),
        ("write a post about rye", []),
        ("how do I embed a post in an article", []),
    ],
)
def test_a_kind_of_writing_is_read_where_it_says_where_to_look(question, categories):
    assert [one.value for one in stated(question, TODAY).categories] == categories


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ("What did I post on LinkedIn about hiring?", "linkedin about"),
        ("what has she written on her blog?", "blog"),
        ("in his Django notes, how are rows deleted?", "django"),
        ("posts from Mastodon", "mastodon"),
    ],
)
def test_a_place_is_read_where_something_was_written_there(question, place):
    assert place in stated(question, TODAY).places


@pytest.mark.parametrize("question", ["How do I publish a package on GitHub?", "How does Mastodon federate?"])
def test_a_place_that_is_the_subject_is_no_place_to_look(question):
    assert stated(question, TODAY).places == ()


@given(
    st.text(max_size=120)
    | st.lists(
        st.sampled_from(
            ["in", "2021", "since", "May", "99", "my", "posts", "on", "-", "the", "last", "year", "between", "and"]
        ),
        max_size=12,
    ).map(" ".join)
)
def test_whatever_is_asked_something_is_left_to_search_for(question):
    found = stated(question, TODAY)
    assert found.text.strip() or not question.strip()
    if found.written_from and found.written_to:
        assert found.written_from < found.written_to
