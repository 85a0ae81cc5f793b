"""`twin key`: keys for the API, each bound to one author. A key is shown once, when it is made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from twin_cli import output
from twin_cli.authors import Slug, chosen
from twin_core.runtime.stores import stores
from twin_core.settings import settings
from twin_core.store import keys

key = typer.Typer(add_completion=False, no_args_is_help=True, help="Keys for the API, each bound to one author.")

Name = Annotated[str, typer.Option("--name", help="What the key is for, so that you know what to revoke.")]
Scopes = Annotated[list[str] | None, typer.Option("--scope", help="read (default), write or admin; repeatable.")]
Days = Annotated[int | None, typer.Option("--expires", metavar="DAYS", min=1, max=3650, help="Days until it expires.")]
Which = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, name or shown prefix.")]


@key.command()
def create(
    name: Name, author: Slug = None, scope: Scopes = None, expires: Days = None, as_json: output.AsJson = False
) -> None:
    """Make a key and show it, this once."""
    expires_at = datetime.now(UTC) + timedelta(days=expires) if expires is not None else None
    with stores(settings()) as opened, opened.database.transaction() as conn:
        who = chosen(conn, author)
        made = keys.create_key(conn, author_id=who.id, name=name, scopes=scope or ["read"], expires_at=expires_at)
    if as_json:
        output.show_json({"key": made.secret, **output.plain(made.key)})
        return
    output.say(f"A key for the twin of {who.name}. It is not stored and not shown again:")
    output.show(made.secret)


@key.command("list")
def list_(author: Slug = None, as_json: output.AsJson = False) -> None:
    """The author's keys, without their secrets."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        who = chosen(conn, author)
        found = keys.list_keys(conn, who.id)
    if as_json:
        output.show_json([{**output.plain(one), "state": one.state} for one in found])
        return
    output.show_rows(
        ["id", "name", "key", "scopes", "state", "made", "expires"],
        [
            (one.id, one.name, f"{one.prefix}…", ", ".join(one.scopes), one.state, one.created_at, one.expires_at)
            for one in found
        ],
        empty=f"No key yet. Make one: twin key create --author {who.slug} --name NAME",
    )


@key.command()
def revoke(which: Which, author: Slug = None, as_json: output.AsJson = False) -> None:
    """Close a key, at once and for good."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        gone = keys.revoke_key(conn, author_id=chosen(conn, author).id, key=which)
    if as_json:
        output.show_json(gone)
    else:
        output.show(f"Revoked: {gone.name} ({gone.prefix}…).")
