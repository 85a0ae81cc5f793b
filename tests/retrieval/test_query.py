"""What is read out of what a person typed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_core.errors import InvalidInput
from twin_core.retrieval.query import MAX_CHARACTERS, parse


@pytest.mark.parametrize(
    ("typed", "words", "phrases"),
    [
        ("how do I pool connections?", "how do I pool connections?", ()),
        ('the "connection  pool" and "queue"', "the connection pool and queue", ("connection pool", "queue")),
        ("“curly ones” too, „deutsche“ and «françaises»", "curly ones too, deutsche and françaises", ("curly ones", "deutsche", "françaises")),
        ('a "half open', "a half open", ()),
        ('"" nothing quoted "?"', "nothing quoted ?", ()),
        ('"twice" "twice"', "twice twice", ("twice",)),
        ("it's 5' long", "it's 5' long", ()),
    ],
)  # fmt: skip
def test_words_and_phrases(typed, words, phrases):
    query = parse(typed)
    assert (query.text, query.phrases) == (words, phrases)


@pytest.mark.parametrize("typed", ["", "  \n", '""', "?!…", "a" * (MAX_CHARACTERS + 1), "nul\x00"])
def test_what_holds_no_words_or_too_many_is_refused(typed):
    with pytest.raises(InvalidInput):
        parse(typed)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_whatever_is_typed_is_either_read_or_refused_with_a_reason(typed):
    if not re.search(r"\w", typed) or "\x00" in typed:
        with pytest.raises(InvalidInput):
            parse(typed)
        return
    query = parse(typed)
    assert re.search(r"\w", query.text)
    assert len(query.patterns) == len(query.phrases)
