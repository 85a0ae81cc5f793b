"""`twin ask`: a question, the answer as it is written, and the passages it rests on."""

from __future__ import annotations

from textwrap import shorten
from typing import Annotated
from uuid import UUID

import typer

from twin_cli import output
from twin_cli.authors import Slug, chosen
from twin_cli.search import How
from twin_cli.terminal import harmless
from twin_core.settings import settings
from twin_core.writing.answer import Answer, Event, Piece, Retrieved, answer
from twin_core.writing.citations import Citation

Question = Annotated[list[str], typer.Argument(help="The question, in quotation marks or not.")]
Most = Annotated[int | None, typer.Option("-k", min=1, max=20, help="The most passages to answer from.")]

EXCERPT = 110
"""Characters of a passage that its source is shown with: one line on a wide screen."""


def ask(
    question: Question, author: Slug = None, k: Most = None, retrieval: How = None, as_json: output.AsJson = False
) -> None:
    """Ask the author's twin. When no language model answers, the passages that fit best are the answer.

    The answer goes to stdout with its sources below; with --json it is one object with every citation's text.
    """
    from twin_core.runtime.stores import stores

    here = settings()
    with stores(here) as opened:
        with opened.database.transaction() as conn:
            who = chosen(conn, author)
        show = None if as_json else Screen()
        asked = " ".join(question)
        final = answer(opened.database, who, asked, settings=here, limit=k, retrieval=retrieval, on_event=show)
    if as_json:
        output.show_json(final)
    if final.outcome == "failed":
        output.warn(f"The answer is not complete. {final.error}")
        output.finish(output.PARTLY)
    if final.cached_from is not None:
        output.say(f"Answered before, under the same conditions (trace {final.cached_from}).")
    if final.error is not None:
        output.warn(f"Retrieval only: {final.error}")


class Tightened:
    """A text that comes in pieces, without the blank lines that small models love: never more than one is shown."""

    def __init__(self) -> None:
        self._breaks = 2  # as after a blank line: the text does not begin with one

    def of(self, piece: str) -> str:
        """What is shown of the next piece."""
        kept = []
        for sign in piece:
            self._breaks = self._breaks + 1 if sign == "\n" else 0 if not sign.isspace() else self._breaks
            if sign != "\n" or self._breaks <= 2:
                kept.append(sign)
        return "".join(kept)

    @property
    def ending(self) -> str:
        """What ends its last line, if that has not ended."""
        return "" if self._breaks else "\n"


class Screen:
    """Shows events of one answer as they come."""

    def __init__(self) -> None:
        self._text = Tightened()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Retrieved):
            count = len(event.citations)
            output.say(f"{count} passage{'' if count == 1 else 's'} found." if count else "No passage found.")
            for notice in event.notices:
                output.warn(notice)
        elif isinstance(event, Piece):
            typer.echo(self._text.of(harmless(event.text)), nl=False)
        else:
            typer.echo(self._text.ending, nl=False)
            _sources(event)


def _sources(final: Answer) -> None:
    """The passages by document, in the order in which each first appears, with how the first of them begins."""
    if final.outcome == "retrieval_only":  # its text shows them already
        return
    documents: dict[UUID, list[Citation]] = {}
    for one in final.citations:
        documents.setdefault(one.document_id, []).append(one)
    for passages in documents.values():
        first = passages[0]
        labels = "".join(f"[{one.label}]" for one in passages)
        date = f", {first.written_at:%Y-%m-%d}" if first.written_at else ""
        mark = "" if any(one.cited for one in passages) else "  (not cited)"
        excerpt = shorten(harmless(first.text), EXCERPT, placeholder=" …")
        output.show(f"\n{labels} {harmless(first.title)}{date}{mark}\n    {first.location}\n    “{excerpt}”")
