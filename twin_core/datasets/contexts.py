"""The passages that stand in a training prompt, found as they are found in serving, and never those of the answer.

Only what is learnt from may be quoted, and only what was written before: then no held-out text slips into a prompt,
and a document that comes later changes no prompt of an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from twin_core import prompts
from twin_core.datasets.filters import grams
from twin_core.prompts.languages import language_name
from twin_core.prompts.quoting import harmless, labelled
from twin_core.records import Author, Category, Passage, SearchFilters
from twin_core.retrieval.pack import pack
from twin_core.retrieval.query import Query
from twin_core.retrieval.search import search_with
from twin_core.settings import Settings
from twin_core.store.database import Database

CANDIDATES = 12
"""Passages to choose from: some repeat each other, some give the answer away."""
TOKENS = 900
"""Of all passages of a prompt together, at four characters each: with an answer of 600 it fits a window of 2,048."""
QUERY_CHARACTERS = 600
BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One prompt that needs its passages."""

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
) -> Iterator[list[Passage]]:
    """The passages for each prompt, in order, already redacted. `held` are the 13-grams of what is held out."""
    from twin_core.models.embedder import embedder

    limit = settings.dataset_context_passages
    if limit == 0:
        yield from ([] for _ in wanted)
        return
    model = embedder(settings)
    for at in range(0, len(wanted), BATCH):
        lot = wanted[at : at + BATCH]
        queries = [_query(one.instruction) for one in lot]
        vectors = model.encode_query([query.text for query in queries])
        with database.transaction() as conn:
            for one, query, vector in zip(lot, queries, vectors, strict=True):
                found = search_with(
                    conn,
                    author.id,
                    query,
                    vector,
                    model_id=model.model_id,
                    settings=settings,
                    filters=SearchFilters(written_to=one.before, without_documents=one.without),
                    limit=CANDIDATES,
                )
                own = grams(one.answer) | held
                fit = [passage for passage in found if own.isdisjoint(grams(passage.text))]
                chosen = pack(fit, budget_tokens=TOKENS)[:limit]
                yield [replace(passage, text=redacted(passage.text)) for passage in chosen]
        if progress is not None:
            progress(min(at + BATCH, len(wanted)), len(wanted))


def prompt(
    author: Author, language: str, category: Category, instruction: str, passages: Sequence[Passage]
) -> tuple[tuple[str, str], ...]:
    """The serving prompt for this instruction, as (role, content)."""
    template = prompts.load(prompts.WRITE)
    written_in = "English" if category == Category.CODE else language_name(language)
    system = template.fill("system", author=harmless(author.name), language=written_in)
    user = template.fill("user", passages=labelled(passages), task=harmless(instruction))
    return (("system", system), ("user", user))


def _query(instruction: str) -> Query:
    # Not parsed: a quotation mark in an instruction is no demand that the phrase be there.
    return Query(text=" ".join(instruction[:QUERY_CHARACTERS].replace("\x00", " ").split()))
