"""`twin migrate`: the schema by hand. Commands that need the database bring its schema up to date by themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from twin_cli import output
from twin_core.errors import InvalidInput
from twin_core.runtime import health, postgres
from twin_core.settings import settings

To = Annotated[str, typer.Option("--to", metavar="REV", help="A revision such as 0001, `head`, `base`, or -1.")]
Yes = Annotated[bool, typer.Option("--yes", help="Really go back: newer tables go, with their rows.")]


def migrate(to: To = "head", yes: Yes = False, as_json: output.AsJson = False) -> None:
    """Bring the database to a schema revision, forward or back; starts the embedded Postgres when it is down.

    Going back drops what newer revisions added, rows included, and therefore asks for --yes.
    """
    from alembic.util.exc import CommandError

    from twin_core.store import migrate as migrations

    here = settings()
    postgres.ensure_running(here)
    postgres.create_databases(here)
    url = postgres.url_for(here)
    before = health.schema_revision(url)
    back = goes_back(to, before)
    if back and not yes:
        raise InvalidInput(
            f"Going back from {before} to {to} drops the tables that came after it, with their rows. Make a backup "
            f"(`twin backup`), then add --yes."
        )
    try:
        after = migrations.downgrade(url, to) if back else migrations.upgrade(url, to)
    except CommandError as error:
        raise InvalidInput(f"The schema cannot go to `{to}`: {error}.") from error
    if as_json:
        output.show_json({"before": before, "after": after, "newest": migrations.newest()})
    elif before == after:
        output.show(f"The schema is at {after or 'base'} already.")
    else:
        output.show(f"The schema went from {before or 'base'} to {after or 'base'}.")


def goes_back(to: str, before: str | None) -> bool:
    """Whether `to` lies before the revision we are at. Revisions are numbered in order: 0001, 0002, ..."""
    if before is None or to == "head" or to.startswith("+"):
        return False
    return to == "base" or to.startswith("-") or (to.isdigit() and to < before)
