"""`twin models`, `evaluate`, `approve`, `reject`, `rollback`: from a trained adapter to the one that answers.

What may be approved is decided in `twin_core/promotion.py`. An approval is a recorded decision; carrying it out, here or by
Dagster's sensor, judges the evidence again.
"""

from __future__ import annotations

import getpass
from typing import Annotated, Any
from uuid import UUID

import typer

from twin_cli import output
from twin_cli.authors import Slug, chosen
from twin_core.champion.judging import as_record, judge, judge_or_judged, require
from twin_core.champion.mirror import mirror
from twin_core.errors import InvalidInput, NotFound
from twin_core.evaluation.launch import ANSWERS, run_evaluation
from twin_core.models import copies
from twin_core.records import Author
from twin_core.runtime.stores import Stores, stores
from twin_core.settings import settings
from twin_core.store import adapters, registry
from twin_core.store.adapters import Adapter
from twin_core.store.files import file_store

Which = Annotated[str, typer.Argument(metavar="ADAPTER", help="The adapter's version, such as v3.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; needed where the evidence is insufficient.")]
WhyNot = Annotated[str, typer.Option("--reason", help="Why not: whoever trains the next one reads it.")]
By = Annotated[str | None, typer.Option("--by", help="Who decides. Default: the login of this machine.")]
Evaluated = Annotated[
    str | None,
    typer.Option("--adapter", metavar="ADAPTER", help="The adapter's version, such as v3. Default: the newest."),
]
Card = Annotated[
    str | None, typer.Option("--card", metavar="ADAPTER", help="Print this one's model card, scorecard included.")
]
Most = Annotated[int, typer.Option("--prompts", min=1, help="Answers to measure; fewer are quicker and say less.")]


def models(author: Slug = None, *, card: Card = None, as_json: output.AsJson = False) -> None:
    """An author's adapters: what was found of each, what was decided, which one serves."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        who = chosen(conn, author)
        if card is not None:
            _show_card(conn, who, adapters.resolve_adapter(conn, who.id, card), as_json=as_json)
            return
        found = [_described(conn, who, one) for one in adapters.list_adapters(conn, who.id)]
    if as_json:
        output.show_json(found)
        return
    output.show_rows(
        ["version", "kind", "base", "trained", "evaluated", "the rule says", "decision", "serving"],
        [
            (
                f"v{one['version']}",
                one["kind"],
                one["base_model"],
                one["created_at"],
                one["evaluated_at"] or "never",
                _said(one),
                one["decision"] or "",
                one["deployment"] or "",
            )
            for one in found
        ],
        empty=f"No adapter yet. Train one: twin train --author {who.slug}",
    )


def evaluate(
    author: Slug = None, adapter: Evaluated = None, *, prompts: Most = ANSWERS, as_json: output.AsJson = False
) -> None:
    """Measure an adapter on held-out documents beside the champion and the base, and say what the rule makes of it."""
    with stores(settings()) as opened:
        who, candidate = _adapter_of(opened, author, adapter)
        output.say(f"Evaluating v{candidate.version} of {who.name}: this takes minutes on a processor.")
        made = run_evaluation(opened.database, who, candidate, settings=settings(), prompts=prompts)
        with opened.database.transaction() as conn:
            decision = judge(conn, who.id, candidate)
        _mirror(who)
    report = file_store(settings()).address(made.report_key) if made.report_key else None
    if as_json:
        output.show_json({"evaluation": output.plain(made), "report": report, **as_record(decision)})
        return
    output.show_rows(
        ["against", "axis", "difference", "95 % interval"],
        [
            (rival, axis, f"{one.mean:+.3f}", f"{one.low:+.3f} to {one.high:+.3f}")
            for rival, axes in made.against.items()
            for axis, one in axes.items()
        ],
    )
    output.show(f"{decision.verdict.value}: {' '.join(decision.reasons)}")
    for note in made.notes:
        output.say(note)
    output.say(f"Report: {report}")


def approve(
    adapter: Which, author: Slug = None, *, reason: Reason = None, by: By = None, as_json: output.AsJson = False
) -> None:
    """Let an adapter serve, if the promotion rule agrees. What serves now answers until the new one is up."""
    from twin_core.champion.promoting import carry_out

    with stores(settings()) as opened:
        who, candidate = _adapter_of(opened, author, adapter)
        with opened.database.transaction() as conn:
            require(judge(conn, who.id, candidate), reason)
            asked = _decide(conn, who, candidate, "approve", reason=reason, by=by)
        output.say(f"Bringing v{candidate.version} up; what serves now answers until it is there.")
        done = carry_out(opened.database, who, asked, settings=settings())
    if as_json:
        output.show_json(done)
    elif done.state == "done":
        output.show(f"v{candidate.version} serves. Back to what served before: twin rollback --author {who.slug}")
    _tidy(who)
    if done.state != "done":
        output.warn(str(done.problem))
        output.finish(output.PARTLY)


def reject(
    adapter: Which, reason: WhyNot, author: Slug = None, *, by: By = None, as_json: output.AsJson = False
) -> None:
    """Record that an adapter shall not serve, and why."""
    with stores(settings()) as opened:
        who, candidate = _adapter_of(opened, author, adapter)
        with opened.database.transaction() as conn:
            asked = _decide(conn, who, candidate, "reject", reason=reason, by=by)
            registry.finish_decision(conn, asked, state="done", decision=None)
            done = registry.approval(conn, who.id, asked)
    if as_json:
        output.show_json(done)
    else:
        output.show(f"Rejected: v{candidate.version}.")
    _mirror(who)


def rollback(author: Slug = None, *, reason: Reason = None, as_json: output.AsJson = False) -> None:
    """Let the adapter that served before serve again, at once."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        who = chosen(conn, author)
        now = registry.go_back(conn, who.id, reason or f"rolled back by {_me()}")
    if as_json:
        output.show_json({"serving": output.plain(now)})
    else:
        output.show(f"{now.served_name if now else 'The base model'} serves.")
    _tidy(who)


def _show_card(conn: Any, who: Author, candidate: Adapter, *, as_json: bool) -> None:
    from twin_core.champion.model_card import card_of

    text = card_of(conn, who.id, candidate, judge_or_judged(conn, who.id, candidate), file_store(settings()))
    if as_json:
        output.show_json({"version": candidate.version, "card": text})
    else:
        typer.echo(text)


def _tidy(who: Author) -> None:
    """After what serves is another: copies that were kept only because they served go, and MLflow shows it."""
    with stores(settings()) as opened:
        copies.purge(opened.database, settings(), who.id)
    _mirror(who)


def _mirror(who: Author) -> None:
    """MLflow shows the same, or it is said why not: what serves does not depend on it."""
    if (problem := mirror(who, settings())) is not None:
        output.warn(problem)


def _adapter_of(opened: Stores, slug: str | None, key: str | None) -> tuple[Author, Adapter]:
    with opened.database.transaction() as conn:
        who = chosen(conn, slug)
        if key is not None:
            return who, adapters.resolve_adapter(conn, who.id, key)
        for newest in adapters.list_adapters(conn, who.id, limit=1):
            return who, newest
    raise NotFound(f"There is no adapter of {who.slug} yet. Train one: twin train --author {who.slug}")


def _decide(
    conn: Any, who: Author, candidate: Adapter, verdict: registry.Verdict, *, reason: str | None, by: str | None
) -> UUID:
    if reason is not None and not reason.strip():
        raise InvalidInput("The reason is empty. Say why in a few words.")
    return registry.decide(
        conn, author_id=who.id, adapter_id=candidate.id, verdict=verdict, by=by or _me(), reason=reason
    )


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "someone on this machine"


def _said(one: dict[str, Any]) -> str:
    """What the rule says of an adapter, for a table: of the champion it has nothing to say any more."""
    if one["tainted_at"]:
        return "tainted: a document was forgotten"
    return "the champion" if one["deployment"] == "serving" else str(one["verdict"])


def _described(conn: Any, who: Author, one: Adapter) -> dict[str, Any]:
    evaluation = registry.latest_evaluation(conn, who.id, one.id)
    decision = registry.latest_decision(conn, who.id, one.id)
    deployed = [d for d in registry.deployments(conn, who.id) if d.adapter_id == one.id]
    judged = judge(conn, who.id, one)
    return {
        "id": one.id,
        "version": one.version,
        "kind": one.kind,
        "base_model": one.base_model,
        "dataset_version": one.version_id,
        "created_at": one.created_at,
        "tainted_at": one.tainted_at,
        "evaluated_at": evaluation.at if evaluation else None,
        "report_key": evaluation.report_key if evaluation else None,
        "verdict": judged.verdict.value,
        "reasons": list(judged.reasons),
        "decision": f"{decision.verdict} by {decision.by} ({decision.state})" if decision else None,
        "deployment": deployed[0].state if deployed else None,
    }
