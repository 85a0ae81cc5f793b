"""What a draft is made from: the author's related passages, passages that show their manner, and linked pages.

Found by search, packed into what the model's window has beside the prompt and the draft. How it is quoted is in
`prompts/quoting.py`; which pages are linked is the caller's to say (`collect/links.py` reads them).
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

from twin_core.errors import InvalidInput
from twin_core.models.chat import ChatClient
from twin_core.models.local_server import context_window
from twin_core.prompts.quoting import link_quoted, passage_quoted
from twin_core.records import Author, Category, LinkedText, Passage, SearchFilters
from twin_core.retrieval.pack import pack
from twin_core.retrieval.query import MAX_CHARACTERS
from twin_core.retrieval.retrieve import Retrieval, retrieve
from twin_core.retrieval.search import search
from twin_core.settings import RetrievalMode, Settings
from twin_core.store.database import Database
from twin_core.writing.citations import LinkUse, cited_labels
from twin_core.writing.packing import LABEL_TOKENS, TEMPLATE_TOKENS, Count, beginning, fitting

CANDIDATES = 2
"""Passages to choose from, per passage in the prompt: enough to leave out those that repeat each other."""
MANNER_PASSAGES = 2
"""Of the kind that is written: one could be the exception, and more take the room of what is to be said."""
MANNER_SHARE, LINK_SHARE = 4, 3
"""At most a quarter of the room shows the manner and a third is other people's: the author's own is the rest."""
TOKENS_PER_WORD = 2
"""English prose has about 1.3, other languages and code up to 2 and more. A draft that ends earlier costs nothing."""
_NONE = "(none)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What goes into a prompt. Labels count from 1 through related, manner and links, in this order."""

    related: Sequence[Passage]
    manner: Sequence[Passage]
    links: Sequence[LinkedText]

    @property
    def passages(self) -> list[Passage]:
        """The author's own, in the order of their labels."""
        return [*self.related, *self.manner]

    def uses(self, text: str = "") -> tuple[LinkUse, ...]:
        """The links under their labels, marked where a text names them."""
        labels = range(len(self.passages) + 1, len(self.passages) + len(self.links) + 1)
        cited = cited_labels(text, labels)
        return tuple(
            LinkUse(
                label=label,
                url=link.url,
                title=link.title,
                text=link.text,
                characters=link.characters,
                written_at=link.written_at,
                cited=label in cited,
            )
            for label, link in zip(labels, self.links, strict=True)
        )

    def quotations(self, only: Container[int] | None = None) -> dict[str, str]:
        """The three parts as the templates quote them; `only` leaves out the labels that are not in it."""
        parts: dict[str, list[str]] = {"related": [], "manner": [], "linked": []}
        for label, part, text in self.labelled():
            if only is None or label in only:
                parts[part].append(text)
        return {part: "\n\n".join(texts) or _NONE for part, texts in parts.items()}

    def labelled(self) -> Iterator[tuple[int, str, str]]:
        """Label, part of the prompt, and quotation of each."""
        own = len(self.related)
        for label, passage in enumerate(self.passages, start=1):
            yield label, "related" if label <= own else "manner", passage_quoted(label, passage)
        for label, link in enumerate(self.links, start=len(self.passages) + 1):
            yield label, "linked", link_quoted(label, link)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Candidates, best first."""

    retrieval: Retrieval
    """On the brief."""
    manner: Sequence[Passage] = ()

    @property
    def related(self) -> Sequence[Passage]:
        """The passages on the brief."""
        return self.retrieval.passages

    @property
    def candidates(self) -> list[Passage]:
        """All that the searches returned, each once."""
        return list({one.chunk_id: one for one in (*self.retrieval.candidates, *self.manner)}.values())


async def find(
    database: Database,
    author: Author,
    brief: str,
    manner: Category,
    settings: Settings,
    *,
    mode: RetrievalMode | None = None,
    chat: ChatClient | None = None,
) -> Found:
    """The author's passages on the brief, and those of the category in whose manner it is to be written.

    Under row-level security as this author. Neither with the mode `off`. Raises InvalidInput when there is nothing of
    the author at all.
    """
    # A quotation mark in a brief is no demand that the phrase be there.
    query = brief[:MAX_CHARACTERS].translate(dict.fromkeys(map(ord, '\x00"“”„«»'), " "))

    most = settings.context_passages
    found = await retrieve(database, author.id, query, settings=settings, limit=most * CANDIDATES, mode=mode, chat=chat)
    if found.mode == "off":
        return Found(retrieval=found)
    if not found.passages:
        raise InvalidInput(
            f"There is nothing of {author.name} to write from yet. Collect it first: "
            f"`twin sync --author {author.slug}`."
        )
    # Some of these are among the related ones already, and passages are quoted once.
    alike = await asyncio.to_thread(
        search,
        database,
        author.id,
        query,
        settings=settings,
        filters=SearchFilters(categories=(manner,)),
        limit=(most + MANNER_PASSAGES) * CANDIDATES,
        as_author=True,
    )
    return Found(retrieval=found, manner=alike)


def packed(
    found: Found, links: Sequence[LinkedText], *, settings: Settings, frame: Sequence[str], answer: int, count: Count
) -> Material:
    """As much of it as fits beside `frame` (all other text of the prompt) and `answer` tokens.

    A link is cut at its end, a passage is taken or left. Raises InvalidInput when there is no room for any passage.
    """
    room = context_window(settings) - answer - TEMPLATE_TOKENS - sum(count(text) for text in frame)
    each = room // LINK_SHARE // max(1, len(links)) - LABEL_TOKENS
    quotable = [replace(link, text=beginning(link.text, each - count(link.title), count)) for link in links]
    cost = sum(count(link.title + link.text) + LABEL_TOKENS for link in quotable)
    related = (
        fitting(
            found.related,
            settings=settings,
            frame=frame,
            answer=answer + cost + room // MANNER_SHARE,
            most=settings.context_passages,
            count=count,
        )
        if found.related
        else []
    )
    if (found.related and not related) or not all(link.text for link in quotable):
        raise InvalidInput(
            "The model's window has no room for the passages. Shorten the brief, ask for fewer words, or give fewer links."
        )
    taken = {passage.chunk_id for passage in related}
    manner = pack(
        [passage for passage in found.manner if passage.chunk_id not in taken],
        budget_tokens=room // MANNER_SHARE,
        count=lambda text: count(text) + LABEL_TOKENS,
    )
    return Material(related=related, manner=manner[:MANNER_PASSAGES], links=quotable)


def draft_tokens(settings: Settings, words: int) -> int:
    """The longest draft of so many words, in tokens: within the setting and half of the model's window."""
    return max(1, min(ceil(words * TOKENS_PER_WORD), settings.write_max_tokens, context_window(settings) // 2))


def fitting_labels(material: Material, cited: Container[int], *, room: int, count: Count) -> frozenset[int]:
    """The labels whose quotations fit `room` tokens: those that are cited before the others."""
    chosen: set[int] = set()
    for label, _, text in sorted(material.labelled(), key=lambda one: one[0] not in cited):
        if (cost := count(text) + 2) <= room:
            chosen.add(label)
            room -= cost
    return frozenset(chosen)
