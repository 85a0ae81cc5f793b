"""`twin apply`: authors and sources as a file describes them. The changes are shown before they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twin_cli import output
from twin_core.described import Change, Plan, carry_out, plan, read_description
from twin_core.errors import InvalidInput
from twin_core.records import Source
from twin_core.runtime.stores import Stores, stores
from twin_core.settings import settings


def apply(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Such as twin.yaml.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")] = False,
    pause_unnamed: Annotated[
        bool, typer.Option("--pause-unnamed", help="Pause sources of these authors that the file does not name.")
    ] = False,
    forget_unnamed: Annotated[
        bool, typer.Option("--forget-unnamed", help="Forget, for good, sources of these authors that it does not name.")
    ] = False,
    as_json: output.AsJson = False,
) -> None:
    """Bring authors and sources to what a file describes. Applying it again changes nothing.

    What the file does not name stays, unless it is asked otherwise.
    """
    if pause_unnamed and forget_unnamed:
        raise InvalidInput("Either --pause-unnamed or --forget-unnamed, not both.")
    described = read_description(path.expanduser(), settings())
    with stores(settings()) as opened:
        with opened.database.transaction() as conn:
            unnamed = "forget" if forget_unnamed else "pause" if pause_unnamed else "leave"
            found = plan(conn, described, unnamed=unnamed)  # type: ignore[arg-type]
        if not as_json:
            _show(found)
        made = bool(found.changes) and not dry_run
        if made:
            if not yes:
                typer.confirm("Make these changes?", abort=True, err=True)
            _make(opened, found.changes)
    if as_json:
        shown = [
            {"action": one.action, "author": one.author, "what": one.what, "details": one.details}
            for one in found.changes
        ]
        output.show_json({"changes": shown, "left": found.left, "made": made})
    elif made:
        output.say("Done. Next: twin sync")


def _make(opened: Stores, changes: list[Change]) -> None:
    from twin_core.collect.removing import forget_source

    with opened.database.transaction() as conn:
        carry_out(conn, changes)
    for change in changes:
        if change.action == "forget" and isinstance(change.stored, Source):
            forget_source(opened.database, opened.warehouse, change.stored, settings=settings())


def _show(found: Plan) -> None:
    output.show_rows(
        ["", "author", "what", "how"],
        [[one.action, one.author, one.what, "; ".join(one.details)] for one in found.changes],
        empty="Nothing to change.",
    )
    for source in found.left:
        output.say(f"Not in the file, left as it is: {source.platform} {source.locator}")
