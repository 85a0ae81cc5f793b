"""`twin documents` and `twin forget`: what there is, where it comes from, and how it goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from twin_cli import output
from twin_cli.authors import Slug, chosen
from twin_core import forgetting
from twin_core.errors import InvalidInput
from twin_core.forgetting import Counted, Receipt
from twin_core.records import Category
from twin_core.runtime.stores import Stores, stores
from twin_core.settings import settings
from twin_core.store import authors
from twin_core.store import documents as stored
from twin_core.store.merging import merge_documents

documents = typer.Typer(help="List documents, show where one comes from, merge two, split one.")

Key = Annotated[str, typer.Argument(help="A document: its id or the beginning of it, address, path or title.")]


@documents.callback(invoke_without_command=True)
def list_(
    ctx: typer.Context,
    *,
    author: Slug = None,
    category: Annotated[Category | None, typer.Option("--category")] = None,
    state: Annotated[str, typer.Option("--state", help="live, gone or merged.")] = "live",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000)] = 50,
    offset: Annotated[int, typer.Option("--offset", min=0)] = 0,
    as_json: output.AsJson = False,
) -> None:
    """List an author's documents, latest written first."""
    ctx.obj = author
    if ctx.invoked_subcommand is not None:
        return
    with stores(settings()) as opened, opened.database.transaction() as conn:
        owner = chosen(conn, author)
        rows = stored.list_documents(conn, owner.id, category=category, state=state, limit=limit, offset=offset)
    if as_json:
        output.show_json(rows)
        return
    output.show_rows(
        ["id", "category", "title", "where", "words", "written", "revisions"],
        [
            [str(row.id)[:8], row.category.value, row.title, row.location, row.words, row.written_at, row.revisions]
            for row in rows
        ],
        empty=f"No {state} document. `twin sync` collects them.",
    )


@documents.command()
def show(ctx: typer.Context, key: Key, author: Slug = None, as_json: output.AsJson = False) -> None:
    """Show a document with its source, its locations and its revisions."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        owner = chosen(conn, author or ctx.obj)
        found = stored.lineage(conn, owner.id, stored.resolve_document(conn, owner.id, key))
    if as_json:
        output.show_json(found)
        return
    row = found.document
    output.show(f"{row.title or '(not cleaned yet)'}\n{row.id}  {row.category.value}, {row.state}")
    output.show(f"first found in {row.platform} {found.source_locator}\n")
    output.show_rows(
        ["location", "platform", "there", "since", "last seen", "here because of", "text"],
        [
            [
                one.location,
                one.platform,
                one.live,
                one.first_seen_at,
                one.last_seen_at,
                f"{one.joined_by}: {one.evidence}" if one.evidence else one.joined_by,
                None if one.leads is None else f"leads ({one.leads})",
            ]
            for one in found.locations
        ],
    )
    output.show_rows(
        ["revision", "fetched", "from", "now"],
        [[str(one.id), one.fetched_at, one.native_id, one.head] for one in found.revisions],
    )
    if found.merged:
        output.show(f"merged into it: {', '.join(map(str, found.merged))}")


@documents.command()
def merge(
    ctx: typer.Context,
    kept: Annotated[str, typer.Argument(help="The document that stays, with its text.")],
    merged: Annotated[str, typer.Argument(help="The document that becomes a redirect to it.")],
    author: Slug = None,
    as_json: output.AsJson = False,
) -> None:
    """Say that two documents are one. The text of the first counts; both places belong to it from now on."""
    with stores(settings()) as opened:
        with opened.database.transaction() as conn:
            owner = chosen(conn, author or ctx.obj)
            home = stored.resolve_document(conn, owner.id, kept)
            away = stored.resolve_document(conn, owner.id, merged)
        with opened.database.author_lock(owner.id), opened.database.transaction() as conn:
            result = merge_documents(conn, owner.id, kept=home, merged=away)
    if as_json:
        output.show_json({"kept": result, "merged": away})
    else:
        output.show(f"{away} is now part of {result}.")
        output.say(f"Next: twin sync --author {owner.slug}, which takes its passages out of the search.")


@documents.command()
def split(
    ctx: typer.Context,
    location: Annotated[str, typer.Argument(help="A place of a document: address, path, or SOURCE_ID:ITEM.")],
    author: Slug = None,
    as_json: output.AsJson = False,
) -> None:
    """Say that what is at this place is a document of its own. It stays one, whatever is collected later."""
    from twin_core.collect.run import split_location

    with stores(settings()) as opened:
        with opened.database.transaction() as conn:
            owner = chosen(conn, author or ctx.obj)
            source_id, native_id = stored.resolve_location(conn, owner.id, location)
            source = authors.source_by_id(conn, source_id)
        made = split_location(opened.database, opened.warehouse, source, native_id)
    if as_json:
        output.show_json({"document": made, "source": source_id, "native_id": native_id})
    else:
        output.show(f"{location} is the document {made} now.")
        output.say(f"Next: twin sync --author {owner.slug}, which makes it searchable.")


def forget(
    key: Annotated[
        str | None, typer.Argument(help="A document: its id or the beginning of it, address, path or title.")
    ] = None,
    *,
    author: Slug = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="ID", help="A whole source, with what only it has.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="The whole author named by --author: all there is of them.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Forget a document, a source or an author everywhere and for good; it stays away even when its source still has it.

    An author who is forgotten may be added again and begins with nothing; their sources are to be added again too.
    """
    if [key is not None, source is not None, everything].count(True) != 1:
        raise InvalidInput("Name one thing to forget: a document's KEY, --source ID, or --author SLUG --everything.")
    with stores(settings()) as opened:
        if everything:
            receipt: Receipt | None = _forget_author(opened, author, yes=yes)
        elif source is not None:
            receipt = _forget_source(opened, source, author, yes=yes)
        else:
            receipt = _forget_document(opened, str(key), author, yes=yes)
    if as_json:
        output.show_json(receipt)
    elif receipt is None:
        output.show("It is forgotten. There were no documents of it.")
    else:
        output.show_rows(
            ["store", "before", "after"],
            [[name, counted.before, counted.after] for name, counted in receipt.stores.items()],
            title=f"Forgotten: {len(receipt.document_ids)} document{'s' if len(receipt.document_ids) != 1 else ''}",
        )


def _forget_document(opened: Stores, key: str, author: str | None, *, yes: bool) -> Receipt:
    with opened.database.transaction() as conn:
        owner = chosen(conn, author)
        document_id = stored.resolve_document(conn, owner.id, key)
        row = stored.lineage(conn, owner.id, document_id).document
    if not yes:
        typer.confirm(f"Forget `{row.title or row.location}` of {owner.name} for good?", abort=True, err=True)
    return forgetting.forget(opened.database, opened.warehouse, owner, [document_id], settings=settings())


def _forget_source(opened: Stores, key: str, author: str | None, *, yes: bool) -> Receipt | None:
    from twin_cli.sources import named
    from twin_core.collect.removing import forget_source

    with opened.database.transaction() as conn:
        gone = named(conn, key)
        if author is not None and authors.author_by_slug(conn, author).id != gone.author_id:
            raise InvalidInput(f"The source {key} is not one of {author}.")
        held = stored.documents_of_source(conn, gone.id)
    if not yes:
        typer.confirm(
            f"Forget for good {gone.locator} and what only it has ({len(held)} at most)?", abort=True, err=True
        )
    return forget_source(opened.database, opened.warehouse, gone, settings=settings())


def _forget_author(opened: Stores, slug: str | None, *, yes: bool) -> Receipt:
    """Dagster's records of the author go first: what comes after takes away the name to look for."""
    if slug is None:
        raise InvalidInput("Whom? Name the author: --author SLUG --everything.")
    with opened.database.transaction() as conn:
        owner = authors.author_by_slug(conn, slug)
    if not yes:
        said = typer.prompt(f"This takes everything of {owner.name} away, for good. To go on, type `{slug}`", err=True)
        if said.strip() != slug:
            raise InvalidInput(f"`{said}` is not `{slug}`: nothing was forgotten.")
    from twin_assets.forgetting import forget_author_in_dagster
    from twin_assets.instance import instance

    with instance(settings()) as dagster:
        runs = forget_author_in_dagster(dagster, settings(), owner)
        receipt = forgetting.forget_author(opened.database, opened.warehouse, owner, settings=settings())
        runs += forget_author_in_dagster(dagster, settings(), owner)  # what a sensor added meanwhile
    return replace(receipt, stores={**receipt.stores, "runs in Dagster": Counted(before=runs, after=0)})
