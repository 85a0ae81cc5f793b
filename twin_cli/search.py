"""`twin search`: look something up in one author's writing, and see why each passage was found.

How passages are found is in `twin_core/retrieval`; answering a question from them is `twin ask`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from twin_cli import output
from twin_cli.authors import Slug, chosen
from twin_cli.terminal import harmless
from twin_core.errors import InvalidInput, NotFound
from twin_core.records import Category, Passage, SearchFilters, Source
from twin_core.retrieval.query import parse
from twin_core.retrieval.retrieve import retrieve
from twin_core.retrieval.search import MAX_LIMIT
from twin_core.runtime.stores import stores
from twin_core.settings import RetrievalMode, settings
from twin_core.store import authors
from twin_core.store.search import headlines
from twin_core.text.lexical import query_text

if TYPE_CHECKING:
    from rich.text import Text

Words = Annotated[str, typer.Argument(metavar="QUERY", help='What to look for. A "phrase in quotes" must be there.')]
Number = Annotated[int, typer.Option("-k", "--limit", min=1, max=MAX_LIMIT, help="How many passages.")]
Categories = Annotated[list[Category] | None, typer.Option("--category", help="Only these. May be given again.")]
Sources = Annotated[
    list[str] | None, typer.Option("--source", metavar="SOURCE", help="Only from this source: its id or its locator.")
]
From = Annotated[
    str | None, typer.Option("--from", metavar="DATE", help="Written then or later: 2024, 2024-03, 2024-03-09.")
]
To = Annotated[str | None, typer.Option("--to", metavar="DATE", help="Written then or earlier, that day included.")]

How = Annotated[
    RetrievalMode | None,
    typer.Option(
        "--retrieval", help="off: nothing is looked up; fast: no language model; full: it reads the question first."
    ),
]

START, STOP = "\x02", "\x03"


def search(
    query: Words,
    *,
    author: Slug = None,
    limit: Number = 10,
    category: Categories = None,
    source: Sources = None,
    written_from: From = None,
    written_to: To = None,
    retrieval: How = None,
    as_json: output.AsJson = False,
) -> None:
    """Search one author's writing by meaning and by words."""
    here = settings()
    words = parse(query)
    start, end = _period(written_from)[0], _period(written_to)[1]
    with stores(here) as opened:
        with opened.database.transaction() as connection:
            whose = chosen(connection, author)
            there = authors.list_sources(connection, whose.id)
        filters = SearchFilters(
            categories=tuple(category or ()),
            source_ids=tuple(source_named(name, there) for name in source or ()),
            written_from=start,
            written_to=end,
        )
        looked = asyncio.run(
            retrieve(
                opened.database,
                whose.id,
                query,
                settings=here,
                limit=limit,
                mode=retrieval,
                filters=filters,
                as_author=False,
            )
        )
        found = looked.passages
        for notice in looked.notices:
            output.warn(notice)
        if as_json:
            output.show_json(found)
            return
        with opened.database.transaction() as connection:
            ids = [passage.chunk_id for passage in found]
            extracts = headlines(connection, whose.id, ids, query_text(words.text), start=START, stop=STOP)
    _show(found, extracts)


def source_named(name: str, there: Sequence[Source]) -> UUID:
    """The id of the source with this id or locator. Raises NotFound naming those there are, InvalidInput if unclear."""
    matching = [source.id for source in there if name in (str(source.id), source.locator)]
    matching = matching or [source.id for source in there if name in source.locator]
    if len(matching) == 1:
        return matching[0]
    listed = "; ".join(source.locator for source in there[:20]) or "none yet"
    if not matching:
        raise NotFound(f"This author has no source `{name}`. There are: {listed}.")
    raise InvalidInput(f"`{name}` fits {len(matching)} sources. Give the whole locator or the id. There are: {listed}.")


def _period(date: str | None) -> tuple[datetime | None, datetime | None]:
    """First moment of a year, month or day, and first moment after it."""
    if date is None:
        return None, None
    found = re.fullmatch(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?", date.strip())
    try:
        year, month, day = (int(part) if part else None for part in found.groups()) if found else (0, None, None)
        start = datetime(year or 0, month or 1, day or 1, tzinfo=UTC)
        if day:
            return start, start + timedelta(days=1)
        if month:
            return start, datetime(start.year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        return start, datetime(start.year + 1, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"`{date}` is no date. Write it as 2024, 2024-03 or 2024-03-09.") from None


def _show(found: Sequence[Passage], extracts: Mapping[UUID, str]) -> None:
    if not found:
        output.show("Nothing found. Try other words, or fewer filters; `twin status` shows what there is.")
        return
    from rich.padding import Padding
    from rich.text import Text

    console = output.console()
    for rank, passage in enumerate(found, start=1):
        when = f" · {passage.written_at:%Y-%m-%d}" if passage.written_at else ""
        head = Text.assemble(
            (f"{rank:>2}  ", "dim"),
            (harmless(passage.title.replace("\n", " ")), "bold"),
            (f"  {passage.category}{when}", "dim"),
        )
        console.print(head)
        console.print(Padding(Text(harmless(passage.location), style="blue"), (0, 0, 0, 4)))
        console.print(Padding(_extract(extracts.get(passage.chunk_id, passage.text[:200])), (0, 0, 0, 4)))
        legs = " · ".join(f"{leg} {rank}" for leg, rank in sorted(passage.legs.items()))
        console.print(Padding(Text(f"{legs} · score {passage.score:.4f}", style="dim"), (0, 0, 1, 4)))


def _extract(headline: str) -> Text:
    """The extract on one line, its matched words in bold."""
    from rich.text import Text

    made = Text()
    for part in re.split(f"({START}[^{STOP}]*{STOP})", " ".join(headline.split())):
        matched = part.startswith(START)
        made.append(harmless(part), style="bold yellow" if matched else "")
    return made
