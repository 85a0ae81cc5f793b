"""How much a word weighs, and which words are left out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_core.retrieval.lexical import COUNT_TO_AT_LEAST, common_above, idf, prune, weights
from twin_core.store.bm25 import Term


def term(lexeme: str, frequency: int, *, stop: bool = False) -> Term:
    return Term(lexeme=lexeme, frequency=frequency, stop=stop)


def test_idf_is_that_of_lucene():
    assert idf(1, 10) == pytest.approx(math.log(1 + 9.5 / 1.5))


@settings(deadline=None)
@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_idf_is_never_negative_and_falls_with_frequency(frequency, more):
    chunks = frequency + more
    assert idf(frequency, chunks) > idf(chunks, chunks) > 0


def test_common_words_are_left_out_while_there_is_a_rarer_one():
    assert prune([term("data", 5000), term("tide", 3)], common=1000) == [term("tide", 3)]
    assert prune([term("data", 5000), term("system", 4000)], common=1000) == [term("data", 5000), term("system", 4000)]


def test_stop_words_that_only_code_has_are_left_out_while_there_is_any_other():
    assert prune([term("the", 3, stop=True), term("tide", 9)], common=1000) == [term("tide", 9)]
    assert prune([term("if", 3, stop=True)], common=1000) == [term("if", 3, stop=True)]


@settings(deadline=None)
@given(
    st.lists(st.builds(Term, lexeme=st.text(max_size=3), frequency=st.integers(1, 50), stop=st.booleans()), min_size=1)
)
def test_a_query_never_loses_all_its_words(terms):
    assert prune(terms, common=10)


def test_in_a_small_corpus_no_word_is_common():
    assert common_above(100) == COUNT_TO_AT_LEAST
    assert common_above(100_000) == 10_000


def test_a_count_that_is_older_than_the_totals_still_gives_a_weight():
    assert weights([term("tide", 7)], 5)["tide"] > 0
