"""The prompt that an example is learnt under: the one that a draft of its kind is asked for with, passages found as they are there.

Only what is learnt from may be quoted, and only what was written before: then no held-out text slips into a prompt,
and a document that comes later changes no prompt of an earlier one. Nothing of the answer's own document is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from twin_core import prompts
from twin_core.datasets.filters import grams
from twin_core.datasets.passages import Section, count_words
from twin_core.prompts.languages import language_name
from twin_core.prompts.quoting import delimited, harmless
from twin_core.records import Author, Category, Passage, SearchFilters
from twin_core.retrieval.pack import pack
from twin_core.retrieval.query import Query
from twin_core.retrieval.search import search_with
from twin_core.settings import Settings
from twin_core.store.database import Database
from twin_core.writing.kinds import FEWEST_WORDS, FORMS, Kind
from twin_core.writing.material import MANNER_PASSAGES, MANNER_SHARE, Material

CANDIDATES = 12
"""Passages to choose from: some repeat each other, some give the answer away."""
TOKENS = 600
"""Of all passages of a prompt together, at four characters each: with the template and an answer of 600 it fits a window of 2,048."""
QUERY_CHARACTERS = 600
BATCH = 64
KINDS: Mapping[Category, Kind] = {Category.POST: Kind.POST, Category.ARTICLE: Kind.ARTICLE, Category.CODE: Kind.CODE}
_PASSAGE = {Category.ARTICLE: prompts.PASSAGE_OF_ARTICLE, Category.CODE: prompts.PASSAGE_OF_CODE}
"""Added to the task, because what is learnt is a passage as it stands in its document, without a title and without a fence."""
_HEADINGS = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
NOTHING = Material(related=(), manner=(), links=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One prompt that needs its passages."""

    category: Category
    """In whose manner it is written."""
    instruction: str
    answer: str
    before: datetime | None
    """When the answer was written; None where that is not known."""
    without: tuple[UUID, ...]
    """Documents that must not be quoted: its own with its near-duplicates, and everything held out."""


def contexts(
    database: Database,
    author: Author,
    wanted: Sequence[Wanted],
    *,
    settings: Settings,
    held: AbstractSet[int],
    redacted: Callable[[str], str],
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Material]:
    """The passages for each prompt, in order, already redacted. `held` are the 13-grams of what is held out."""
    from twin_core.models.embedder import embedder

    if settings.dataset_context_passages == 0:
        yield from (NOTHING for _ in wanted)
        return
    model = embedder(settings)
    for at in range(0, len(wanted), BATCH):
        lot = wanted[at : at + BATCH]
        queries = [_query(one.instruction) for one in lot]
        vectors = model.encode_query([query.text for query in queries])
        with database.transaction() as conn:
            for one, query, vector in zip(lot, queries, vectors, strict=True):
                own = grams(one.answer) | held

                def fit(categories: tuple[Category, ...] = ()) -> list[Passage]:
                    found = search_with(
                        conn,
                        author.id,
                        query,  # noqa: B023  called before the next one
                        vector,  # noqa: B023
                        model_id=model.model_id,
                        settings=settings,
                        filters=SearchFilters(
                            written_to=one.before,  # noqa: B023
                            without_documents=one.without,  # noqa: B023
                            categories=categories,
                        ),
                        limit=CANDIDATES,
                    )
                    return [passage for passage in found if own.isdisjoint(grams(passage.text))]  # noqa: B023

                yield _chosen(fit(), fit((one.category,)), settings.dataset_context_passages, redacted)
        if progress is not None:
            progress(min(at + BATCH, len(wanted)), len(wanted))


def _chosen(
    related: Sequence[Passage], manner: Sequence[Passage], most: int, redacted: Callable[[str], str]
) -> Material:
    """As serving packs them: those on the subject first, then, in a quarter of the room, others that show the manner."""
    about = pack(related, budget_tokens=TOKENS - TOKENS // MANNER_SHARE)[:most]
    taken = {passage.chunk_id for passage in about}
    shown = pack(
        [passage for passage in manner if passage.chunk_id not in taken], budget_tokens=TOKENS // MANNER_SHARE
    )[:MANNER_PASSAGES]
    clean = [[replace(one, text=redacted(one.text)) for one in part] for part in (about, shown)]
    return Material(related=clean[0], manner=clean[1], links=())


def prompt(
    author: Author,
    section: Section,
    instruction: str,
    answer: str,
    material: Material,
    *,
    redacted: Callable[[str], str],
) -> tuple[tuple[str, str], ...]:
    """The prompt that serves for what this passage is, as (role, content). All but the outline is redacted already."""
    category, task = section.document.category, instruction
    if category in _PASSAGE:
        task = prompts.load(_PASSAGE[category]).fill("text", task=task)
    return asked(
        author,
        "en" if category == Category.CODE else section.document.language,
        KINDS[category],
        task,
        words=count_words(answer),
        quotations=material.quotations(),
        outline=redacted(_outline(section)),
    )


def asked(
    author: Author,
    language: str,
    kind: Kind,
    task: str,
    *,
    words: int,
    quotations: Mapping[str, str],
    outline: str = "(none)",
) -> tuple[tuple[str, str], ...]:
    """The prompt of a draft of this kind, as (role, content). `quotations` are its `related`, `manner` and `linked` passages."""
    template = prompts.load(FORMS[kind].template)
    values = {
        "author": harmless(author.name),
        "language": language_name(language),
        "words": max(-(-words // 10) * 10, FEWEST_WORDS),
        "brief": harmless(task),
        "outline": delimited("outline", outline),
        **quotations,
    }
    return (("system", template.fill("system", **values)), ("user", template.fill("user", **values)))


def versions() -> list[str]:
    """Of every template that a training prompt is made from."""
    names = (*(FORMS[kind].template for kind in KINDS.values()), *_PASSAGE.values())
    return [prompts.load(name).version for name in names]


def _outline(section: Section) -> str:
    """What the author's own outline of the passage would have been: the title, and the headings that it stands under or has."""
    headings = [*section.path[-1:], *_HEADINGS.findall(section.text)]
    return "\n".join(f"- {line}" for line in dict.fromkeys([section.document.title, *headings]))


def _query(instruction: str) -> Query:
    # Not parsed: a quotation mark in an instruction is no demand that the phrase be there.
    return Query(text=" ".join(instruction[:QUERY_CHARACTERS].replace("\x00", " ").split()))
