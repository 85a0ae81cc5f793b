"""Building an author's instruction set: cleaned documents in, an immutable version out.

Everything is decided before anything is written: which documents are held out, what is dropped and why, whether the
result may be published. What was made before is taken over, so that a build after twenty new documents makes the
examples of twenty documents.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from uuid import UUID

from twin_core import identity, prompts
from twin_core.datasets import filters, instructions, passages, questions
from twin_core.datasets.contexts import NOTHING, Wanted, contexts, prompt, versions
from twin_core.datasets.filters import grams
from twin_core.datasets.instructions import Asked, Draft
from twin_core.datasets.measures import Validate
from twin_core.datasets.passages import Section, count_words
from twin_core.datasets.split import Dated, split
from twin_core.datasets.versions import Built, Candidate, publish
from twin_core.errors import NothingToPublish
from twin_core.records import QUESTION, Author, Category, Example, ExampleKind, Split
from twin_core.settings import Settings
from twin_core.store import datasets as store
from twin_core.store import versions as stages
from twin_core.store.database import Database
from twin_core.store.datasets import Material
from twin_core.store.files import file_store
from twin_core.text import redact
from twin_core.writing.material import Material as Quoted

BUILD_VERSION = "1"
"""Raise it when the same passages give another set for a reason that no other version says."""

FEWEST_MEASURED = 40
"""Words of a held-out document that evaluation can measure: below, every author looks like every other."""

Progress = Callable[[str, int, int], None]
"""Told (step, done, total)."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A passage on its way to being an example. `made` is there once it is one."""

    section: Section
    draft: Draft
    side: Split
    input_hash: str
    made: Example | None = None


@dataclass(slots=True)
class _Drops:
    """What was dropped, by document and reason."""

    counted: Counter[tuple[UUID, Category, str]] = field(default_factory=Counter)

    def add(self, section: Section, reason: str) -> None:
        self.counted[section.document.document_id, section.document.category, reason] += 1

    def rows(self) -> list[store.Drop]:
        return [
            store.Drop(document_id=document, category=category, reason=reason, passages=count)
            for (document, category, reason), count in sorted(self.counted.items())
        ]


def build_instruct(
    database: Database,
    author: Author,
    *,
    settings: Settings,
    validate: Validate,
    allow_shrink: bool = False,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Built:
    """Build the author's instruction set and publish it as a version, unless it is what the current version is.

    Holds the author's lock. `fresh` makes every example anew instead of taking over what was made before (answers of a
    language model stay kept). Raises NothingToPublish when there is nothing to, saying why, and ValidationFailed
    when the result does not pass; nothing is published then.
    """
    started = time.perf_counter()
    with database.author_lock(author.id):
        at_hand = instructions.model_at_hand(settings)
        with database.transaction() as conn:
            with_context = settings.dataset_context_passages > 0 and store.indexed_texts(conn, author.id)[1] > 0
            texts = stages.material_version(conn, author.id)
            input_hash = _input(texts, author, settings, with_context=with_context, at_hand=at_hand)
            current = store.current_version(conn, author.id, ExampleKind.INSTRUCT)
        if current is not None and current.input_hash == input_hash and not current.tainted_at and not fresh:
            return Built.unchanged(current, seconds=time.perf_counter() - started)
        with database.transaction() as conn:
            documents = store.material(conn, author.id)
        candidate, counts, asked = _candidate(
            database, author, documents, settings=settings, with_context=with_context, at_hand=at_hand, fresh=fresh,
            progress=progress,
        )  # fmt: skip
        # A model that fell silent leaves passages to ask about: the next build must not take this one for finished.
        candidate = replace(candidate, input_hash=input_hash if not asked.unanswered or not at_hand else "unfinished")
        built = publish(
            database,
            author,
            candidate,
            validate=validate,
            allow_shrink=allow_shrink,
            keep=_keep(author, settings),
            files=file_store(settings),
            blocks=settings.ethics_blocks,
        )
    return replace(built, counts=counts, trouble=asked.trouble, seconds=time.perf_counter() - started)


def _candidate(
    database: Database,
    author: Author,
    documents: Sequence[Material],
    *,
    settings: Settings,
    with_context: bool,
    at_hand: bool,
    fresh: bool,
    progress: Progress | None,
) -> tuple[Candidate, dict[str, int], Asked]:
    if not documents:
        raise NothingToPublish("There is nothing to publish: no document is cleaned yet. Run `twin sync` first.")
    sides = split(
        [
            Dated(
                document_id=one.document.document_id,
                cluster_id=one.cluster_id,
                at=one.first_at,
                code=one.document.category == Category.CODE,
                measurable=one.document.words >= FEWEST_MEASURED,
            )
            for one in documents
        ]
    )
    texts = [one.document for one in documents]
    spoken, repeated = filters.languages(texts, author.language), filters.repeated_lines(texts)
    drops, cut = _Drops(), Counter[UUID]()
    sound: list[Section] = []
    for document in texts:
        for section in passages.sections(document):
            cut[document.document_id] += 1
            reason = filters.objection(section, spoken=spoken, repeated=repeated)
            if reason is None:
                sound.append(section)
            else:
                drops.add(section, reason)
    asked = _ask(database, author, sound, settings=settings, at_hand=at_hand, progress=progress)
    with database.transaction() as conn:
        known = {} if fresh else store.known_examples(conn, author.id, ExampleKind.INSTRUCT)
    rows, redactions = _drafted(
        author, sound, sides, asked, known, settings=settings, with_context=with_context, drops=drops
    )
    rows = _apart(rows, drops)
    if with_context:
        rows += _questions(author, rows, known, settings=settings)
    rows, reused = _finished(
        database, author, rows, documents, sides, settings=settings, with_context=with_context, progress=progress
    )
    rows = _clean_of_test(rows, drops)
    examples = [row.made for row in rows if row.made is not None]
    counts = {
        "documents": len(documents),
        "documents held out": sum(side == Split.TEST for side in sides.values()),
        "passages": sum(cut.values()),
        "passages dropped": drops.counted.total(),
        "instructions asked": asked.asked,
        "instructions kept": asked.kept,
        "instructions unusable": asked.unusable,
        "instructions unanswered": asked.unanswered,
        "examples": len(examples),
        "questions": sum(one.origin == QUESTION for one in examples),
        "examples reused": sum(row.made is not None and row.made.id in reused for row in rows),
        "examples made": sum(row.made is not None and row.made.id not in reused for row in rows),
    }
    candidate = Candidate(
        kind=ExampleKind.INSTRUCT,
        input_hash="",
        examples=tuple(examples),
        sides={row.made.id: row.side for row in rows if row.made is not None},
        origins=tuple(
            store.Origin(
                document_id=one.document_id,
                revision_id=one.revision_id,
                split=sides[one.document_id],
                passages=cut[one.document_id],
            )
            for one in texts
        ),
        drops=tuple(drops.rows()),
        spoken=spoken,
        settings=_recorded(settings, with_context=with_context),
        redactions=redactions,
        models=_models(database, author, asked),
    )
    return candidate, counts, asked


def _ask(
    database: Database,
    author: Author,
    sound: Sequence[Section],
    *,
    settings: Settings,
    at_hand: bool,
    progress: Progress | None,
) -> Asked:
    if settings.dataset_instructions == "rules":
        return Asked(instructions={})
    with database.transaction() as conn:
        kept = store.kept_answers(conn, author.id, instructions.PURPOSE)

    def keep(answers: Sequence[store.KeptAnswer]) -> None:
        with database.transaction() as conn:
            store.keep_answers(conn, author.id, answers)

    told = None if progress is None else lambda done, total: progress("instructions", done, total)
    return instructions.ask(sound, settings=settings, kept=kept, keep=keep, at_hand=at_hand, progress=told)


def _drafted(
    author: Author,
    sound: Sequence[Section],
    sides: Mapping[UUID, Split],
    asked: Asked,
    known: Mapping[str, Example],
    *,
    settings: Settings,
    with_context: bool,
    drops: _Drops,
) -> tuple[list[_Row], Counter[str]]:
    """Every sound passage with its instruction, redacted, unless the instruction gives the answer away."""
    rows, redactions, keep = [], Counter[str](), _keep(author, settings)
    for section in sound:
        answered = asked.instructions.get(instructions.key_of(section)) if asked.instructions else None
        draft = Draft(answered, section.text, "llm") if answered else instructions.by_rule(section)
        input_hash = _input_of(author, section, draft, settings, with_context=with_context)
        before = known.get(input_hash)
        task = redact.redact(draft.instruction, keep=keep).text
        if before is None:
            if filters.overlap(draft.instruction, draft.answer) > filters.MOST_OVERLAP:
                drops.add(section, filters.OVERLAP)
                continue
            answer = redact.redact(draft.answer, keep=keep)
            if count_words(answer.text) < filters.LEAST_OF_AN_ANSWER:
                drops.add(section, filters.TOO_SHORT)
                continue
            if filters.redacted_share(answer.text) > filters.MOST_REDACTED:
                drops.add(section, filters.REDACTED)
                continue
            redactions.update(answer.counts)
        draft = Draft(task, answer.text if before is None else before.answer, draft.origin)
        side = sides[section.document.document_id]
        rows.append(_Row(section, draft, side, input_hash, before))
    return rows, redactions


def _apart(rows: Sequence[_Row], drops: _Drops) -> list[_Row]:
    """Without copies, and without what the train side shares with the test side."""
    dropped = filters.copies([row.draft.answer for row in rows], [row.side for row in rows])
    for at, reason in dropped.items():
        drops.add(rows[at].section, reason)
    left = [row for at, row in enumerate(rows) if at not in dropped]
    shared = filters.contaminated(
        {
            str(at): f"{row.draft.instruction}\n\n{row.draft.answer}"
            for at, row in enumerate(left)
            if row.side == Split.TRAIN
        },
        [row.draft.answer for row in left if row.side == Split.TEST],
    )
    for name in sorted(shared, key=int):
        drops.add(left[int(name)].section, filters.SHARED_WITH_TEST)
    return [row for at, row in enumerate(left) if str(at) not in shared]


def _questions(author: Author, rows: Sequence[_Row], known: Mapping[str, Example], *, settings: Settings) -> list[_Row]:
    """Passages that are asked about as well, beside being drafts to write."""
    keep, asked = _keep(author, settings), []
    for side in Split:
        own = [row.section for row in rows if row.side == side]
        choose = questions.to_learn if side == Split.TRAIN else questions.to_measure
        for section, draft in choose(own, text=lambda text: redact.redact(text, keep=keep).text):
            task = replace(draft, instruction=redact.redact(draft.instruction, keep=keep).text)
            # A held-out document is asked for without its own passage: what is made depends on the side.
            input_hash = _input_of(
                author, section, replace(task, answer=f"{side} {task.answer}"), settings, with_context=True
            )
            asked.append(_Row(section, task, side, input_hash, known.get(input_hash)))
    return asked


def _finished(
    database: Database,
    author: Author,
    rows: Sequence[_Row],
    documents: Sequence[Material],
    sides: Mapping[UUID, Split],
    *,
    settings: Settings,
    with_context: bool,
    progress: Progress | None,
) -> tuple[list[_Row], frozenset[str]]:
    """The rows as examples, and the ids of those that were there before."""
    held = frozenset().union(*(grams(row.draft.answer) for row in rows if row.side == Split.TEST))
    held_out = frozenset(document for document, side in sides.items() if side == Split.TEST)
    alike: dict[UUID, list[UUID]] = defaultdict(list)
    for one in documents:
        alike[one.cluster_id].append(one.document.document_id)
    together = {one.document.document_id: alike[one.cluster_id] for one in documents}
    made = {
        row.input_hash: row.made
        for row in rows
        if row.made is not None and _stands(row.made, row.side, held_out, together, held)
    }
    reused = frozenset(example.id for example in made.values())
    new = list({row.input_hash: row for row in rows if row.input_hash not in made}.values())
    keep = _keep(author, settings)

    @lru_cache(maxsize=4096)
    def redacted(text: str) -> str:
        return redact.redact(text, keep=keep).text

    wanted = [
        Wanted(
            category=row.section.document.category,
            instruction=row.draft.instruction,
            answer=row.draft.answer,
            before=row.section.document.written_at,
            without=tuple(sorted({*together[row.section.document.document_id], *held_out})),
        )
        for row in new
    ]
    told = None if progress is None else lambda done, total: progress("contexts", done, total)
    quoted = (
        contexts(database, author, wanted, settings=settings, held=held, redacted=redacted, progress=told)
        if with_context
        else (NOTHING for _ in new)
    )
    for row, found in zip(new, quoted, strict=True):
        if row.draft.origin != QUESTION or row.side == Split.TRAIN or found.related:
            made[row.input_hash] = _example(author, row, found, redacted)
    return [replace(row, made=made[row.input_hash]) for row in rows if row.input_hash in made], reused


def _example(author: Author, row: _Row, found: Quoted, redacted: Callable[[str], str]) -> Example:
    document, answer = row.section.document, row.draft.answer
    if row.draft.origin == QUESTION:
        found = replace(found, manner=())
        asked, answer = questions.asked(
            author, row.section, row.draft, found, text=redacted(row.section.text), held_out=row.side == Split.TEST
        )
    else:
        asked = prompt(author, row.section, row.draft.instruction, answer, found, redacted=redacted)
    said = (content for _, content in asked)
    return Example(
        id=identity.example_id(document.document_id, ExampleKind.INSTRUCT, *said, answer),
        author_id=author.id,
        document_id=document.document_id,
        revision_id=document.revision_id,
        kind=ExampleKind.INSTRUCT,
        category=document.category,
        origin=row.draft.origin,
        prompt=asked,
        answer=answer,
        language=document.language,
        words=count_words(row.draft.answer),
        start=row.section.start,
        end=row.section.end,
        context_document_ids=tuple(sorted({passage.document_id for passage in found.passages})),
        input_hash=row.input_hash,
    )


def _stands(
    example: Example,
    side: Split,
    held_out: frozenset[UUID],
    together: Mapping[UUID, Sequence[UUID]],
    held: frozenset[int],
) -> bool:
    """Whether the prompt that was made before quotes nothing that it must not quote now."""
    quoted = set(example.context_document_ids)
    if quoted & held_out or quoted & set(together[example.document_id]):
        return False
    return side == Split.TEST or held.isdisjoint(grams(example.prompt[-1][1]))


def _clean_of_test(rows: Sequence[_Row], drops: _Drops) -> list[_Row]:
    """Without the train examples whose finished prompt still shares 13 words with a test answer."""
    shared = filters.contaminated(
        {row.made.id: row.made.prompt[-1][1] for row in rows if row.made is not None and row.side == Split.TRAIN},
        [row.draft.answer for row in rows if row.side == Split.TEST],
    )
    for row in rows:
        if row.made is not None and row.made.id in shared and row.draft.origin != QUESTION:
            drops.add(row.section, filters.SHARED_WITH_TEST)
    return [row for row in rows if row.made is not None and row.made.id not in shared]


def _keep(author: Author, settings: Settings) -> tuple[str, ...]:
    """What is public of the author and stays: the name and what the settings say."""
    return (author.name, *settings.dataset_keep)


def _recorded(settings: Settings, *, with_context: bool) -> dict[str, Any]:
    """Everything besides the texts that decides what a build gives: goes into the manifest and into every hash."""
    return {
        "build": BUILD_VERSION,
        "passages": passages.PASSAGES_VERSION,
        "filters": filters.FILTERS_VERSION,
        "redaction": redact.VERSION,
        "rules": instructions.RULES_VERSION,
        "questions": questions.QUESTIONS_VERSION,
        "templates": [*versions(), prompts.load(prompts.INSTRUCTION).version, prompts.load(prompts.ANSWER).version],
        "context_passages": settings.dataset_context_passages if with_context else 0,
        "keep": sorted(settings.dataset_keep),
    }


def _input(texts: str, author: Author, settings: Settings, *, with_context: bool, at_hand: bool) -> str:
    """Of everything that a build reads: equal, and there is nothing to build."""
    recorded = {
        **_recorded(settings, with_context=with_context),
        "texts": texts,
        "author": [author.name, author.language],
        "instructions": settings.dataset_instructions,
        "model": at_hand,
    }
    return identity.sha256(json.dumps(recorded, sort_keys=True))


def _input_of(author: Author, section: Section, draft: Draft, settings: Settings, *, with_context: bool) -> str:
    """Of everything that one example is made from."""
    recorded = {
        **_recorded(settings, with_context=with_context),
        "author": author.name,
        "document": str(section.document.document_id),
        "title": section.document.title,
        "language": section.document.language,
        "instruction": draft.instruction,
        "answer": draft.answer,
    }
    return identity.sha256(json.dumps(recorded, sort_keys=True))


def _models(database: Database, author: Author, asked: Asked) -> dict[str, int]:
    """Model -> kept instructions by it."""
    if not asked.instructions:
        return {}
    with database.transaction() as conn:
        kept = store.kept_answers(conn, author.id, instructions.PURPOSE)
    used = Counter(one.model for one in kept.values() if one.key in asked.instructions)
    return dict(sorted(used.items()))
