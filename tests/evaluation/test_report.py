"""The report on the scorecard's scenario: what must be in it, and what must not get out of it."""

from __future__ import annotations

from dataclasses import replace

from tests.evaluation.scenario import CASES, answers, card, ruler
from twin_core.evaluation.report import chosen, highlighted, html, markdown
from twin_core.evaluation.safety import Copied, Span
from twin_core.evaluation.scorecard import scorecard
from twin_core.promotion import Decision, Verdict

DECISION = Decision(verdict=Verdict.REFUSED, reasons=("The guardrail of safety does not hold.",))


def test_the_page_stands_alone_and_shows_verdict_pictures_figures_and_samples() -> None:
    page = html(card("parrot"), DECISION, title="Mara, adapter 7")
    assert page.startswith("<!doctype html>")
    assert "refused" in page
    assert "The guardrail of safety does not hold." in page
    assert page.count("data:image/png;base64,") == 3  # the radar, and the differences to two rivals
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert "<mark title=" in page
    assert page.count('<section class="sample">') == 6


def test_text_in_the_page_is_text_and_never_markup() -> None:
    given = answers()
    given["twin"] = ["<script>alert(1)</script> " + text for text in given["twin"]]
    cases = tuple(replace(case, prompt="<b>bold</b>") for case in CASES)
    page = html(scorecard(cases, given, ruler(), challenger="twin", fits={}), title="<i>")
    assert "<script" not in page
    assert "<b>" not in page
    assert "<i>" not in page


def test_markdown_has_every_figure_and_no_text_of_anybody() -> None:
    text = markdown(card(), DECISION)
    assert "| style, z-score: 0 is typical of the author |" in text
    assert "## twin minus base" in text
    assert "**refused**" in text
    assert not any(case.reference[:30] in text or case.prompt in text for case in CASES)


def test_an_axis_that_was_not_measured_is_a_dash_and_breaks_no_picture() -> None:
    cases = tuple(replace(case, passages=()) for case in CASES)
    page = html(scorecard(cases, answers(), ruler(), challenger="twin", fits={}))
    assert "sentences that cited passages support" not in page
    assert "data:image/png" in page


def test_samples_are_the_extremes_and_the_longest_copies_and_always_the_same() -> None:
    shown = chosen(card("parrot"))
    style = card("parrot").systems["parrot"].metrics["style"].tolist()
    assert style.index(min(style)) in shown
    assert style.index(max(style)) in shown
    assert shown == chosen(card("parrot"))
    assert len(shown) == len(set(shown)) == 6


def test_overlapping_spans_are_marked_once() -> None:
    copied = Copied(9, 1.0, (Span(0, 5, 8), Span(3, 8, 8)))
    assert highlighted("ab<cdefgh", copied) == '<mark title="8 words">ab&lt;cd</mark><mark title="8 words">efg</mark>h'
