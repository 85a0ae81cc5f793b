"""Stories of the gate: who may take the champion's place, who may not, and what they are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from twin_core.promotion import (
    FEWEST_DOCUMENTS,
    GUARDRAILS,
    Candidate,
    Evidence,
    Verdict,
    decide,
)
from twin_core.records import Difference

LEVEL = Difference(0.0, -0.01, 0.01)
ABOVE = Difference(0.3, 0.1, 0.5)
CHAMPION = Candidate(
    adapter_id="a1", trained_at=datetime(2026, 3, 1, tzinfo=UTC), split_id="spring", train_examples=400
)
CHALLENGER = Candidate(
    adapter_id="a2",
    trained_at=datetime(2026, 4, 1, tzinfo=UTC),
    split_id="spring",
    train_examples=420,
    newer_examples=20,
)


def evidence(*, documents: int = 60, **axes: Difference) -> Evidence:
    """Against the champion: level on every axis but those named."""
    return Evidence(
        documents=documents, against={"champion": {"style": LEVEL, **dict.fromkeys(GUARDRAILS, LEVEL), **axes}}
    )


def first(*, base: dict[str, Difference] | None = None, other: dict[str, Difference] | None = None) -> Evidence:
    won = {"style": ABOVE, **dict.fromkeys(GUARDRAILS, LEVEL), "fit": ABOVE}
    return Evidence(documents=60, against={"base": {**won, **(base or {})}, "other author": {**won, **(other or {})}})


def test_a_better_style_with_every_guardrail_standing_is_better() -> None:
    found = decide(CHALLENGER, CHAMPION, evidence(style=ABOVE))
    assert found.verdict is Verdict.BETTER
    assert found.approvable
    assert "+0.300 (95 % from +0.100 to +0.500)" in found.reasons[0]
    assert found.figures["champion"]["style"] == ABOVE


def test_a_better_mean_whose_interval_holds_nought_is_not_better() -> None:
    found = decide(CHALLENGER, CHAMPION, evidence(style=Difference(0.3, -0.02, 0.6)))
    assert found.verdict is Verdict.NOT_BETTER
    assert not found.approvable_with_reason


def test_ten_per_cent_newer_material_and_no_worse_a_style_is_fresher() -> None:
    fresh = replace(CHALLENGER, newer_examples=40)
    assert decide(fresh, CHAMPION, evidence()).verdict is Verdict.FRESHER
    assert decide(replace(CHALLENGER, newer_examples=39), CHAMPION, evidence()).verdict is Verdict.NOT_BETTER
    worse = decide(fresh, CHAMPION, evidence(style=Difference(-0.2, -0.3, -0.1)))
    assert worse.verdict is Verdict.NOT_BETTER
    assert any("margin of -0.25" in reason for reason in worse.reasons)


def test_one_trained_on_shuffled_text_keeps_its_style_and_falls_on_fit() -> None:
    found = decide(CHALLENGER, CHAMPION, evidence(style=ABOVE, fit=Difference(-0.4, -0.5, -0.3)))
    assert found.verdict is Verdict.REFUSED
    assert "guardrail of fit" in found.reasons[0]


def test_one_trained_on_another_author_falls_on_fit_and_has_no_better_style() -> None:
    found = decide(CHALLENGER, CHAMPION, evidence(style=Difference(-1.5, -2, -1), fit=Difference(-0.2, -0.25, -0.15)))
    assert found.verdict is Verdict.REFUSED


def test_one_that_recites_training_text_falls_on_safety_however_good_its_style() -> None:
    found = decide(CHALLENGER, CHAMPION, evidence(style=ABOVE, safety=Difference(-0.8, -0.9, -0.7)))
    assert found.verdict is Verdict.REFUSED
    assert "guardrail of safety" in found.reasons[0]


def test_every_guardrail_stands_by_its_lower_bound_and_not_by_its_mean() -> None:
    for axis, guardrail in GUARDRAILS.items():
        just = Difference(0.5, guardrail.margin + 1e-9, 1.0)
        at = Difference(0.5, guardrail.margin, 1.0)
        assert decide(CHALLENGER, CHAMPION, evidence(style=ABOVE, **{axis: just})).verdict is Verdict.BETTER
        assert decide(CHALLENGER, CHAMPION, evidence(style=ABOVE, **{axis: at})).verdict is Verdict.REFUSED


def test_one_trained_on_a_forgotten_document_is_refused_whatever_it_can() -> None:
    found = decide(replace(CHALLENGER, tainted_by=("d7",)), CHAMPION, evidence(style=ABOVE))
    assert found.verdict is Verdict.REFUSED
    assert found.reasons == ("It was trained on 1 document that had to be forgotten (d7). Train again without.",)


def test_one_older_than_the_champion_is_refused_and_shown_the_way_back() -> None:
    old = replace(CHALLENGER, trained_at=datetime(2026, 2, 1, tzinfo=UTC))
    found = decide(old, CHAMPION, evidence(style=ABOVE))
    assert found.verdict is Verdict.REFUSED
    assert "twin rollback" in found.reasons[0]
    assert (
        decide(replace(old, trained_at=CHAMPION.trained_at), CHAMPION, evidence(style=ABOVE)).verdict is Verdict.REFUSED
    )


def test_one_evaluated_on_another_split_is_refused() -> None:
    found = decide(replace(CHALLENGER, split_id="autumn"), CHAMPION, evidence(style=ABOVE))
    assert found.verdict is Verdict.REFUSED
    assert "another test split (autumn)" in found.reasons[0]


def test_an_adapter_of_somebody_elses_text_is_refused_however_well_it_does_by_its_own_ruler() -> None:
    found = decide(CHALLENGER, CHAMPION, replace(evidence(style=ABOVE), hand=-4.8))
    assert found.verdict is Verdict.REFUSED
    assert "not by the hand" in found.reasons[0]
    assert decide(CHALLENGER, CHAMPION, replace(evidence(style=ABOVE), hand=-0.6)).approvable


def test_every_ground_for_refusal_is_told_at_once() -> None:
    found = decide(
        replace(CHALLENGER, split_id="autumn", tainted_by=("d1", "d2", "d3", "d4")), CHAMPION, evidence(style=ABOVE)
    )
    assert len(found.reasons) == 2
    assert "4 documents" in found.reasons[0]
    assert "d3, …" in found.reasons[0]


def test_too_few_documents_are_insufficient_evidence_which_a_person_may_overrule() -> None:
    found = decide(CHALLENGER, CHAMPION, evidence(documents=FEWEST_DOCUMENTS - 1, style=ABOVE))
    assert found.verdict is Verdict.INSUFFICIENT_EVIDENCE
    assert not found.approvable
    assert found.approvable_with_reason
    assert "29 held-out documents" in found.reasons[0]
    assert decide(CHALLENGER, CHAMPION, evidence(documents=FEWEST_DOCUMENTS, style=ABOVE)).verdict is Verdict.BETTER


def test_a_person_who_may_overrule_is_told_which_guardrails_fell() -> None:
    found = decide(CHALLENGER, CHAMPION, evidence(documents=5, safety=Difference(-0.8, -0.9, -0.7)))
    assert any("guardrail of safety" in reason for reason in found.reasons)


def test_forgetting_outweighs_too_little_evidence() -> None:
    found = decide(replace(CHALLENGER, tainted_by=("d7",)), CHAMPION, evidence(documents=5))
    assert found.verdict is Verdict.REFUSED
    assert not found.approvable_with_reason


def test_figures_that_are_missing_refuse_and_say_which() -> None:
    partial = Evidence(
        documents=60, against={"champion": {"style": ABOVE, "fit": LEVEL, "content": LEVEL, "safety": LEVEL}}
    )
    found = decide(CHALLENGER, CHAMPION, partial)
    assert found.verdict is Verdict.REFUSED
    (said,) = found.reasons
    assert said.startswith("The evaluation has no figures against the champion on grounding.")
    assert "twin dataset build" in said


def test_the_first_champion_beats_the_base_model_and_an_adapter_of_another_author() -> None:
    assert decide(CHALLENGER, None, first()).verdict is Verdict.BETTER
    tied = decide(CHALLENGER, None, first(other={"fit": LEVEL}))
    assert tied.verdict is Verdict.NOT_BETTER
    assert "fit against the other author: +0.000 (95 % from -0.010 to +0.010), which is not above 0." in tied.reasons
    assert decide(CHALLENGER, None, first(base={"style": LEVEL})).verdict is Verdict.NOT_BETTER


def test_the_first_champion_without_the_other_authors_adapter_is_refused() -> None:
    alone = Evidence(documents=60, against={"base": first().against["base"]})
    found = decide(CHALLENGER, None, alone)
    assert found.verdict is Verdict.REFUSED
    assert found.reasons == ("The evaluation has no figures against the other author. Evaluate again.",)


def test_a_first_champion_that_recites_is_refused() -> None:
    assert decide(CHALLENGER, None, first(base={"safety": Difference(-0.5, -0.6, -0.4)})).verdict is Verdict.REFUSED
