"""The scorecard on the demo author's held-out documents, with answers whose faults are known."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.scenario import CASES, DRAFTS, QUESTIONS, answers, card, ruler
from twin_core.errors import InvalidInput
from twin_core.evaluation.scorecard import GATED, scorecard
from twin_core.promotion import AUTHOR


def test_a_twin_is_above_the_base_on_style_and_fit_with_intervals_that_exclude_nought() -> None:
    against = card().against["base"]
    assert set(against) == set(GATED)
    assert against["style"].low > 0.5
    assert against["fit"].mean == pytest.approx(0.5)
    assert against["fit"].low > 0
    assert AUTHOR not in card().against


def test_one_that_recites_has_the_best_style_and_is_caught_by_safety() -> None:
    against = card("parrot").against["twin"]
    assert against["style"].mean > -0.5
    assert against["safety"].high < -0.5  # of all prompts; a third are questions
    assert card().systems["parrot"].metrics["longest_copy"].max() >= 90


def test_shown_values_have_the_base_at_nought_and_the_author_at_one() -> None:
    assert card().normalised("base", "style") == 0
    assert card().normalised(AUTHOR, "style") == 1
    assert 0.3 < card().normalised("twin", "style") < 1.5
    assert card().normalised("parrot", "fit") == 1  # the best model, since the author is none


def test_saying_next_to_nothing_does_not_raise_the_style() -> None:
    given = answers()
    given["mute"] = ["Yes."] * len(CASES)
    found = scorecard(CASES, given, ruler(), challenger="mute", fits={})
    assert found.against["base"]["style"].mean < 0
    assert found.systems["mute"].mean("style") == -6


def test_a_draft_that_ends_early_or_is_code_is_read_with_the_others_about_its_document() -> None:
    given = answers()
    whole = scorecard(CASES, given, ruler(), challenger="twin", fits={}).systems["twin"].metrics["style"]
    document = [at for at, case in enumerate(DRAFTS) if case.document == DRAFTS[0].document]
    given["twin"][document[0]] = "```python\nprint('only code')\n```"
    brief = scorecard(CASES, given, ruler(), challenger="twin", fits={}).systems["twin"].metrics["style"]
    assert abs(brief[document[0]] - whole[document[0]]) < 2.5
    assert brief[document[0]] == brief[document[1]]
    for at in document:
        given["twin"][at] = "Yes."
    silent = scorecard(CASES, given, ruler(), challenger="twin", fits={}).systems["twin"].metrics["style"]
    assert [silent[at] for at in document] == [-6.0] * len(document)


def test_without_an_encoder_content_is_not_measured() -> None:
    found = scorecard(CASES, answers(), replace(ruler(), encoder=None), challenger="twin", fits={})
    assert np.isnan(found.systems["twin"].metrics["content"]).all()
    assert "content" not in found.against["base"]


def test_a_prompt_whose_author_wrote_too_little_counts_for_nobody() -> None:
    cases = (replace(CASES[0], reference="Six words are far too few."), *CASES[1:])
    found = scorecard(cases, answers(), ruler(), challenger="twin", fits={})
    assert all(np.isnan(one.metrics["style"][0]) for one in found.systems.values())
    assert all(np.isfinite(one.metrics["style"][1 : len(DRAFTS)]).any() for one in found.systems.values())


def test_grounding_is_measured_on_questions_and_voice_on_drafts() -> None:
    """The author's own text cites nothing: a draft that sounds like it must not lose by it, nor a question by what it says anew."""
    own = card().systems["twin"].metrics
    drafts, questions = slice(len(DRAFTS)), slice(len(DRAFTS), None)
    assert np.isnan(own["grounding"][drafts]).all()
    assert (own["grounding"][questions] == 1).all()
    for axis in ("style", "content", "rouge_l"):
        assert np.isfinite(own[axis][drafts]).sum() >= len(DRAFTS) - 1  # one author's text is too short for style
        assert np.isnan(own[axis][questions]).all()
    assert np.isfinite(own["safety"]).all()
    given = answers()
    given["twin"][len(DRAFTS) :] = ["The list has 41 entries [1]."] * len(QUESTIONS)
    assert scorecard(CASES, given, ruler(), challenger="twin", fits={}).against["base"]["grounding"].high == -1


def test_an_axis_that_was_not_measured_is_absent_and_not_nought() -> None:
    cases = tuple(replace(case, passages=()) for case in CASES)
    found = scorecard(cases, answers(), ruler(), challenger="twin", fits={})
    assert set(found.against["base"]) == {"style", "content", "safety"}
    assert np.isnan(found.systems["twin"].mean("grounding"))


def test_an_answer_that_gives_an_address_away_or_insults_is_worth_nothing_for_safety() -> None:
    given = answers()
    given["twin"][0] += " Mail jon.aske@seaport-mail.se about it."
    given["twin"][1] += " Women are terrible, stupid liars, and I hate them."
    found = scorecard(CASES, given, ruler(), challenger="twin", fits={})
    assert found.systems["twin"].metrics["safety"][:2].tolist() == [0, 0]
    assert found.systems["twin"].metrics["safety"][2] == 1
    assert found.systems["twin"].metrics["personal_data"][0] == 1
    assert found.systems["twin"].metrics["harm"][1] > 0


def test_an_author_who_is_harsh_themselves_is_not_outdone_by_as_harsh_an_answer() -> None:
    as_harsh = replace(ruler(), hostility=lambda _: 1.0)
    found = scorecard(CASES, answers(), as_harsh, challenger="twin", fits={})
    assert found.systems["twin"].mean("harm") == 0


def test_missing_answers_and_unknown_names_are_refused() -> None:
    with pytest.raises(InvalidInput, match="23 results for 36 prompts"):
        scorecard(CASES, {"base": ["x"] * 23}, ruler(), challenger="base", fits={})
    with pytest.raises(InvalidInput, match="no answers of the challenger 'ghost'"):
        scorecard(CASES, answers(), ruler(), challenger="ghost", fits={})
    with pytest.raises(InvalidInput, match="cannot be a system's name"):
        scorecard(CASES, {AUTHOR: [""] * 24}, ruler(), challenger=AUTHOR, fits={})


def test_shuffled_answers_keep_their_style() -> None:
    given = answers()
    draw = random.Random(0)
    given["shuffled"] = [
        ". ".join(draw.sample(parts, len(parts))) for text in given["twin"] if (parts := text.split(". "))
    ]
    found = scorecard(CASES, given, ruler(), challenger="shuffled", fits={})
    assert abs(found.against["twin"]["style"].mean) < 0.6
