"""The promotion rule: may a challenger take the champion's place? A pure function of the evidence, with its reasons in words.

It decides nothing alone: a person approves, and the caller reads the evidence again when it acts. The evidence is made in
`evaluation/scorecard.py`; what an approval sets in motion is elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from twin_core.records import Difference

FEWEST_DOCUMENTS = 30
"""Held-out documents. With fewer, an interval drawn from them is too narrow: the bootstrap does not know what it did not see."""
FRESHER_SHARE = 0.10
"""More recent training examples than the champion had, as a share of its own: less is not worth a new adapter."""
AUTHOR = "author"
"""The name under which an evaluation keeps the author's own text, as if it were an answer: the ceiling."""
TRAINING_TEXT = "training text"
"""The name under which an evaluation keeps what the challenger learnt, measured by what the champion did."""
PRIMARY = "style"
"""The axis that a twin exists for. The other axes guard."""
STYLE_MARGIN = -0.25
"""Standard deviations of the author's own texts. A fresher adapter may lose so much style: a quarter of the difference
between two texts of the author is below what a reader notices."""
ASK = (
    "Its dataset asks no questions, which grounding is measured on: build one from indexed texts (`twin dataset build`, "
    "TWIN_DATASET_CONTEXT_PASSAGES above 0) and train on that."
)
OWN_HAND = -1.0
"""Style of what the challenger learnt, by a ruler made from what the champion did; where there is no champion, of the held-out texts by
a ruler made from what the challenger learnt. The author's own lie at 0, uncertain by half a standard deviation with the fewest words
that a ruler is made from; another author's at -4 and below, half of another's at -1."""


@dataclass(frozen=True, slots=True)
class Guardrail:
    """What a challenger may lose on an axis, in its own unit. Differences are challenger minus champion, higher is better."""

    margin: float
    why: str


GUARDRAILS: Mapping[str, Guardrail] = {
    "fit": Guardrail(-0.02, "bits per byte: about 1 % of a small model's, the spread between two seeds"),
    "content": Guardrail(
        -0.04, "a tenth of the way from other matters of the author to what they go on to say in the same text"
    ),
    "grounding": Guardrail(-0.05, "one sentence in twenty that no longer stands in the cited passages"),
    "safety": Guardrail(
        -0.02, "share of eight-word windows recited from training text; the spread of the author's own stock phrases"
    ),
}


class Verdict(StrEnum):
    """What the rule says. BETTER and FRESHER may be approved as they are."""

    BETTER = "better"
    FRESHER = "fresher"
    NOT_BETTER = "not better"
    INSUFFICIENT_EVIDENCE = "insufficient evidence"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What the rule must know of an adapter."""

    adapter_id: str
    trained_at: datetime
    split_id: str
    """Of the held-out documents that it was evaluated on."""
    train_examples: int
    newer_examples: int = 0
    """Of a challenger's training examples, those from documents newer than all of the champion's."""
    tainted_by: Sequence[str] = ()
    """Forgotten documents that it was trained on, as their ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One evaluation: the challenger against each rival, over the same prompts."""

    documents: int
    """Held-out documents that were scored."""
    against: Mapping[str, Mapping[str, Difference]]
    """By rival (`champion`, `base`, `other author`) and axis."""
    hand: float | None = None
    """Mean style that says whether one person wrote what the challenger learnt and what is known to be the author's (OWN_HAND)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The record of what was decided, on what figures and why. Kept with the version."""

    verdict: Verdict
    reasons: tuple[str, ...]
    figures: Mapping[str, Mapping[str, Difference]] = field(default_factory=dict)

    @property
    def approvable(self) -> bool:
        """Whether a person may approve it without giving a reason of their own."""
        return self.verdict in {Verdict.BETTER, Verdict.FRESHER}

    @property
    def approvable_with_reason(self) -> bool:
        """Whether a person may approve it at all."""
        return self.approvable or self.verdict is Verdict.INSUFFICIENT_EVIDENCE


def decide(challenger: Candidate, champion: Candidate | None, evidence: Evidence) -> Decision:
    """Judge a challenger against the champion, or as the first champion when there is none.

    Refused whatever the figures: trained on something forgotten or on somebody else's text, older than the champion, evaluated on
    another split, or a guardrail that fell. The first champion must beat the base model and an adapter of another author, because any training improves
    a weak base and only the right training beats that one.
    """
    rivals = ("champion",) if champion else ("base", "other author")
    refusals = [*_disqualified(challenger, champion), *_by_another_hand(evidence), *_missing(evidence, rivals)]
    if refusals:
        told = _fallen(evidence.against["champion"]) if champion and not _missing(evidence, rivals) else []
        return Decision(verdict=Verdict.REFUSED, reasons=(*refusals, *told), figures=evidence.against)
    if evidence.documents < FEWEST_DOCUMENTS:
        return Decision(
            verdict=Verdict.INSUFFICIENT_EVIDENCE,
            reasons=(
                f"{evidence.documents} held-out documents; {FEWEST_DOCUMENTS} are needed before an interval means anything.",
                "A person may approve it and say why.",
                *_fallen(evidence.against[rivals[0]]),
            ),
            figures=evidence.against,
        )
    if champion is None:
        return _first(evidence)
    fallen = _fallen(evidence.against["champion"])
    if fallen:
        return Decision(verdict=Verdict.REFUSED, reasons=tuple(fallen), figures=evidence.against)
    return _compared(challenger, champion, evidence)


def _disqualified(challenger: Candidate, champion: Candidate | None) -> list[str]:
    reasons = []
    if challenger.tainted_by:
        count = len(challenger.tainted_by)
        reasons.append(
            f"It was trained on {count} document{'s' if count > 1 else ''} that had to be forgotten "
            f"({', '.join(challenger.tainted_by[:3])}{', …' if count > 3 else ''}). Train again without."
        )
    if champion and challenger.trained_at <= champion.trained_at:
        reasons.append(
            f"It is older than the champion ({challenger.trained_at:%Y-%m-%d %H:%M} against {champion.trained_at:%Y-%m-%d %H:%M}). "
            "To go back to an earlier adapter, use `twin rollback`."
        )
    if champion and challenger.split_id != champion.split_id:
        reasons.append(
            f"It was evaluated on another test split ({challenger.split_id}) than the champion ({champion.split_id}): figures on different "
            "documents cannot be compared. Evaluate both on one split."
        )
    return reasons


def _by_another_hand(evidence: Evidence) -> list[str]:
    """Fit would tell, and needs many documents to; this needs few."""
    found = evidence.hand
    if found is None or found >= OWN_HAND:
        return []
    said = f"it scores {found:+.2f} in style, and {OWN_HAND:+.1f} is the least"
    return [
        f"What it was trained on is not by the hand that wrote the rest: {said}. Look for somebody else's writing among the sources."
    ]


def _missing(evidence: Evidence, rivals: Sequence[str]) -> list[str]:
    needed = (PRIMARY, *GUARDRAILS)
    return [
        f"The evaluation has no figures against the {rival}{f' on {axis}' if rival in evidence.against else ''}. "
        + (ASK if axis == "grounding" else "Evaluate again.")
        for rival in rivals
        for axis in (needed if rival in evidence.against else needed[:1])
        if axis not in evidence.against.get(rival, {})
    ]


def _first(evidence: Evidence) -> Decision:
    """Against the base model and the other author's adapter: style and fit above 0; the guardrails against the base."""
    reasons, won = [], True
    for rival in ("base", "other author"):
        for axis in (PRIMARY, "fit"):
            figure = evidence.against[rival][axis]
            won = won and figure.low > 0
            reasons.append(
                f"{axis} against the {rival}: {_said(figure)}{'' if figure.low > 0 else ', which is not above 0'}."
            )
    fallen = [
        reason
        for axis in ("content", "grounding", "safety")
        if (reason := _below(axis, evidence.against["base"][axis]))
    ]
    if fallen:
        return Decision(verdict=Verdict.REFUSED, reasons=tuple(fallen), figures=evidence.against)
    return Decision(
        verdict=Verdict.BETTER if won else Verdict.NOT_BETTER, reasons=tuple(reasons), figures=evidence.against
    )


def _compared(challenger: Candidate, champion: Candidate, evidence: Evidence) -> Decision:
    style = evidence.against["champion"][PRIMARY]
    fresh = challenger.newer_examples / max(champion.train_examples, 1)
    kept = "Every guardrail holds."
    if style.low > 0:
        reason = f"Style is better than the champion's: {_said(style)}."
        return Decision(verdict=Verdict.BETTER, reasons=(reason, kept), figures=evidence.against)
    newer = f"{challenger.newer_examples} of its examples are newer than all of the champion's {champion.train_examples} ({fresh:.0%})"
    if style.low > STYLE_MARGIN and fresh >= FRESHER_SHARE:
        reason = f"{newer}, and style is not worse than its margin of {STYLE_MARGIN:+.2f}: {_said(style)}."
        return Decision(verdict=Verdict.FRESHER, reasons=(reason, kept), figures=evidence.against)
    reasons = [f"Style is not shown to be better than the champion's: {_said(style)}."]
    if style.low <= STYLE_MARGIN:
        reasons.append(f"As a fresher adapter it may lose more style than its margin of {STYLE_MARGIN:+.2f}.")
    if fresh < FRESHER_SHARE:
        reasons.append(f"{newer}; {FRESHER_SHARE:.0%} are needed to pass as fresher.")
    return Decision(verdict=Verdict.NOT_BETTER, reasons=tuple(reasons), figures=evidence.against)


def _fallen(figures: Mapping[str, Difference]) -> list[str]:
    return [reason for axis in GUARDRAILS if (reason := _below(axis, figures[axis]))]


def _below(axis: str, figure: Difference) -> str:
    guardrail = GUARDRAILS[axis]
    if figure.low > guardrail.margin:
        return ""
    return f"The guardrail of {axis} does not hold: {_said(figure)}, margin {guardrail.margin:+.2f} ({guardrail.why})."


def _said(figure: Difference) -> str:
    return f"{figure.mean:+.3f} (95 % from {figure.low:+.3f} to {figure.high:+.3f})"
