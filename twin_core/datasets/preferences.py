"""Building an author's preference set: for one instruction, the author's passage and something worse.

Worse is what a model wrote for the very same prompt (the base model, an adapter, an earlier one), or an answer that a
person rejected or edited. What is preferred is the author's own passage, or a person's edit; a model's text never is.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Protocol
from uuid import UUID

from twin_core import identity, prompts
from twin_core.datasets import filters
from twin_core.datasets.contexts import KINDS, asked
from twin_core.datasets.measures import Validate, all_of
from twin_core.datasets.passages import count_words
from twin_core.datasets.versions import Built, Candidate, publish
from twin_core.errors import NothingToPublish
from twin_core.models import bases
from twin_core.models.adapter_files import adapter_folder
from twin_core.models.chat import ChatClient, ChatError, ChatRefused, Message, model_name
from twin_core.models.local_server import STAND_IN, models_folder
from twin_core.prompts.languages import language_name
from twin_core.prompts.quoting import harmless
from twin_core.records import QUESTION, Author, Example, ExampleKind, Split
from twin_core.settings import Settings
from twin_core.store import datasets as store
from twin_core.store.adapters import Adapter, newest_adapter
from twin_core.store.database import Database
from twin_core.store.feedback import Preferred, preferred
from twin_core.store.files import file_store
from twin_core.text import redact
from twin_core.text.fingerprint import SIMILAR, words
from twin_core.writing.kinds import FORMS, Kind
from twin_core.writing.without_server import written_apart

PREFERENCES_VERSION = "1"
"""Raise it when the same answers give other pairs."""
PURPOSE = "rejected"
WITHIN = 0.25
"""Difference in length, either way, up to which a pair teaches style and not length."""
LEAST_TOKENS_PER_WORD, TOKENS_PER_WORD = 1.35, 2
ASKING_VERSION = "2"
"""Raise it when models are asked otherwise: kept answers then are asked for anew."""
TEMPERATURE = 0.7
LOT = 8
"""Questions at once. The local server answers one after the other, so there it is one: a queue would wait itself out."""

LENGTH = "the model's answer differs in length"
SAME = "the model's answer is the author's text"
NO_ANSWER = "the model gave no answer"
GONE = "about a document that the instruction set does not have"


BASE, ADAPTER = "local:base", "local:adapter"
"""What may be named beside models of the server: these need none."""


@dataclass(frozen=True, slots=True)
class Unserved:
    """A model that writes in a process of its own, without a server."""

    name: str
    base: str
    adapter: Adapter | None


class Writer(Protocol):
    """What writes answers to be rejected."""

    @property
    def name(self) -> str:
        """Under which its answers are kept."""
        ...

    async def write(self, prompt: Sequence[Message], *, words: int) -> str:
        """One answer of about so many words. Raises ChatError."""
        ...


@dataclass(frozen=True, slots=True)
class ChatWriter:
    """A model on the language model server, by the name that requests must say."""

    name: str
    client: ChatClient

    async def write(self, prompt: Sequence[Message], *, words: int) -> str:
        """One answer, the same for the same prompt where the engine honours a seed.

        A model that ends early would be told apart by its length alone, so it is asked for more; one that goes on is cut at a
        sentence (`fitted`). How many of its tokens make a word is seen in its first answer.
        """
        per_word = LEAST_TOKENS_PER_WORD
        for _ in range(2):
            said = await self.client.complete(
                prompt,
                min_tokens=ceil(words * per_word),
                max_tokens=ceil(words * max(TOKENS_PER_WORD, per_word * (1 + WITHIN))) + 20,
                temperature=TEMPERATURE,
                seed=0,
            )
            written, usage = count_words(said.text), said.end.usage
            if not written or usage is None or written >= (1 - WITHIN) * words:
                break
            per_word = usage.completion_tokens / written
        return said.text


def build_preference(
    database: Database, author: Author, *, settings: Settings, validate: Validate, allow_shrink: bool = False
) -> Built:
    """Build the preference set on the author's current instruction set and publish it, unless it is the current one.

    Holds the author's lock. Raises NothingToPublish when there is no instruction set, or no pair to be made.
    """
    started = time.perf_counter()
    with database.author_lock(author.id):
        with database.transaction() as conn:
            instruct = store.current_version(conn, author.id, ExampleKind.INSTRUCT)
            if instruct is None or instruct.tainted_at is not None:
                raise NothingToPublish(
                    "There is nothing to publish: preferences are made for an instruction set, and there is none that "
                    "is whole. Run `twin dataset build` first."
                )
            given = preferred(conn, author.id)
            current = store.current_version(conn, author.id, ExampleKind.PREFERENCE)
        unserved = _unserved(database, author, settings)
        names = [*(one.name for one in unserved), *_names(settings)]
        input_hash = _input(instruct.id, given, names, settings)
        if current is not None and current.input_hash == input_hash and current.tainted_at is None:
            return Built.unchanged(current, seconds=time.perf_counter() - started)
        candidate, counts, trouble = _candidate(
            database, author, instruct, given=given, names=names, unserved=unserved, settings=settings
        )
        candidate = replace(candidate, input_hash="unfinished" if trouble else input_hash)
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
    return replace(built, counts=counts, trouble=trouble, seconds=time.perf_counter() - started)


def _candidate(
    database: Database,
    author: Author,
    instruct: store.Version,
    *,
    given: Sequence[Preferred],
    names: Sequence[str],
    unserved: Sequence[Unserved],
    settings: Settings,
) -> tuple[Candidate, dict[str, int], str | None]:
    with database.transaction() as conn:
        members = store.members_of(conn, instruct.id)
        examples = [one for one in store.examples_of(conn, instruct.id) if one.origin != QUESTION]
        origins = store.origins_of(conn, instruct.id)
    chosen = _capped(examples, settings)
    answers, asked, trouble = _answers(database, author, chosen, names=names, unserved=unserved, settings=settings)
    keep = _keep(author, settings)
    drops: Counter[tuple[UUID, str]] = Counter()
    pairs: list[Example] = []
    for example in chosen:
        for name in names:
            answer = answers.get((example.id, name))
            reason = NO_ANSWER if answer is None else None
            if answer is not None:
                answer = fitted(redact.redact(answer, keep=keep).text, example.words)
                reason = objection(example.answer, answer)
            if reason is None and answer is not None:
                pairs.append(_pair(example, "model", answer))
            else:
                drops[example.document_id, reason or NO_ANSWER] += 1
    languages = {one.document_id: one.language for one in examples}
    lost = sum(one.document_id not in origins for one in given)
    pairs += [
        _from_feedback(author, one, languages.get(one.document_id, author.language), keep)
        for one in given
        if one.document_id in origins
    ]
    unique = {one.id: one for one in pairs}
    sides = {one.id: origins[one.document_id].split for one in unique.values()}
    held = [one.answer for one in examples if members[one.id] == Split.TEST]
    held += [one.answer for one in unique.values() if sides[one.id] == Split.TEST]
    leaking = filters.contaminated(
        {one.id: all_of(one) for one in unique.values() if sides[one.id] == Split.TRAIN}, held
    )
    for name in leaking:
        drops[unique[name].document_id, filters.SHARED_WITH_TEST] += 1
    kept = [one for one in unique.values() if one.id not in leaking]
    if not kept:
        raise NothingToPublish(
            f"There is nothing to publish: no pair of answers could be made. {len(given)} are from people's feedback, "
            + (f"and the models {', '.join(names)} were asked" if names else "and no language model is there to ask")
            + f" ({_told(drops)}). "
            + (
                f"The asking stopped: {trouble}"
                if trouble
                else "Start one (TWIN_LLM_URL), or give feedback on answers."
            )
        )
    of = {one.document_id: one.category for one in [*examples, *kept]}
    counted = Counter(one.document_id for one in chosen)
    candidate = Candidate(
        kind=ExampleKind.PREFERENCE,
        input_hash="",
        examples=tuple(kept),
        sides={one.id: sides[one.id] for one in kept},
        origins=tuple(replace(one, passages=counted[one.document_id]) for one in origins.values()),
        drops=tuple(
            store.Drop(document_id=document, category=of[document], reason=reason, passages=count)
            for (document, reason), count in sorted(drops.items())
        ),
        spoken=frozenset({*instruct.manifest["languages"], author.language}),
        settings={"preferences": PREFERENCES_VERSION, "instruct": instruct.id, "within": WITHIN},
        models=dict(Counter(name for _, name in answers)),
    )
    counts = {
        "instructions": len(chosen), "models": len(names), "answers asked": asked, "answers kept": len(answers) - asked,
        "pairs from feedback": len(given) - lost, GONE: lost, "pairs": len(kept),
    }  # fmt: skip
    return candidate, counts, trouble


def fitted(answer: str, length: int) -> str:
    """A longer answer cut at the last end of a sentence or line within the allowed length; else as it is."""
    answer = answer.strip()
    most = int(length * (1 + WITHIN))
    if count_words(answer) <= most:
        return answer
    best = ""
    for at, letter in enumerate(answer, start=1):
        if letter in ".!?…。！？\n":
            part = answer[:at].strip()
            if count_words(part) > most:
                break
            best = part
    return best or answer


def objection(chosen: str, rejected: str) -> str | None:
    """Why these two are no pair, or None."""
    length, other = count_words(chosen), count_words(rejected)
    if not other:
        return NO_ANSWER
    if abs(other - length) > WITHIN * length:
        return LENGTH
    one, two = set(words(chosen)), set(words(rejected))
    alike = len(one & two) / len(one | two)
    return SAME if alike >= SIMILAR and filters.near_duplicates([chosen, rejected]) else None


def _capped(examples: Sequence[Example], settings: Settings) -> list[Example]:
    """At most so many per document and in all. Ids are hashes: their order is as good as chance and always the same."""
    counted: Counter[UUID] = Counter()
    chosen: list[Example] = []
    for one in sorted(examples, key=lambda one: one.id):
        if counted[one.document_id] < settings.dataset_pairs_per_document and len(chosen) < settings.dataset_pairs:
            counted[one.document_id] += 1
            chosen.append(one)
    return chosen


def _unserved(database: Database, author: Author, settings: Settings) -> list[Unserved]:
    """What is named of BASE and ADAPTER: the model that is fine-tuned, and the author's newest SFT adapter on it, which is the base
    as long as there is none.
    """
    if not {BASE, ADAPTER} & set(settings.dataset_rejected_models):
        return []
    base = bases.base_name(settings)
    with database.transaction() as conn:
        newest = newest_adapter(conn, author.id, "sft")
    sound = newest if newest is not None and newest.tainted_at is None and newest.base_model == base else None
    known = {BASE: Unserved(f"base {bases.shown(base)}", base, None)}
    known[ADAPTER] = Unserved(f"adapter {sound.id[:12]}", base, sound) if sound is not None else known[BASE]
    return list({known[name].name: known[name] for name in settings.dataset_rejected_models if name in known}.values())


def _names(settings: Settings) -> list[str]:
    """The models of the server that are there to be asked. The stand-in is not, unless a person names it."""
    named = [name for name in dict.fromkeys(settings.dataset_rejected_models) if name not in {BASE, ADAPTER}]
    if settings.dataset_rejected_models and not named:
        return []
    if settings.llm_url is None and settings.base_model == STAND_IN and not named:
        return []

    async def answers() -> bool:
        async with ChatClient(settings) as client:
            return await client.answers()

    if not asyncio.run(answers()):
        return []
    return named or [model_name(settings)]


def _answers(
    database: Database,
    author: Author,
    chosen: Sequence[Example],
    *,
    names: Sequence[str],
    unserved: Sequence[Unserved],
    settings: Settings,
) -> tuple[dict[tuple[str, str], str], int, str | None]:
    """(example id, model) -> answer; how many were asked for now; and why the asking stopped, if it did."""
    with database.transaction() as conn:
        kept = store.kept_answers(conn, author.id, PURPOSE)
    found: dict[tuple[str, str], str] = {}
    missing: list[tuple[Example, str]] = []
    for example in chosen:
        for name in names:
            before = kept.get((example.document_id, _key(example, name)))
            if before is None:
                missing.append((example, name))
            elif before.answer is not None:
                found[example.id, name] = before.answer
    now: dict[tuple[str, str], str] = {}
    for model in unserved:
        now |= _written(database, author, [one for one, name in missing if name == model.name], model, settings)
    apart = {model.name for model in unserved}
    missing = [(one, name) for one, name in missing if name not in apart]
    if not missing:
        return found | now, len(now), None
    said, trouble = asyncio.run(_write_all(database, author, missing, settings))
    return found | now | said, len(now) + len(said), trouble


def _written(
    database: Database, author: Author, examples: Sequence[Example], model: Unserved, settings: Settings
) -> dict[tuple[str, str], str]:
    """What a model without a server writes for them, kept as all answers are."""
    if not examples:
        return {}
    said = written_apart(
        model.base,
        adapter_folder(file_store(settings), model.adapter, models_folder(settings).absolute())
        if model.adapter
        else None,
        [one.prompt for one in examples],
        [one.answer for one in examples],
        within=WITHIN,
        settings=settings,
    )
    kept = [
        _kept(one, model.name, answer.strip() or None, None if answer.strip() else NO_ANSWER)
        for one, answer in zip(examples, said, strict=True)
    ]
    with database.transaction() as conn:
        store.keep_answers(conn, author.id, kept)
    return {(one.id, model.name): answer for one, answer in zip(examples, said, strict=True) if answer.strip()}


async def _write_all(
    database: Database, author: Author, missing: Sequence[tuple[Example, str]], settings: Settings
) -> tuple[dict[tuple[str, str], str], str | None]:
    found: dict[tuple[str, str], str] = {}
    clients = {name: ChatClient(settings.model_copy(update={"llm_model": name})) for _, name in missing}
    try:
        size = 1 if settings.llm_engine == "transformers" else LOT
        for at in range(0, len(missing), size):
            lot = missing[at : at + size]
            said = await asyncio.gather(
                *(_write_one(ChatWriter(name, clients[name]), example) for example, name in lot), return_exceptions=True
            )
            good = [one for one in said if isinstance(one, store.KeptAnswer)]
            with database.transaction() as conn:
                store.keep_answers(conn, author.id, good)
            for (example, name), one in zip(lot, said, strict=True):
                if isinstance(one, store.KeptAnswer) and one.answer is not None:
                    found[example.id, name] = one.answer
            wrong = next((one for one in said if isinstance(one, BaseException)), None)
            if isinstance(wrong, ChatError):
                return found, str(wrong)
            if wrong is not None:
                raise wrong
    finally:
        for client in clients.values():
            await client.aclose()
    return found, None


async def _write_one(writer: Writer, example: Example) -> store.KeptAnswer:
    messages = [Message(role="system" if role == "system" else "user", content=said) for role, said in example.prompt]
    answer: str | None = None
    reason: str | None = NO_ANSWER
    try:
        written = (await writer.write(messages, words=example.words)).strip()
        answer, reason = (written, None) if written else (None, NO_ANSWER)
    except ChatRefused as error:
        reason = f"the model refused it: {error}"
    return _kept(example, writer.name, answer, reason)


def _kept(example: Example, name: str, answer: str | None, reason: str | None) -> store.KeptAnswer:
    return store.KeptAnswer(
        document_id=example.document_id,
        key=_key(example, name),
        purpose=PURPOSE,
        model=name,
        prompt_version=prompts.load(FORMS[KINDS[example.category]].template).version,
        answer=answer,
        reason=reason,
        context_document_ids=example.context_document_ids,
    )


def _key(example: Example, name: str) -> str:
    return identity.sha256(
        "\x1f".join((ASKING_VERSION, name, str(example.words), *(content for _, content in example.prompt)))
    )


def _pair(example: Example, origin: str, rejected: str) -> Example:
    return replace(
        example,
        id=identity.example_id(
            example.document_id,
            ExampleKind.PREFERENCE,
            *(content for _, content in example.prompt),
            example.answer,
            rejected,
        ),
        kind=ExampleKind.PREFERENCE,
        origin=origin,
        rejected=rejected,
    )


def _from_feedback(author: Author, one: Preferred, language: str, keep: Sequence[str]) -> Example:
    """A pair that a person decided, under the prompt that was answered."""

    def clean(text: str) -> str:
        return redact.redact(text, keep=keep).text

    quoted = "\n\n".join(
        f"[{label}]\n<passage-{label}>\n{harmless(clean(text)).strip()}\n</passage-{label}>"
        for label, text in enumerate(one.passages, start=1)
    )
    question, chosen = clean(one.question), clean(one.chosen)
    if one.kind != "answer":
        parts = {"related": quoted, "manner": "(none)", "linked": "(none)"}
        spoken = "en" if one.kind == Kind.CODE else author.language
        prompt = asked(author, spoken, Kind(one.kind), question, words=count_words(chosen), quotations=parts)
    else:
        template = prompts.load(prompts.ANSWER)
        system = template.fill("system", author=harmless(author.name), language=language_name(author.language))
        prompt = (("system", system), ("user", template.fill("user", passages=quoted, question=harmless(question))))
    base = Example(
        id="",
        author_id=author.id,
        document_id=one.document_id,
        revision_id=one.revision_id,
        kind=ExampleKind.PREFERENCE,
        category=one.category,
        origin=one.origin,
        prompt=prompt,
        answer=chosen,
        language=language,
        words=count_words(chosen),
        start=one.start,
        end=one.end,
        context_document_ids=tuple(sorted(one.context_document_ids)),
        input_hash=identity.sha256(str(one.feedback_id)),
    )
    return _pair(base, one.origin, clean(one.rejected))


def _keep(author: Author, settings: Settings) -> tuple[str, ...]:
    return (author.name, *settings.dataset_keep)


def _input(instruct: str, given: Sequence[Preferred], names: Sequence[str], settings: Settings) -> str:
    recorded = [
        PREFERENCES_VERSION, instruct, [str(one.feedback_id) for one in given], list(names),
        settings.dataset_pairs, settings.dataset_pairs_per_document, sorted(settings.dataset_keep), redact.VERSION,
    ]  # fmt: skip
    return identity.sha256(json.dumps(recorded))


def _told(drops: Mapping[tuple[UUID, str], int]) -> str:
    counted = Counter[str]()
    for (_, reason), count in drops.items():
        counted[reason] += count
    return ", ".join(f"{count} {reason}" for reason, count in counted.most_common()) or "nothing dropped"
