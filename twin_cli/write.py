"""`twin write`: a brief, the drafts as they are written, what they rest on; and their revision."""

from __future__ import annotations

from textwrap import shorten
from typing import Annotated
from uuid import UUID

import typer

from twin_cli import output
from twin_cli.ask import Tightened
from twin_cli.authors import Slug, chosen
from twin_cli.search import How
from twin_cli.terminal import harmless
from twin_core.collect.links import MOST_LINKS, read_links
from twin_core.errors import InvalidInput
from twin_core.settings import settings
from twin_core.writing.kinds import FEWEST_WORDS, Kind
from twin_core.writing.write import MOST_DRAFTS, OUTLINE, Brief, Delta, Draft, Event, Revision, Sources, Written, write

Words_ = Annotated[
    list[str], typer.Argument(metavar="BRIEF", help="What to write about; with --revise, what to change.")
]
KindOption = Annotated[Kind | None, typer.Option("--kind", help="What to write.")]
Links = Annotated[
    list[str] | None,
    typer.Option("--link", metavar="URL", help=f"A page or PDF as extra knowledge. Up to {MOST_LINKS} times."),
]
Drafts = Annotated[int, typer.Option("--drafts", min=1, max=MOST_DRAFTS, help="How many drafts.")]
Length = Annotated[int | None, typer.Option("--words", min=FEWEST_WORDS, help="About how long.")]
Revise = Annotated[UUID | None, typer.Option("--revise", metavar="TRACE_ID", help="Change this draft instead.")]

EXCERPT = 110
"""Characters of a source that is shown: one line on a wide screen."""


def write_(
    brief: Words_,
    author: Slug = None,
    *,
    kind: KindOption = None,
    link: Links = None,
    drafts: Drafts = 1,
    words: Length = None,
    retrieval: How = None,
    revise: Revise = None,
    as_json: output.AsJson = False,
) -> None:
    """Write in the author's manner from a brief, from what they wrote on it, and from pages you link to.

    Drafts go to stdout with their sources below; with --json it is one object. `--revise TRACE_ID` takes a draft and
    the brief is what to change in it. When no language model answers, what the author wrote on it is laid out instead,
    and the exit code is 3.
    """
    from twin_core.runtime.stores import stores

    here = settings()
    text = " ".join(brief)
    if (kind is None) == (revise is None):
        raise InvalidInput("Say either what to write (--kind post, article, thread, reply, code) or --revise TRACE_ID.")
    if revise is not None and (link or drafts != 1 or words is not None or retrieval is not None):
        raise InvalidInput("A revision keeps the links of its draft: give --revise and the instruction alone.")
    with stores(here) as opened:
        with opened.database.transaction() as conn:
            who = chosen(conn, author)
        asked = (
            Revision(trace_id=revise, instruction=text)
            if kind is None and revise is not None
            else Brief(
                kind=kind or Kind.POST,
                text=text,
                links=read_links(link or (), here),
                drafts=drafts,
                words=words,
                retrieval=retrieval,
            )
        )
        written = write(opened.database, who, asked, settings=here, on_event=None if as_json else Screen())
    if as_json:
        output.show_json(written)
    _finish(written, words)


def _finish(written: Written, wanted: int | None) -> None:
    if wanted is not None and written.words < wanted:
        output.warn(f"The model's window has room for about {written.words} words beside the passages.")
    if written.outcome == "retrieval_only":
        output.warn(f"Retrieval only, nothing was written: {written.error}")
        output.finish(output.MISSING_SERVICE)
    if written.outcome == "failed":
        output.warn(f"Not everything was written. {written.error}")
        output.finish(output.PARTLY)


class Screen:
    """Shows drafts as they come, each under its number and with its trace id, and the sources below the last."""

    def __init__(self) -> None:
        self._text = Tightened()
        self._current: int | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Sources):
            output.say(f"{len(event.citations)} passages found, {len(event.links)} linked pages read.")
            for notice in event.notices:
                output.warn(notice)
        elif isinstance(event, Delta):
            if event.draft != self._current:
                self._current, self._text = event.draft, Tightened()
                output.say("Outline" if event.draft == OUTLINE else f"Draft {event.draft}")
            typer.echo(self._text.of(harmless(event.text)), nl=False)
        elif isinstance(event, Draft):
            typer.echo(self._text.ending, nl=False)
            output.say(f"({event.trace_id})")
        else:
            _sources(event)


def _sources(written: Written) -> None:
    """What the drafts name, and what they were given besides."""
    if written.outcome == "retrieval_only":  # its text shows them already
        return
    cited = {label for draft in written.drafts for label in draft.cited}
    first = written.drafts[0]
    for one in first.citations:
        date = f", {one.written_at:%Y-%m-%d}" if one.written_at else ""
        _source(one.label, f"{one.title}{date}", one.location, one.text, cited=one.label in cited)
    for link in first.links:
        quoted = "" if len(link.text) == link.characters else f", its first {len(link.text):,} characters"
        title = f"{link.title} (linked page, by others{quoted})"
        _source(link.label, title, link.url, link.text, cited=link.label in cited)


def _source(label: int, title: str, where: str, text: str, *, cited: bool) -> None:
    mark = "" if cited else "  (not cited)"
    excerpt = shorten(harmless(text), EXCERPT, placeholder=" …")
    output.show(f"\n[{label}] {harmless(title)}{mark}\n    {where}\n    “{excerpt}”")
