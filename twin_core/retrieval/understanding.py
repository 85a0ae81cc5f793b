"""What a question asks to search for, and where: read by rule, and by the language model where it is asked to.

The question is data. What is read out of it is preferred in a search of one author's writing and widens nothing, and
whose writing is searched is no part of it: the author comes from the caller. The rules are in `stated.py`, the words of
the prompt in `prompts/understand.v1.md`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from twin_core import prompts
from twin_core.errors import InvalidInput
from twin_core.models.chat import ChatClient, ChatError, Message
from twin_core.models.local_server import STAND_IN
from twin_core.prompts.quoting import delimited
from twin_core.records import Category, SearchFilters, Source
from twin_core.retrieval.stated import Stated
from twin_core.settings import Settings

MAX_TOKENS = 400
"""Of the model's answer: five short queries and the filters have some 150."""
MOST_SOURCES = 50
"""Names of sources that the model is told."""
MOST_TITLES = 2
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)
_WORDS_FOR = {"blog": "web", "website": "web", "site": "web", "newsletter": "substack"}
_PLATFORMS = frozenset({"linkedin", "medium", "substack", "github", "mastodon", "twitter", "blog", "newsletter"})
"""Words that name a place to write at and hardly anything else."""

Item = TypeVar("Item")
Short = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


class Reading(BaseModel):
    """What the model answers with; its JSON Schema is the grammar of the answer where the engine has one."""

    model_config = ConfigDict(extra="forbid")

    queries: list[Short]
    written_from: date | None
    written_before: date | None
    categories: list[Literal["article", "post", "code"]]
    sources: list[Short]
    titles: list[Short]


@dataclass(frozen=True, slots=True, kw_only=True)
class Understanding:
    """What to search for, and what to narrow it to."""

    text: str
    """The question, without what became a filter."""
    also: tuple[str, ...] = ()
    """Titles that the question names, and other words for the same."""
    filters: SearchFilters = field(default_factory=SearchFilters)
    """What the question itself says of when, what kind and where."""
    notices: tuple[str, ...] = ()
    """What was named and could not be followed, and why the model was not: for the person who asks."""
    lacking: bool = False
    """Whether the model was asked in vain."""


def by_rule(found: Stated, there: Sequence[Source]) -> Understanding:
    """What the question says outright, looked up among the author's sources."""
    sources, unknown = _sources(found.places, there)
    return Understanding(
        text=found.text,
        filters=SearchFilters(
            categories=found.categories,
            source_ids=sources,
            written_from=found.written_from,
            written_to=found.written_to,
        ),
        notices=tuple(f"There is no source {name}: searched everywhere." for name in unknown if name in _PLATFORMS),
    )


async def by_model(
    question: str,
    ruled: Understanding,
    there: Sequence[Source],
    *,
    client: ChatClient,
    settings: Settings,
    today: date,
) -> Understanding:
    """The same with what the language model reads, in one call. What a rule has read stands.

    Without an answer that can be used, in time, it is what the rules read, and a notice says why.
    """
    if settings.llm_url is None and settings.base_model == STAND_IN:
        return _without(ruled, "the stand-in understands nothing; TWIN_LLM_URL or TWIN_BASE_MODEL names a real model")
    try:
        async with asyncio.timeout(settings.understanding_seconds):
            reading = await _asked(question, there, client, settings, today)
    except TimeoutError:
        return _without(ruled, f"no answer within {settings.understanding_seconds:g} s (TWIN_UNDERSTANDING_SECONDS)")
    except (ChatError, InvalidInput) as error:
        return _without(ruled, str(error).rstrip("."))
    except _Unusable as error:
        return _without(ruled, str(error))
    return _joined(ruled, reading, there, settings)


def narrowed(asked: SearchFilters, read: SearchFilters) -> SearchFilters | None:
    """What was asked for by filters, narrowed further by what was read; None where nothing could pass both."""
    categories = _both(asked.categories, read.categories)
    sources = _both(asked.source_ids, read.source_ids)
    start = max((moment for moment in (asked.written_from, read.written_from) if moment), default=None)
    end = min((moment for moment in (asked.written_to, read.written_to) if moment), default=None)
    if categories is None or sources is None or (start is not None and end is not None and start >= end):
        return None
    return replace(asked, categories=categories, source_ids=sources, written_from=start, written_to=end)


def _both(asked: tuple[Item, ...], read: tuple[Item, ...]) -> tuple[Item, ...] | None:
    if not asked or not read:
        return asked or read
    return tuple(item for item in asked if item in read) or None


class _Unusable(Exception):
    """The model's answer is not what it was asked for."""


async def _asked(
    question: str, there: Sequence[Source], client: ChatClient, settings: Settings, today: date
) -> Reading:
    template = prompts.load(prompts.UNDERSTAND)
    names = "\n".join(f"{source.platform}: {source.locator}" for source in there[:MOST_SOURCES]) or "(none)"
    user = template.fill("user", sources=delimited("sources", names), question=delimited("question", question))
    system = template.fill("system", most=settings.understanding_queries, today=today.isoformat())
    said = await client.complete(
        [Message(role="system", content=system), Message(role="user", content=user)],
        max_tokens=MAX_TOKENS,
        temperature=0.0,
        schema=Reading.model_json_schema(),
    )
    found = _OBJECT.search(said.text)
    if found is None:
        raise _Unusable("its answer holds no JSON object")
    try:
        return Reading.model_validate_json(found[0])
    except ValidationError as error:
        where = ", ".join(sorted({str(one["loc"][0]) if one["loc"] else "it" for one in error.errors()}))
        raise _Unusable(f"its answer is not of the form asked for ({where})") from error


def _joined(ruled: Understanding, reading: Reading, there: Sequence[Source], settings: Settings) -> Understanding:
    rules, notices = ruled.filters, list(ruled.notices)
    sources, unknown = _sources(reading.sources, there)
    notices += [f"There is no source {name}: searched everywhere." for name in unknown]
    start, end = rules.written_from, rules.written_to
    if start is None and end is None:
        start, end = _moment(reading.written_from), _moment(reading.written_before)
        if start is not None and end is not None and start >= end:
            start = end = None
            notices.append("The model read a period that ends before it begins: not followed.")
    filters = SearchFilters(
        categories=rules.categories or tuple(Category(one) for one in dict.fromkeys(reading.categories)),
        source_ids=rules.source_ids or sources,
        written_from=start,
        written_to=end,
    )
    # A title that is named is a search of its own: its words are in front of every passage of that text.
    named, other = _new(reading.titles, ruled.text), _new(reading.queries, ruled.text)
    also = dict.fromkeys((*named[:MOST_TITLES], *other[: settings.understanding_queries]))
    return replace(ruled, also=tuple(also), filters=filters, notices=tuple(notices))


def _new(said: Sequence[str], text: str) -> list[str]:
    """What says something and not just the question again, each once."""
    words = (one.replace("\x00", " ") for one in said)
    return list(dict.fromkeys(one for one in words if re.search(r"\w", one) and one.lower() != text.lower()))


def _without(ruled: Understanding, why: str) -> Understanding:
    said = f"The question was not read by a language model: {why}."
    return replace(ruled, notices=(*ruled.notices, said), lacking=True)


def _sources(named: Sequence[str], there: Sequence[Source]) -> tuple[tuple[UUID, ...], list[str]]:
    """The author's sources of these names, and the names that none of them has."""
    ids: list[UUID] = []
    unknown: list[str] = []
    for name in named:
        wanted = name.lower().strip()
        whole = [source.id for source in there if wanted in _names(source)]
        # A rule takes two words where the second may be none of the name: "LinkedIn about".
        matching = whole or [source.id for source in there if wanted.split(" ")[0] in _names(source)]
        ids += matching
        if not matching:
            unknown.append(wanted if wanted in _PLATFORMS else wanted.split(" ")[0])
    return tuple(dict.fromkeys(ids)), unknown


def _names(source: Source) -> set[str]:
    """What a person may call the source: its platform, its address, the end of it, the host without what is around."""
    locator = source.locator.lower()
    parts = urlsplit(locator if "://" in locator else f"//{locator}")
    last = parts.path.rstrip("/").rpartition("/")[2].removesuffix(".git")
    host = (parts.hostname or "").removeprefix("www.")
    said = {word for word, platform in _WORDS_FOR.items() if platform == source.platform}
    names = {source.platform, locator, f"{source.platform}: {locator}", last, last.replace("-", " "), host}
    return (names | said | {host.rpartition(".")[0]}) - {""}


def _moment(day: date | None) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)
