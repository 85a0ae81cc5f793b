"""`twin traces`: what was asked and drafted, how each answer came about, and taking them out as a data set."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from twin_cli import output
from twin_cli.authors import Slug, chosen
from twin_cli.terminal import harmless
from twin_core.errors import InvalidInput
from twin_core.monitoring import trace_export
from twin_core.monitoring.trace_export import Form
from twin_core.runtime.stores import stores
from twin_core.settings import settings
from twin_core.store import traced

traces = typer.Typer(help="List answers and drafts, show how one came about, take them out.")

MOST = 100_000
"""Rows of one export: some hundred megabytes."""

Kind = Annotated[
    str | None, typer.Option("--kind", help="answer, draft, outline, post, article, thread, reply or code.")
]
Outcome = Annotated[str | None, typer.Option("--outcome", help="answered, retrieval_only, interrupted or failed.")]
Model = Annotated[str | None, typer.Option("--model")]
Since = Annotated[datetime | None, typer.Option("--since", help="In UTC: 2026-03-01, 2026-03-01T12:00:00.")]
Until = Annotated[datetime | None, typer.Option("--until", help="Exclusive, in UTC.")]
Feedback = Annotated[str | None, typer.Option("--feedback", help="up, down, edited, any or none.")]


@traces.callback(invoke_without_command=True)
def list_(
    ctx: typer.Context,
    *,
    author: Slug = None,
    kind: Kind = None,
    outcome: Outcome = None,
    model: Model = None,
    since: Since = None,
    until: Until = None,
    feedback: Feedback = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST)] = 50,
    as_json: output.AsJson = False,
) -> None:
    """List an author's answers and drafts, the latest first."""
    ctx.obj = author
    if ctx.invoked_subcommand is not None:
        return
    wanted = _checked(
        traced.Wanted(kind=kind, outcome=outcome, model=model, since=since, until=until, feedback=feedback)
    )
    with stores(settings()) as opened, opened.database.transaction() as conn:
        rows = traced.page_of_traces(conn, chosen(conn, author).id, wanted, limit=limit)
    if as_json:
        output.show_json(rows)
        return
    output.show_rows(
        ["id", "at", "kind", "question", "outcome", "model", "seconds", "tokens", "cost", "said"],
        [
            [
                str(row.id)[:8],
                row.at,
                row.kind,
                harmless(" ".join(row.question.split())[:60]) if row.texts != "dropped" else "(not kept)",
                row.outcome,
                row.model,
                row.seconds,
                row.completion_tokens,
                row.cost,
                "edited" if row.edited else row.verdict,
            ]
            for row in rows
        ],
        empty="No such answer. `twin ask` makes one.",
    )


@traces.command()
def show(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(metavar="TRACE", help="Its id or the beginning of it.")],
    author: Slug = None,
    as_json: output.AsJson = False,
) -> None:
    """Show one answer: its search, its passages, what it rests on, its timings and what was said of it."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        owner = chosen(conn, author or ctx.obj)
        trace_id = traced.resolve_trace(conn, owner.id, key)
        found = traced.trace_detail(conn, owner.id, trace_id)
        lineage = traced.answer_lineage(conn, owner.id, trace_id)
    if as_json:
        output.show_json({**output.plain(found), "lineage": output.plain(lineage)})
        return
    output.show(f"{found.id}  {found.kind}, {found.outcome}, {found.at:%Y-%m-%d %H:%M}")
    output.show(f"\n> {harmless(found.question)}\n\n{harmless(found.answer)}\n")
    if found.error:
        output.show(f"what went wrong: {harmless(found.error)}")
    output.show(f"model {found.model or '-'}, engine {found.engine or '-'}, adapter {found.adapter_id or '-'}")
    output.show(f"prompt {found.prompt_version}, retrieval {found.retrieval}")
    for name, value in (("filters", found.filters), ("searched for", found.queries)):
        if value:
            output.show(f"{name}: {harmless(str(value))}")
    steps = ", ".join(f"{step} {seconds:.2f} s" for step, seconds in sorted(found.timings.items(), key=lambda s: s[1]))
    tokens = "no tokens were counted"
    if found.usage:
        tokens = f"{found.usage['prompt_tokens']} + {found.usage['completion_tokens']} tokens, cost {found.cost or 0:g}"
    output.show(f"{steps}; {tokens}\n")
    if found.cached_from:
        output.show(f"given again from {found.cached_from}\n")
    places = {one.label: one for one in lineage.passages}
    output.show_rows(
        ["passage", "cited", "score", "title", "source", "still so"],
        [
            [
                one.label,
                one.cited,
                one.score,
                harmless(one.title or ""),
                f"{places[one.label].platform} {places[one.label].locator}" if one.label in places else None,
                places[one.label].current if one.label in places else None,
            ]
            for one in found.passages
        ],
        empty="It rests on no passage.",
    )
    for word in found.feedback:
        output.show(f"{word.at:%Y-%m-%d %H:%M} {word.verdict or ''} {harmless(word.edited or '')}".rstrip())


@traces.command()
def export(
    ctx: typer.Context,
    to: Annotated[Path, typer.Argument(metavar="FILE", help="Its ending says the form: .jsonl or .parquet.")],
    *,
    author: Slug = None,
    kind: Kind = None,
    outcome: Outcome = None,
    model: Model = None,
    since: Since = None,
    until: Until = None,
    feedback: Feedback = None,
    as_json: output.AsJson = False,
) -> None:
    """Write answers and drafts to a file, one row each. Forgetting does not reach it."""
    form = _form(to)
    wanted = _checked(
        traced.Wanted(kind=kind, outcome=outcome, model=model, since=since, until=until, feedback=feedback)
    )
    with stores(settings()) as opened, opened.database.transaction() as conn:
        rows = traced.rows_to_export(conn, chosen(conn, author or ctx.obj).id, wanted, limit=MOST + 1)
    if len(rows) > MOST:
        raise InvalidInput(f"These are more than {MOST:,} traces. Narrow them with --since and --until.")
    to.write_bytes(trace_export.encoded(rows, form))
    if as_json:
        output.show_json({"traces": len(rows), "written": to})
    else:
        output.show(f"{len(rows)} traces in {to}")


def _form(to: Path) -> Form:
    try:
        return Form(to.suffix.removeprefix("."))
    except ValueError as error:
        raise InvalidInput(f"{to.name} ends in neither .jsonl nor .parquet.") from error


def _checked(wanted: traced.Wanted) -> traced.Wanted:
    for name, value, known in (
        ("--kind", wanted.kind, traced.KINDS),
        ("--outcome", wanted.outcome, traced.OUTCOMES),
        ("--feedback", wanted.feedback, traced.SAID),
    ):
        if value is not None and value not in known:
            raise InvalidInput(f"{name} is one of: {', '.join(known)}.")
    return replace(wanted, since=_utc(wanted.since), until=_utc(wanted.until))


def _utc(when: datetime | None) -> datetime | None:
    return when.replace(tzinfo=UTC) if when is not None and when.tzinfo is None else when
