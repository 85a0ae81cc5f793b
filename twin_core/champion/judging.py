"""What the promotion rule says of an adapter now: evidence and candidates as the registry has them at this moment."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from twin_core.errors import Refused
from twin_core.promotion import AUTHOR, TRAINING_TEXT, Candidate, Decision, Evidence, Verdict, decide
from twin_core.store import adapters, registry
from twin_core.store.adapters import Adapter


def judge(conn: Connection, author_id: UUID, adapter: Adapter) -> Decision:
    """Apply the rule to the adapter's latest evaluation and to what serves.

    Figures against an earlier champion count for nothing once another one serves.
    """
    current = registry.serving(conn, author_id)
    champion = adapters.adapter_by_id(conn, author_id, current.adapter_id) if current is not None else None
    if champion is not None and champion.id == adapter.id:
        return Decision(verdict=Verdict.REFUSED, reasons=(f"v{adapter.version} is the champion already.",))
    evaluation = registry.latest_evaluation(conn, author_id, adapter.id)
    if evaluation is None:
        never = f"It was never evaluated. Run `twin evaluate --adapter v{adapter.version}`."
        return _tainted(adapter, Decision(verdict=Verdict.REFUSED, reasons=(never,)))
    against = dict(evaluation.against)
    if champion is not None and evaluation.champion_id != champion.id:
        against.pop("champion", None)
    if any("chrf" in figures and "content" not in figures for figures in evaluation.figures.values()):
        # Measured when content was chrF: what stands there is in another unit than the margin.
        against = {
            rival: {axis: one for axis, one in axes.items() if axis != "content"} for rival, axes in against.items()
        }
    taught = registry.learnt(conn, author_id, adapter.id)
    challenger = Candidate(
        adapter_id=adapter.id,
        trained_at=adapter.created_at,
        split_id=evaluation.split_id,
        train_examples=taught.examples,
    )
    before = None
    if champion is not None:
        known = registry.learnt(conn, author_id, champion.id)
        newer = (
            registry.examples_newer_than(conn, author_id, adapter.id, known.newest_at)
            if known.newest_at is not None
            else 0
        )
        challenger = replace(challenger, newer_examples=newer)
        before = Candidate(
            adapter_id=champion.id,
            trained_at=champion.created_at,
            split_id=registry.split_measured_on(conn, author_id, champion.id) or "never measured",
            train_examples=known.examples,
        )
    evidence = Evidence(
        documents=evaluation.documents,
        against=against,
        hand=evaluation.figures.get(TRAINING_TEXT, evaluation.figures.get(AUTHOR, {})).get("style"),
    )
    return _tainted(adapter, decide(challenger, before, evidence))


def judge_or_judged(conn: Connection, author_id: UUID, adapter: Adapter) -> Decision:
    """What the rule says now; of the champion, of which it has nothing to say any more, what it said when that was approved."""
    now = registry.serving(conn, author_id)
    last = registry.latest_decision(conn, author_id, adapter.id)
    if adapter.tainted_at is None and now is not None and now.adapter_id == adapter.id and last and last.decision:
        return Decision(verdict=Verdict(last.decision["verdict"]), reasons=tuple(last.decision["reasons"]))
    return judge(conn, author_id, adapter)


def _tainted(adapter: Adapter, decision: Decision) -> Decision:
    """Which documents they were is not known any more: that is what forgetting means. That there were some is enough."""
    if adapter.tainted_at is None:
        return decision
    reason = (
        f"It was trained on a document that was forgotten on {adapter.tainted_at:%Y-%m-%d}. Train again without: "
        f"`twin dataset build`, then `twin train`."
    )
    others = decision.reasons if decision.verdict is Verdict.REFUSED else ()
    return Decision(verdict=Verdict.REFUSED, reasons=(reason, *others), figures=decision.figures)


def require(decision: Decision, reason: str | None) -> None:
    """Raise Refused, with the rule's reasons, unless a person may approve this for the reason they give."""
    if decision.approvable or (decision.approvable_with_reason and reason):
        return
    reasons = " ".join(decision.reasons)
    if decision.approvable_with_reason:
        raise Refused(f"Insufficient evidence: {reasons} Approve it with --reason, if you know better.")
    raise Refused(f"Not promoted ({decision.verdict.value}): {reasons}")


def as_record(decision: Decision) -> dict[str, Any]:
    """The decision as it is kept with the approval."""
    return {
        "verdict": decision.verdict.value,
        "reasons": list(decision.reasons),
        "figures": {
            rival: {axis: asdict(one) for axis, one in axes.items()} for rival, axes in decision.figures.items()
        },
    }
