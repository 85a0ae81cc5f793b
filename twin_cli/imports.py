"""`twin import`: an official export, or a folder of one's own files, becomes a source and is collected at once.

What is made of it is in `twin_core.collect.importing`; collecting and all that follows is what `twin sync` does. Here is
what a person is shown before anything is written.
"""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from twin_cli import output, sync
from twin_cli.authors import Slug, chosen
from twin_cli.terminal import harmless
from twin_core.collect.importing import Meant, add, look, rounds
from twin_core.runtime.stores import stores
from twin_core.settings import settings
from twin_core.store import authors

SHOWN_REASONS = 5


def import_(
    path: Annotated[Path, typer.Argument(help="An export as it was downloaded or unpacked, or a folder of files.")],
    *,
    author: Slug = None,
    own: Annotated[
        list[str] | None,
        typer.Option("--as", metavar="NAME", help="The author's name or address in a chat or mailbox; again for more."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is there; store nothing.")] = False,
    mine: Annotated[
        bool, typer.Option("--mine", "--i-wrote-this", help="The author wrote what is there, and agrees.")
    ] = False,
    claimed_by: Annotated[str | None, typer.Option("--claimed-by", help="Who says so. Default: this account.")] = None,
    as_json: output.AsJson = False,
) -> None:
    """Import an official export: LinkedIn, Medium, Substack, X, mail, Telegram, WhatsApp, papers, Markdown folders.

    Recognises it by its content and says what it holds, then collects it and makes it searchable. Importing a newer
    export of the same account takes only what changed. Ends with 1 when something in it could not be read.
    """
    here = settings()
    with stores(here) as opened, opened.database.transaction() as conn:
        owner = chosen(conn, author)
        there = authors.list_sources(conn, owner.id)
    with output.words().status("Reading what is there"):
        meant = look(path, own or [], owner, there, here)
    if not as_json:
        show(meant)
    if dry_run:
        if as_json:
            output.show_json({"found": [_json(one) for one in meant], "stored": False})
        output.finish(output.PARTLY if any(one.failed for one in meant) else output.DONE)
    refreshed = []
    for one_round in rounds(meant):
        with stores(here) as opened:
            sources = add(one_round, opened.database, claimed_by=claimed_by or getpass.getuser(), mine=mine)
        refreshed += sync.run(here, [(owner, sources)], only_named=True)
    if as_json:
        told = [sync.as_json_of(done) for done in refreshed]
        output.show_json({"found": [_json(one) for one in meant], "stored": True, "refreshed": told})
    else:
        for done in refreshed:
            sync.show(done)
    if not all(done.complete for done in refreshed):
        output.finish(output.PARTLY)


def show(meant: Sequence[Meant]) -> None:
    """Print what was found, by kind, and why some of it is not taken."""
    output.show_rows(
        ["format", "account", "kind", "items", "first", "last", "skipped", "failed"],
        [
            [
                one.source.platform,
                harmless(one.source.locator),
                kind,
                counted.found,
                counted.first.date() if counted.first else None,
                counted.last.date() if counted.last else None,
                counted.skipped,
                counted.failed,
            ]
            for one in meant
            for kind, counted in one.kinds.items()
        ],
        title="What is there",
        empty="It is understood, and it is empty.",
    )
    for one in meant:
        for kind, counted in one.kinds.items():
            for reason, times in counted.reasons.most_common(SHOWN_REASONS):
                output.say(f"{one.source.platform} {kind}, {times:,} not taken: {harmless(reason)}")


def _json(one: Meant) -> dict[str, object]:
    return {
        "platform": one.source.platform,
        "locator": one.source.locator,
        "archive": one.found.path,
        "inside": one.found.inside,
        "kinds": one.kinds,
    }
