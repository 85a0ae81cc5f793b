"""Stories of the ruler on the demo author; on two real authors where the collections are beside the checkout."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.scenario import demo_documents, own_documentation, shuffled_sentences
from twin_core.errors import InvalidInput
from twin_core.evaluation.function_words import FUNCTION_WORDS
from twin_core.evaluation.habits import habits
from twin_core.evaluation.pieces import Paragraphs, pieces
from twin_core.evaluation.population import english
from twin_core.evaluation.prose import prose
from twin_core.evaluation.ruler import area, area_interval
from twin_core.evaluation.style import AXES, StyleProfile, profile, profile_of, score_of, scores, style_score


@cache
def demo_profile() -> StyleProfile:
    return profile_of(demo_documents()[::2])


def totals(documents: tuple[Paragraphs, ...] | list[Paragraphs], words: int, own: StyleProfile) -> list[float]:
    texts = [habits(piece.paragraphs, own.function_words) for piece in pieces(documents, words)]
    return scores(texts, own)[0].tolist()


@pytest.mark.parametrize(("words", "least"), [(300, 0.95), (100, 0.85)])
def test_somebody_elses_texts_score_far_below_unseen_texts_of_the_author(words: int, least: float) -> None:
    areas, apart = [], []
    for seed in range(5):  # one halving says as much about the half as about the ruler
        documents = list(demo_documents())
        random.Random(seed).shuffle(documents)
        own = profile_of(documents[::2])
        mine, theirs = totals(documents[1::2], words, own), totals(own_documentation(), words, own)
        areas.append(area(mine, theirs))
        apart.append(np.median(mine) - np.median(theirs))
    assert np.mean(areas) > least
    assert np.mean(apart) > 1


def test_nought_is_typical_of_the_author_whichever_half_the_profile_saw() -> None:
    middles = []
    for seed in range(4):
        documents = list(demo_documents())
        random.Random(seed).shuffle(documents)
        middles.append(np.mean(totals(documents[::2], 100, profile_of(documents[1::2]))))
    assert abs(np.mean(middles)) < 0.5


def test_every_axis_is_reported_and_the_total_is_none_of_them_alone() -> None:
    text = "\n\n".join(demo_documents()[1] + demo_documents()[3] + demo_documents()[5])
    found = style_score(text, demo_profile())
    assert set(found.axes) == set(AXES)
    assert found.words > 40
    assert all(np.isfinite(value) for value in found.axes.values())


def test_shuffled_sentences_keep_their_style() -> None:
    unseen = demo_documents()[1::2]
    straight = np.mean(totals(unseen, 200, demo_profile()))
    shuffled = np.mean(totals([shuffled_sentences(document) for document in unseen], 200, demo_profile()))
    assert abs(straight - shuffled) < 0.5


def test_copies_score_above_unseen_texts() -> None:
    copies = np.mean(totals(demo_documents()[::2], 200, demo_profile()))
    assert copies > np.mean(totals(demo_documents()[1::2], 200, demo_profile()))


def test_the_authors_words_in_random_order_lose_their_style() -> None:
    words = " ".join(paragraph for document in demo_documents()[1::2] for paragraph in document).split()
    random.Random(0).shuffle(words)
    salad: list[Paragraphs] = [(" ".join(words),)]
    assert (
        np.mean(totals(salad, 200, demo_profile())) < np.mean(totals(demo_documents()[1::2], 200, demo_profile())) - 1
    )


def test_markup_links_and_code_do_not_change_the_score() -> None:
    plain = "\n\n".join(paragraph for document in demo_documents()[1:12:2] for paragraph in document)
    dressed = (
        "# Title\n\n"
        + plain.replace(" the ", " **the** ").replace(" a ", " [a](https://example.org) ")
        + "\n\n```\nx = 1\n```\n"
    )
    assert style_score(dressed, demo_profile()) == style_score(plain, demo_profile())


def test_the_same_texts_give_the_same_profile_and_score() -> None:
    text = demo_documents()[1] + demo_documents()[3] + demo_documents()[5] + demo_documents()[7]
    assert score_of(text, demo_profile()) == score_of(text, profile_of(demo_documents()[::2]))


def test_too_little_of_an_author_is_refused_with_what_is_missing() -> None:
    with pytest.raises(InvalidInput, match=r"at least 2,500 words .* 6 words in 1"):
        profile(["Six words are far too few."])


def test_one_long_document_is_not_an_author() -> None:
    long = (" ".join(paragraph for document in demo_documents() for paragraph in document),)
    with pytest.raises(InvalidInput, match="One document holds"):
        profile_of([long, *sorted(demo_documents(), key=lambda document: sum(map(len, document)))[:5]])


def test_five_documents_of_very_unequal_length_are_enough() -> None:
    by_length = sorted(demo_documents(), key=lambda document: sum(map(len, document)))
    own = profile_of([*by_length[-4:], by_length[0], by_length[1]])
    assert np.isfinite(totals(demo_documents(), 100, own)).all()


def test_a_text_too_short_to_judge_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 40 words"):
        style_score("Short and sweet, this one.", demo_profile())


def test_another_language_has_its_own_words_and_needs_no_table() -> None:
    own = profile_of(demo_documents()[::2], language="nl")
    assert "the" in own.function_words  # the commonest words of these texts, which are English
    mine, theirs = totals(demo_documents()[1::2], 100, own), totals(own_documentation(), 100, own)
    assert area(mine, theirs) > 0.8


def test_the_table_holds_numbers_on_grammar_alone() -> None:
    for kind, of in english().items():
        assert len(of.habits) == len(of.mean) == len(of.spread) > 10
        assert (of.mean > 0).all()
        assert (of.spread > 0).all()
        parts = {part for habit in of.habits for part in habit.split(" ") if part.replace("'", "").isalpha()}
        assert parts <= FUNCTION_WORDS | {"W"}, kind


def test_ties_count_half_and_the_interval_is_wider_by_documents_than_by_texts() -> None:
    assert area([1, 1], [1, 1]) == 0.5
    assert area([2, 3], [0, 1]) == 1.0
    draw = np.random.default_rng(0)
    # Ten documents of ten texts each, whose texts are alike.
    own = np.repeat(draw.normal(1, 1, 10), 10)
    others = np.repeat(draw.normal(0, 1, 10), 10)
    one_word: list[Paragraphs] = [("word " * 10,) for _ in range(10)]
    by_document = pieces(one_word, 1)
    by_text = pieces([("word",)] * 100, 1)
    clustered = area_interval(own, by_document, others, by_document)
    independent = area_interval(own, by_text, others, by_text)
    assert clustered[1] - clustered[0] > 1.5 * (independent[1] - independent[0])


def test_pieces_have_their_length_and_know_their_documents() -> None:
    cut = pieces([("one two three", "four"), ("five six seven",)], 3)
    assert [piece.paragraphs for piece in cut] == [("one two three",), ("four", "five six")]
    assert [piece.documents for piece in cut] == [(0,), (0, 1)]


def _notes(folder: Path) -> list[Paragraphs]:
    found = [prose(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.md"))]
    random.Random(0).shuffle(found)
    return [document for document in found if document]


@pytest.mark.corpora
@pytest.mark.slow
@pytest.mark.parametrize(("author", "other"), [("simonw_til", "jbranchaud_til"), ("jbranchaud_til", "simonw_til")])
def test_two_real_authors_are_told_apart_in_both_directions(shared: Path, author: str, other: str) -> None:
    mine, theirs = _notes(shared / "corpora" / author), _notes(shared / "corpora" / other)
    own = profile_of(mine[: len(mine) // 2])
    for words, goal in ((300, 0.95), (100, 0.85)):
        assert area(totals(mine[len(mine) // 2 :], words, own), totals(theirs, words, own)) >= goal
    # and nobody is told apart from themselves: the mean of many halvings is in benchmarks/ruler.py
    unseen = mine[len(mine) // 2 :]
    assert 0.4 < area(totals(unseen[::2], 300, own), totals(unseen[1::2], 300, own)) < 0.6
