"""`twin author`: the people there are twins of. Their sources are in `sources.py`."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import Connection

from twin_cli import output
from twin_core.errors import InvalidInput
from twin_core.records import Author
from twin_core.runtime.stores import stores
from twin_core.settings import settings
from twin_core.store import authors

author = typer.Typer(no_args_is_help=True, help="Add and list authors: one author, one twin.")

Slug = Annotated[
    str | None, typer.Option("--author", metavar="SLUG", help="Whose. Need not be said while there is one author.")
]


def chosen(conn: Connection, slug: str | None) -> Author:
    """The author of this slug, or the only one there is. Raises InvalidInput when one has to be named."""
    if slug is not None:
        return authors.author_by_slug(conn, slug)
    there = authors.list_authors(conn)
    if len(there) == 1:
        return there[0]
    if not there:
        raise InvalidInput("There is no author yet. Make one with `twin author add SLUG --name NAME`.")
    raise InvalidInput(f"Whose? Name one with --author: {', '.join(one.slug for one in there)}.")


@author.command()
def add(
    slug: Annotated[str, typer.Argument(help="Short name, used in addresses and as the model's name: jane-doe.")],
    name: Annotated[str, typer.Option("--name", help="The name that readers know.")],
    language: Annotated[str, typer.Option("--language", help="Two letters (ISO 639-1): what they write in.")] = "en",
    as_json: output.AsJson = False,
) -> None:
    """Add an author. Adding the same one again changes nothing."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        added = authors.add_author(conn, slug=slug, name=name, language=language)
    if as_json:
        output.show_json(added)
        return
    output.show(f"{added.name} is `{added.slug}`.")
    output.say(f"Next: twin source add --author {added.slug} folder PATH --i-wrote-this")


@author.command("list")
def list_(as_json: output.AsJson = False) -> None:
    """List the authors."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        there = authors.list_authors(conn)
    if as_json:
        output.show_json(there)
        return
    output.show_rows(
        ["author", "name", "language"],
        [[one.slug, one.name, one.language] for one in there],
        empty="No author yet. Make one with `twin author add SLUG --name NAME`.",
    )
