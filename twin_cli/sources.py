"""`twin source` and `twin items`: where an author writes, and how each item of a source ended.

Collecting is `twin sync`. Which platforms there are and what their locators look like is in `twin_core.collect`.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy import Connection

from twin_cli import output
from twin_cli.authors import Slug, chosen
from twin_core.collect.standing import Standing, standings
from twin_core.errors import InvalidInput, NotFound
from twin_core.records import Consent, Outcome, Source
from twin_core.runtime.stores import stores
from twin_core.settings import settings
from twin_core.store import authors, documents, ledger

source = typer.Typer(no_args_is_help=True, help="Add, list, pause and remove the places an author writes in.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The source's id, or its beginning.")]
Options = Annotated[
    list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="For the platform; again for a list.")
]


@source.command()
def add(
    platform: Annotated[str, typer.Argument(help="folder, web, git, ...")],
    locator: Annotated[str, typer.Argument(help="A path or an address.")],
    *,
    author: Slug = None,
    schedule: Annotated[str | None, typer.Option("--schedule", metavar="CRON", help="In UTC: '0 6 * * *'.")] = None,
    option: Options = None,
    mine: Annotated[
        bool, typer.Option("--i-wrote-this", "--mine", "--consent", help="The author wrote what is there, and agrees.")
    ] = False,
    proof: Annotated[str | None, typer.Option("--proof", help="On what that claim rests.")] = None,
    rel_me: Annotated[
        str | None, typer.Option("--rel-me", metavar="URL", help='A page of the author that links to it, rel="me".')
    ] = None,
    proof_file: Annotated[
        Path | None, typer.Option("--proof-file", metavar="PATH", help="A file only the author has, as an export.")
    ] = None,
    token: Annotated[bool, typer.Option("--token", help="The account's token in the settings proves it.")] = False,
    claimed_by: Annotated[
        str | None, typer.Option("--claimed-by", help="Who claims it. Default: this account.")
    ] = None,
    as_json: output.AsJson = False,
) -> None:
    """Add a source. It is refused without consent: --i-wrote-this, or a proof.

    --rel-me, --proof-file and --token are checked now and stored with what was seen; --proof takes your own words.

    Adding the same place again gives it this schedule, these options and this consent.
    """
    from twin_core.collect import proof as proofs_of
    from twin_core.collect.registry import collector_for

    account = getpass.getuser()
    options = options_of(option or [])
    collector = collector_for(platform)
    place = collector.check(locator, options, settings())
    proofs = [proof] if proof else []
    if rel_me:
        proofs.append(proofs_of.by_link(rel_me, place, settings()))
    if proof_file:
        proofs.append(proofs_of.by_file(proof_file))
    if token:
        proofs.append(proofs_of.by_token(collector, place, settings()))
    consent = None
    if mine or proofs:
        consent = Consent(
            claimed_by=claimed_by or account,
            proof="; ".join(proofs) or f"claimed on the command line by {account}",
            claimed_at=datetime.now(UTC),
        )
    with stores(settings()) as opened, opened.database.transaction() as conn:
        owner = chosen(conn, author)
        added = authors.add_source(
            conn,
            author_id=owner.id,
            platform=platform,
            locator=place,
            schedule=schedule,
            options=options,
            consent=consent,
        )
    if as_json:
        output.show_json(added)
        return
    output.show(f"{added.platform} {added.locator} is a source of {owner.slug}: {added.id}")
    output.say(f"Next: twin sync --author {owner.slug}")


@source.command("list")
def list_(author: Slug = None, as_json: output.AsJson = False) -> None:
    """List sources: what they hold, when they last succeeded, what is wrong; of every author, unless one is named."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        owner = None if author is None else authors.author_by_slug(conn, author).id
        slugs = {one.id: one.slug for one in authors.list_authors(conn)}
        there = standings(conn, datetime.now(UTC), owner)
    if as_json:
        output.show_json(there)
        return
    show_standings(there, slugs)
    output.say("Each item of a source: twin items --source ID")


def show_standings(there: Sequence[Standing], slugs: Mapping[UUID, str]) -> None:
    """The table of sources, and below it each alarm in words."""
    output.show_rows(
        ["id", "author", "platform", "locator", "items", "schedule", "next", "last success", "last run"],
        [
            [
                str(one.source.id)[:8],
                slugs[one.source.author_id],
                one.source.platform,
                one.source.locator,
                str(one.held) if one.own_count is None else f"{one.held} of {one.own_count}",
                "paused" if one.source.paused else one.source.schedule,
                None if one.source.paused else one.source.next_run_at,
                one.last_success_at,
                _told(one.last_run),
            ]
            for one in there
        ],
        empty="No source yet. Add one with `twin source add --author SLUG PLATFORM LOCATOR --i-wrote-this`.",
    )
    for one in there:
        for alarm in one.alarms:
            output.show(f"{alarm.kind.upper()} {one.source.platform} {one.source.locator}: {alarm.said}.")


@source.command("set")
def set_(
    source_id: Id,
    *,
    schedule: Annotated[str | None, typer.Option("--schedule", metavar="CRON", help="In UTC: '0 6 * * *'.")] = None,
    no_schedule: Annotated[bool, typer.Option("--no-schedule", help="Collect it only when asked.")] = False,
    paused: Annotated[bool | None, typer.Option("--pause/--resume", help="Whether its schedule is on.")] = None,
    option: Options = None,
    as_json: output.AsJson = False,
) -> None:
    """Change when a source is collected, or what is taken from it. What is not named stays as it is.

    --option replaces all options that the source has.
    """
    from twin_core.collect.registry import collector_for

    if schedule is not None and no_schedule:
        raise InvalidInput("Either --schedule CRON or --no-schedule, not both.")
    if schedule is None and not no_schedule and paused is None and option is None:
        raise InvalidInput("Nothing to change. Name --schedule, --no-schedule, --pause, --resume or --option.")
    with stores(settings()) as opened, opened.database.transaction() as conn:
        changed = named(conn, source_id)
        if option is not None:
            options = options_of(option)
            collector_for(changed.platform).check(changed.locator, options, settings())
            changed = authors.set_options(conn, changed.id, options)
        if schedule is not None or no_schedule:
            changed = authors.set_schedule(conn, changed.id, schedule, datetime.now(UTC))
        if paused is not None:
            changed = authors.pause_source(conn, changed.id, paused=paused)
    if as_json:
        output.show_json(changed)
        return
    when = (
        "paused"
        if changed.paused
        else f"next at {changed.next_run_at:%Y-%m-%d %H:%M} UTC"
        if changed.next_run_at
        else "when asked"
    )
    output.show(f"{changed.platform} {changed.locator}: {changed.schedule or 'no schedule'}, {when}.")


@source.command()
def pause(
    source_id: Id,
    off: Annotated[bool, typer.Option("--off", help="Let it fall due again.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Stop a source from being collected on its schedule. `twin sync --source` still does it by hand."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        changed = authors.pause_source(conn, named(conn, source_id).id, paused=not off)
    if as_json:
        output.show_json(changed)
    else:
        output.show(
            f"{changed.platform} {changed.locator} is {'paused' if changed.paused else 'on its schedule again'}."
        )


@source.command()
def remove(
    source_id: Id,
    forget: Annotated[bool, typer.Option("--forget", help="Forget the documents that no other source has.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Remove a source. One that has given documents goes only together with them: --forget.

    Documents that another source has too stay, as documents of that one.
    """
    from twin_core.collect.removing import forget_source

    receipt = None
    with stores(settings()) as opened:
        with opened.database.transaction() as conn:
            gone = named(conn, source_id)
            held = documents.documents_of_source(conn, gone.id)
        if forget:
            if held and not yes:
                typer.confirm(
                    f"Forget for good what only {gone.locator} has ({len(held)} at most)?", abort=True, err=True
                )
            receipt = forget_source(opened.database, opened.warehouse, gone, settings=settings())
        else:
            with opened.database.transaction() as conn:
                authors.remove_source(conn, gone.id)
    if as_json:
        output.show_json({"removed": gone, "receipt": receipt})
    else:
        count = len(receipt.document_ids) if receipt else 0
        output.show(f"{gone.platform} {gone.locator} is no source any more. Documents forgotten: {count}.")


def items(
    source_id: Annotated[str, typer.Option("--source", metavar="ID", help="The source's id, or its beginning.")],
    outcome: Annotated[list[Outcome] | None, typer.Option("--outcome", help="Only these; again for more.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000)] = 200,
    offset: Annotated[int, typer.Option("--offset", min=0)] = 0,
    as_json: output.AsJson = False,
) -> None:
    """Show how each item of a source's last run ended, and why; what failed comes first."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        runs = ledger.latest_runs(conn, named(conn, source_id).id)
        rows = ledger.items_of_run(conn, runs[0].id, outcomes=outcome or (), limit=limit, offset=offset) if runs else []
    if as_json:
        output.show_json({"run": runs[0] if runs else None, "items": rows})
        return
    output.show_rows(
        ["outcome", "item", "why"],
        [[row.outcome.value, row.native_id, row.reason] for row in rows],
        title=_told(runs[0]) if runs else None,
        empty="No item." if runs else "Never collected. `twin sync` does it.",
    )


def named(conn: Connection, key: str) -> Source:
    """The source whose id is, or begins with, `key`. Raises NotFound, or InvalidInput when several do."""
    fitting = [one for one in authors.list_sources(conn) if str(one.id).startswith(key.lower())]
    if not fitting or not key:
        raise NotFound(f"There is no source `{key}`. `twin source list` shows those there are.")
    if len(fitting) > 1:
        raise InvalidInput(f"`{key}` fits {len(fitting)} sources. Give more of the id.")
    return authors.source_by_id(conn, UUID(str(fitting[0].id)))


def options_of(pairs: list[str]) -> dict[str, str | list[str]]:
    """`["a=1", "b=2", "b=3"]` as `{"a": "1", "b": ["2", "3"]}`. Raises InvalidInput for what is no pair."""
    made: dict[str, str | list[str]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise InvalidInput(f"`{pair}` is no option. Write it as KEY=VALUE.")
        there = made.get(name.strip())
        match there:
            case None:
                made[name.strip()] = value
            case list():
                there.append(value)
            case str():
                made[name.strip()] = [there, value]
    return made


def _told(run: ledger.Run | None) -> str:
    if run is None:
        return "never"
    counts = [f"{getattr(run, outcome.value)} {outcome.value}" for outcome in Outcome if getattr(run, outcome.value)]
    own = [] if run.own_count is None else [f"{run.own_count} by its own count"]
    return f"{run.started_at:%Y-%m-%d %H:%M}: {run.error or ', '.join(counts + own) or 'nothing there'}"
