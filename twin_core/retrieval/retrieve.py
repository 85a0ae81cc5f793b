"""From a question to passages, as much being done as the request says: off, fast or full.

What every mode is made of lies beside this: reading the question (`understanding.py`), the search (`search.py`),
ranking anew (`rerank.py`). Here is only which of them run, in what order, and what is said of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from uuid import UUID

from twin_core.models.chat import ChatClient
from twin_core.records import Passage, SearchFilters, Source
from twin_core.retrieval import understanding
from twin_core.retrieval.query import Query, parse
from twin_core.retrieval.rerank import MOST, rerank
from twin_core.retrieval.search import search
from twin_core.retrieval.understanding import Understanding
from twin_core.settings import RetrievalMode, Settings
from twin_core.store import authors
from twin_core.store.database import Database

NOTHING_LOOKED_UP = "Nothing was looked up: this rests on no passage of the author's."


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """The passages, and how they were found."""

    mode: RetrievalMode
    passages: list[Passage] = field(default_factory=list)
    """Best first, as many as were asked for."""
    candidates: list[Passage] = field(default_factory=list)
    """What they were chosen from, in that order."""
    queries: tuple[str, ...] = ()
    """What was searched for: the question's own words first, then other words for it."""
    filters: SearchFilters = field(default_factory=SearchFilters)
    """What was searched within, the request's own filters included."""
    notices: tuple[str, ...] = ()
    """What could not be done as asked, in words for the person who asks."""
    lacking: bool = False
    """Whether a step was left out that would have been done at another time: no model answered, or not in time."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds from the start to the end of each step: understand, search, rerank."""


async def retrieve(
    database: Database,
    author_id: UUID,
    question: str,
    *,
    settings: Settings,
    limit: int,
    mode: RetrievalMode | None = None,
    filters: SearchFilters | None = None,
    chat: ChatClient | None = None,
    as_author: bool = True,
) -> Retrieval:
    """The passages for this question, at most `limit`. `mode` is that of the settings unless the request has one.

    Never fails for want of a model: a step that cannot be done is left out, with a notice. Raises what `search` raises.
    """
    mode = mode or settings.retrieval
    if mode == "off":
        return Retrieval(mode=mode, notices=(NOTHING_LOOKED_UP,))
    asked = _Asked(database, author_id, question, parse(question), settings, filters or SearchFilters(), as_author)
    began, timings = monotonic(), dict[str, float]()
    understood = Understanding(text=asked.query.text)
    if mode == "full":
        understood = await _understood(asked, chat)
        timings["understand"] = round(monotonic() - began, 4)
    wide = max(limit, MOST) if mode == "full" else limit
    found = await asyncio.to_thread(_searched, asked, understood, wide)
    timings["search"] = round(monotonic() - began, 4)
    if mode == "full":
        ranked = await asyncio.to_thread(rerank, question, found.passages, settings)
        timings["rerank"] = round(monotonic() - began, 4)
        found.passages = ranked.passages
        if ranked.notice:
            found.lacking = True
            found.notices.append(ranked.notice)
    return Retrieval(
        mode=mode,
        passages=found.passages[:limit],
        candidates=found.passages,
        queries=(understood.text, *understood.also),
        filters=found.filters,
        notices=(*understood.notices, *found.notices),
        lacking=understood.lacking or found.lacking,
        timings=timings,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    database: Database
    author_id: UUID
    question: str
    query: Query
    settings: Settings
    filters: SearchFilters
    as_author: bool

    def sources(self) -> list[Source]:
        with self.database.as_author(self.author_id) if self.as_author else self.database.transaction() as connection:
            return authors.list_sources(connection, self.author_id)


@dataclass(slots=True)
class _Found:
    passages: list[Passage]
    filters: SearchFilters
    notices: list[str] = field(default_factory=list)
    lacking: bool = False


async def _understood(asked: _Asked, chat: ChatClient | None) -> Understanding:
    today = datetime.now(UTC).date()
    there = await asyncio.to_thread(asked.sources)
    ruled = understanding.by_rule(asked.query.text, there, today)
    if chat is not None:
        return await understanding.by_model(
            asked.question, ruled, there, client=chat, settings=asked.settings, today=today
        )
    async with ChatClient(asked.settings) as client:
        return await understanding.by_model(
            asked.question, ruled, there, client=client, settings=asked.settings, today=today
        )


def _searched(asked: _Asked, understood: Understanding, limit: int) -> _Found:
    """Within what the question names; within the request's own filters alone where nothing is found so."""
    within = understanding.narrowed(asked.filters, understood.filters)
    notices: list[str] = []
    if within is not None:
        found = _search(asked, understood, understood.text, within, limit)
        if found or within == asked.filters:
            return _Found(found, within)
        notices.append("Nothing fits within what the question names (dates, kinds, sources): searched without that.")
    else:
        notices.append("What the question names (dates, kinds, sources) contradicts the filters: only these were used.")
    return _Found(_search(asked, understood, asked.query.text, asked.filters, limit), asked.filters, notices)


def _search(asked: _Asked, understood: Understanding, text: str, filters: SearchFilters, limit: int) -> list[Passage]:
    return search(
        asked.database,
        asked.author_id,
        Query(text=text, phrases=asked.query.phrases),
        settings=asked.settings,
        filters=filters,
        limit=limit,
        as_author=asked.as_author,
        also=understood.also,
    )
