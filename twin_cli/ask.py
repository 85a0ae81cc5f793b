"""`twin ask`: a question, the answer as it is written, and the passages it rests on."""

from __future__ import annotations

from typing import Annotated

import typer

from twin_cli import output
from twin_core.settings import settings
from twin_core.writing.answer import Answer, Event, Piece, Retrieved, answer

AuthorSlug = Annotated[str, typer.Option("--author", metavar="SLUG", help="Whose twin to ask.")]
Question = Annotated[list[str], typer.Argument(help="The question, in quotation marks or not.")]
Most = Annotated[int | None, typer.Option("-k", min=1, max=20, help="The most passages to answer from.")]


def ask(question: Question, author: AuthorSlug, k: Most = None, as_json: output.AsJson = False) -> None:
    """Ask the author's twin. When no language model answers, the passages that fit best are the answer.

    The answer goes to stdout with its sources below; with --json it is one object with every citation's text.
    """
    from twin_core.runtime.stores import stores
    from twin_core.store.authors import author_by_slug

    here = settings()
    with stores(here) as opened:
        with opened.database.transaction() as conn:
            who = author_by_slug(conn, author)
        show = None if as_json else Screen()
        final = answer(opened.database, who, " ".join(question), settings=here, limit=k, on_event=show)
    if as_json:
        output.show_json(final)
    if final.outcome == "failed":
        output.warn(f"The answer is not complete. {final.error}")
        output.finish(output.PARTLY)
    if final.error is not None:
        output.warn(f"Retrieval only: {final.error}")


class Screen:
    """Shows events of one answer as they come."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, Retrieved):
            count = len(event.citations)
            output.say(f"{count} passage{'' if count == 1 else 's'} found." if count else "No passage found.")
        elif isinstance(event, Piece):
            typer.echo(event.text, nl=False)
        else:
            typer.echo()
            _sources(event)


def _sources(final: Answer) -> None:
    if final.outcome == "retrieval_only":  # its text shows them already
        return
    for one in final.citations:
        date = f", {one.written_at:%Y-%m-%d}" if one.written_at else ""
        mark = "" if one.cited else "  (not cited)"
        output.show(f"\n[{one.label}] {one.title}{date}{mark}\n    {one.location}")
