"""`twin documents` and `twin forget`: what there is, where it comes from, and how it goes."""

from __future__ import annotations

from typing import Annotated

import typer

from twin_cli import output
from twin_cli.authors import Slug, chosen
from twin_core import forgetting
from twin_core.records import Category
from twin_core.runtime.stores import stores
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
    key: Key,
    author: Slug = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Forget a document everywhere and for good; it stays away even when its source still has it."""
    with stores(settings()) as opened:
        with opened.database.transaction() as conn:
            owner = chosen(conn, author)
            document_id = stored.resolve_document(conn, owner.id, key)
            row = stored.lineage(conn, owner.id, document_id).document
        if not yes:
            typer.confirm(f"Forget `{row.title or row.location}` of {owner.name} for good?", abort=True, err=True)
        receipt = forgetting.forget(opened.database, opened.warehouse, owner, [document_id], settings=settings())
    if as_json:
        output.show_json(receipt)
        return
    output.show_rows(
        ["store", "before", "after"],
        [[name, counted.before, counted.after] for name, counted in receipt.stores.items()],
        title=f"Forgotten: {len(receipt.document_ids)} document{'s' if len(receipt.document_ids) > 1 else ''}",
    )
