"""From a question to passages, as much being done as the request says: off, fast or full.

What every mode is made of lies beside this: reading the question (`understanding.py`), the search (`search.py`),
ranking anew (`rerank.py`). Here is only which of them run, in what order, and what is said of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from uuid import UUID

from twin_core.models.chat import ChatClient
from twin_core.records import Passage, SearchFilters, Source
from twin_core.retrieval import understanding
from twin_core.retrieval.query import Query, parse
from twin_core.retrieval.rerank import MOST, rerank
from twin_core.retrieval.search import search
from twin_core.retrieval.stated import Stated, stated
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
    """What was searched within: the request's own."""
    preferred: SearchFilters | None = None
    """What the question says of when, what kind and where, within the filters."""
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
    understood = await _understood(asked, mode, chat)
    if mode == "full":
        timings["understand"] = round(monotonic() - began, 4)
    wide = max(limit, MOST) if mode == "full" else limit
    found = await _searched(asked, understood, wide)
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
        filters=asked.filters,
        preferred=found.preferred,
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
    preferred: SearchFilters | None = None
    notices: list[str] = field(default_factory=list)
    lacking: bool = False


async def _understood(asked: _Asked, mode: RetrievalMode, chat: ChatClient | None) -> Understanding:
    today = datetime.now(UTC).date()
    said = stated(asked.query.text, today) if asked.settings.search_rules else Stated(text=asked.query.text)
    there = await asyncio.to_thread(asked.sources) if said.places or mode == "full" else []
    ruled = understanding.by_rule(said, there)
    if mode != "full":
        return ruled
    if chat is not None:
        return await understanding.by_model(
            asked.question, ruled, there, client=chat, settings=asked.settings, today=today
        )
    async with ChatClient(asked.settings) as client:
        return await understanding.by_model(
            asked.question, ruled, there, client=client, settings=asked.settings, today=today
        )


async def _searched(asked: _Asked, understood: Understanding, limit: int) -> _Found:
    """Everything, and again what the question names, both at once: a passage of the second search counts twice.

    Preferred and not filtered: a year that belongs to the subject would else hide the answer.
    """
    within = understanding.narrowed(asked.filters, understood.filters)
    if within == asked.filters:
        return _Found(await asyncio.to_thread(_search, asked, understood, understood.text, within, limit))
    everything = asyncio.to_thread(_search, asked, understood, asked.query.text, asked.filters, limit)
    if within is None:
        contradicting = "What the question names (dates, kinds, sources) contradicts the filters: only these were used."
        return _Found(await everything, notices=[contradicting])
    inside, found = await asyncio.gather(
        asyncio.to_thread(_search, asked, understood, understood.text, within, limit), everything
    )
    if not inside:
        return _Found(found, notices=["Nothing is there of what the question names (dates, kinds, sources)."])
    return _Found(_together(found, inside)[:limit], within)


def _together(everything: Sequence[Passage], inside: Sequence[Passage]) -> list[Passage]:
    """Both rankings as one, by the sum of scores; the rank of a preferred passage is the leg `preferred`."""
    summed = {one.chunk_id: one for one in everything}
    for rank, one in enumerate(inside, start=1):
        before = summed.get(one.chunk_id)
        score = one.score + (before.score if before else 0.0)
        legs = {**(before or one).legs, "preferred": rank}
        summed[one.chunk_id] = replace(one, score=score, legs=legs)
    return sorted(summed.values(), key=lambda one: -one.score)


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
