"""A brief in, drafts out: the author's related passages and linked pages packed, asked for, cited, recorded.

`stream_drafts` is what the API runs and `write` the same for a caller that waits. Every draft is a trace of its own, an
article's outline too; a revision goes on from the trace of its draft. When no language model answers, what the author
wrote on it is laid out instead, and said to be that. What the kinds are is in `kinds.py`, what a draft is made from in
`material.py`, the words of the prompts in `prompts/`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from textwrap import shorten
from time import monotonic
from typing import Any, Literal
from uuid import UUID, uuid4

from twin_core import prompts
from twin_core.errors import InvalidInput
from twin_core.models.chat import ChatClient, ChatError, End, Message, Served, Usage, served_by
from twin_core.models.local_server import context_window
from twin_core.prompts.languages import language_name
from twin_core.prompts.quoting import delimited, harmless
from twin_core.records import Author, Category, LinkedText
from twin_core.settings import RetrievalMode, Settings
from twin_core.store import registry
from twin_core.store.database import Database
from twin_core.store.registry import Deployment
from twin_core.store.traces import (
    KeptDraft,
    Trace,
    TraceKind,
    TraceLink,
    TraceOutcome,
    kept_candidates,
    kept_draft,
    kept_filters,
)
from twin_core.writing.citations import Citation, LinkUse, citations, kept
from twin_core.writing.kinds import FEWEST_WORDS, FORMS, Kind
from twin_core.writing.material import TOKENS_PER_WORD, Found, Material, draft_tokens, find, fitting_labels, packed
from twin_core.writing.packing import TEMPLATE_TOKENS, counter
from twin_core.writing.recording import counted, record

MOST_DRAFTS = 5
"""More nobody compares, and each is a whole generation."""
TEMPERATURE = 0.8
"""Drafts are to differ: at 0 every seed gives the same text. 0.7 to 1 is what chat models are tuned to write at."""
OUTLINE_TOKENS = 300
"""Seven lines of 25 words, with slack."""
OUTLINE = 0
"""The number of the outline, before the first draft."""
EXCERPT = 200
"""Characters of a passage in an outline that no model wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What is to be written."""

    kind: Kind
    text: str
    links: Sequence[LinkedText] = ()
    drafts: int = 1
    words: int | None = None
    """About how long; None: as its kind is."""
    retrieval: RetrievalMode | None = None
    """How the author's passages are found; None: as the settings say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What is to be changed in a draft that was recorded."""

    trace_id: UUID
    instruction: str


@dataclass(frozen=True, slots=True)
class Sources:
    """First event: what the drafts will be made from. Nothing is marked as cited yet."""

    citations: tuple[Citation, ...]
    links: tuple[LinkUse, ...]
    notices: tuple[str, ...] = ()
    """What was not done as asked to find them, in words for the person who asks."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a draft's text, in order. Draft 0 is the outline."""

    draft: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One draft at its end, as it was recorded. Draft 0 is the outline."""

    number: int
    trace_id: UUID
    text: str
    outcome: TraceOutcome
    finish_reason: str
    citations: tuple[Citation, ...]
    links: tuple[LinkUse, ...]
    model: str | None
    prompt_version: str
    usage: Usage | None
    timings: dict[str, float]
    """Seconds from the start of this draft: first_token, total; and before the first: search and its steps, `material`."""
    error: str | None = None
    """What was wrong with the language model, in words for the person who runs it."""

    @property
    def cited(self) -> list[int]:
        """The labels that it names, of passages and of links."""
        passages = [one.label for one in self.citations if one.cited]
        return passages + [one.label for one in self.links if one.cited]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Last event: all that was written."""

    kind: Kind
    brief: str
    words: int
    """What the drafts were asked to have: less than the brief says where the model's window has no room for it."""
    outline: Draft | None
    drafts: tuple[Draft, ...]
    notices: tuple[str, ...] = ()
    """As in Sources."""
    error: str | None = None
    """Why there are fewer drafts than were asked for, or none that a model wrote."""

    @property
    def outcome(self) -> Literal["answered", "retrieval_only", "failed"]:
        """`retrieval_only`: no model wrote anything; `failed`: a draft broke off or is missing."""
        if any(draft.outcome == "retrieval_only" for draft in self.drafts):
            return "retrieval_only"
        return "answered" if self.error is None else "failed"


Event = Sources | Delta | Draft | Written


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """Everything that is decided before the model is asked."""

    author: Author
    kind: Kind
    brief: str
    words: int
    tokens: int
    drafts: int
    template: str
    values: Mapping[str, str]
    material: Material
    found: Found | None = None
    """What the searches returned; None where an earlier draft is changed."""
    outlined: bool = False
    revises: UUID | None = None
    instruction: str | None = None

    @property
    def notices(self) -> tuple[str, ...]:
        return self.found.retrieval.notices if self.found else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One text that the model is asked for."""

    number: int
    kind: TraceKind
    template: str
    values: Mapping[str, str]
    tokens: int
    parent_id: UUID | None


async def stream_drafts(
    database: Database,
    author: Author,
    asked: Brief | Revision,
    *,
    settings: Settings,
    chat: ChatClient | None = None,
) -> AsyncGenerator[Event]:
    """Write what was asked for, as it is written: Sources, Deltas and a Draft for each text, then Written.

    Reads and writes under row-level security as this author. Closing the generator cancels the generation and records
    what there is of the draft as interrupted. Raises InvalidInput for what cannot be written as asked, NotFound for a
    draft to revise that is not the author's, ServiceUnavailable when the database does not answer; a language model
    that does not answer is no exception.
    """
    began = monotonic()
    job = await _job(database, author, asked, settings, chat)
    timings = (job.found.retrieval.timings if job.found else {}) | {"material": round(monotonic() - began, 4)}
    deployed = await asyncio.to_thread(_deployed, database, author)
    outline: Draft | None = None
    drafts: list[Draft] = []
    error: str | None = None
    yield Sources(tuple(citations(job.material.passages)), job.material.uses(), job.notices)
    async with AsyncExitStack() as stack:
        client = chat if chat is not None else await stack.enter_async_context(ChatClient(settings))
        for number in range(OUTLINE if job.outlined else 1, job.drafts + 1):
            step = _step(job, number, outline)
            last: Draft | None = None
            writing = _writing(database, job, step, client, deployed=deployed, settings=settings, timings=dict(timings))
            async with aclosing(writing) as events:
                async for event in events:
                    last = event if isinstance(event, Draft) else None
                    if last is None or last.text:
                        yield event
            assert last is not None
            if number == OUTLINE:
                outline = last if last.text else None
            elif last.text:
                drafts.append(last)
            if last.outcome != "answered":
                error = last.error
                break
    if not drafts:
        laid_out = await asyncio.to_thread(_laid_out, database, job, outline, error, settings=settings, timings=timings)
        drafts.append(laid_out)
        if laid_out.text:
            yield Delta(laid_out.number, laid_out.text)
        yield laid_out
    yield Written(
        kind=job.kind,
        brief=job.brief,
        words=job.words,
        outline=outline,
        drafts=tuple(drafts),
        notices=job.notices,
        error=error,
    )


def write(
    database: Database,
    author: Author,
    asked: Brief | Revision,
    *,
    settings: Settings,
    on_event: Callable[[Event], None] | None = None,
) -> Written:
    """`stream_drafts` for a caller without an event loop: returns Written, shows each event to `on_event`."""

    async def run() -> Written:
        async with aclosing(stream_drafts(database, author, asked, settings=settings)) as events:
            async for event in events:
                if on_event is not None:
                    on_event(event)
                if isinstance(event, Written):
                    return event
        raise AssertionError("a stream ends with what was written")

    return asyncio.run(run())


async def _job(
    database: Database, author: Author, asked: Brief | Revision, settings: Settings, chat: ChatClient | None
) -> _Job:
    if isinstance(asked, Revision):
        return await asyncio.to_thread(_revision, database, author, asked, settings)
    _check(asked)
    manner, text = FORMS[asked.kind].manner, asked.text.strip()
    found = await find(database, author, text, manner, settings, mode=asked.retrieval, chat=chat)
    return await asyncio.to_thread(_new, author, asked, found, settings)


def _check(brief: Brief) -> None:
    form, wanted = FORMS[brief.kind], brief.words or FORMS[brief.kind].words
    if not brief.text.strip():
        raise InvalidInput("There is no brief. Say what to write about.")
    if not 1 <= brief.drafts <= MOST_DRAFTS:
        raise InvalidInput(f"{brief.drafts} drafts cannot be written. Ask for 1 to {MOST_DRAFTS}.")
    if not FEWEST_WORDS <= wanted <= form.most_words:
        raise InvalidInput(f"A {brief.kind} has {FEWEST_WORDS} to {form.most_words} words here, not {wanted}.")


def _new(author: Author, brief: Brief, found: Found, settings: Settings) -> _Job:
    form, text, count = FORMS[brief.kind], brief.text.strip(), counter(settings)
    wanted = brief.words or form.words
    tokens = draft_tokens(settings, wanted)
    words = min(wanted, tokens // TOKENS_PER_WORD)
    values = _who(author, brief.kind) | {"words": str(words), "brief": harmless(text)}
    empty = values | dict.fromkeys(("related", "manner", "linked", "outline"), "")
    material = packed(
        found,
        brief.links,
        settings=settings,
        frame=[message.content for message in _messages(form.template, empty)],
        answer=tokens + (OUTLINE_TOKENS if form.outlined else 0),
        count=count,
    )
    return _Job(
        author=author,
        kind=brief.kind,
        brief=text,
        words=words,
        tokens=tokens,
        drafts=brief.drafts,
        template=form.template,
        values=values | material.quotations(),
        material=material,
        found=found,
        outlined=form.outlined,
    )


def _revision(database: Database, author: Author, revision: Revision, settings: Settings) -> _Job:
    instruction = revision.instruction.strip()
    if not instruction:
        raise InvalidInput("There is no instruction. Say what to change.")
    with database.as_author(author.id) as conn:
        draft = kept_draft(conn, author.id, revision.trace_id)
    if draft.texts == "dropped":
        raise InvalidInput(
            "The text of this draft was not kept (TWIN_TRACE_TEXTS, TWIN_TRACE_TEXTS_DAYS). Write it anew."
        )
    if draft.kind in {"answer", "outline"} or draft.outcome == "retrieval_only" or not draft.text.strip():
        raise InvalidInput("There is no draft under this id that could be revised. Write one first.")
    kind, count = Kind(draft.kind), counter(settings)
    material = _material_of(draft)
    length = count(draft.text)
    # As long as it was and a quarter more, for an instruction that adds something.
    tokens = min(length * 5 // 4 + 100, draft_tokens(settings, FORMS[kind].most_words))
    values = _who(author, kind) | {
        "kind": kind.value,
        "brief": harmless(draft.brief),
        "instruction": harmless(instruction),
        "draft": delimited("draft", draft.text),
    }
    frame = _messages(prompts.WRITE_REVISION, values | {"related": "", "linked": ""})
    room = context_window(settings) - tokens - TEMPLATE_TOKENS - sum(count(message.content) for message in frame)
    if room < 0:
        raise InvalidInput(
            "The draft and the instruction are too long for the model's window. Shorten the instruction."
        )
    cited = draft.cited | {link.label for link in draft.links if link.cited}
    return _Job(
        author=author,
        kind=kind,
        brief=draft.brief,
        words=tokens // TOKENS_PER_WORD,
        tokens=tokens,
        drafts=1,
        template=prompts.WRITE_REVISION,
        values=values | material.quotations(fitting_labels(material, cited, room=room, count=count)),
        material=material,
        revises=draft.id,
        instruction=instruction,
    )


def _material_of(draft: KeptDraft) -> Material:
    """What a recorded draft was made from, under the same labels."""
    return Material(
        related=draft.passages,
        manner=(),
        links=[
            LinkedText(
                url=link.url,
                title=link.title,
                text=link.text,
                characters=link.characters,
                written_at=datetime.fromisoformat(link.written_at) if link.written_at else None,
            )
            for link in draft.links
        ],
    )


def _who(author: Author, kind: Kind) -> dict[str, str]:
    language = "English" if FORMS[kind].manner == Category.CODE else language_name(author.language)
    return {"author": harmless(author.name), "language": language}


def _messages(template: str, values: Mapping[str, str]) -> list[Message]:
    loaded = prompts.load(template)
    return [
        Message(role="system", content=loaded.fill("system", **values)),
        Message(role="user", content=loaded.fill("user", **values)),
    ]


def _step(job: _Job, number: int, outline: Draft | None) -> _Step:
    if number == OUTLINE:
        return _Step(
            number=number,
            kind="outline",
            template=prompts.WRITE_OUTLINE,
            values=job.values,
            tokens=OUTLINE_TOKENS,
            parent_id=None,
        )
    return _Step(
        number=number,
        kind=job.kind.value,
        template=job.template,
        # The outline may repeat what a linked page says: data it stays.
        values={**job.values, "outline": delimited("outline", outline.text)} if outline else job.values,
        tokens=job.tokens,
        parent_id=outline.trace_id if outline else job.revises,
    )


def _deployed(database: Database, author: Author) -> Deployment | None:
    with database.as_author(author.id) as conn:
        return registry.serving(conn, author.id)


async def _writing(
    database: Database,
    job: _Job,
    step: _Step,
    client: ChatClient,
    *,
    deployed: Deployment | None,
    settings: Settings,
    timings: dict[str, float],
) -> AsyncGenerator[Delta | Draft]:
    """The pieces of one text, then the Draft that was recorded. Nothing is recorded of one without a word."""
    began, parts = monotonic(), list[str]()
    served: Served | None = None
    end: End | None = None
    outcome: TraceOutcome = "interrupted"  # until it ended otherwise
    error: str | None = None
    draft: Draft | None = None
    messages = _messages(step.template, step.values)
    try:
        served = served_by(deployed, settings)
        asked = client.asking(served).stream(
            messages, max_tokens=step.tokens, temperature=TEMPERATURE, seed=max(step.number, 1)
        )
        async with aclosing(asked) as tokens:
            async for token in tokens:
                if isinstance(token, End):
                    end = token
                else:
                    timings.setdefault("first_token", round(monotonic() - began, 4))
                    parts.append(token.text)
                    yield Delta(step.number, token.text)
        outcome = "answered"
    except (ChatError, InvalidInput) as wrong:
        outcome, error = "failed", str(wrong)
    finally:
        timings["total"] = round(monotonic() - began, 4)
        text = "".join(parts)
        if outcome == "answered" and not text.strip():
            outcome, error = "failed", "The language model ended without a word."
        draft = Draft(
            number=step.number,
            trace_id=uuid4(),
            text=text if text.strip() else "",
            outcome=outcome,
            finish_reason=end.reason if end else "error" if outcome == "failed" else "stop",
            citations=tuple(citations(job.material.passages, text)),
            links=job.material.uses(text),
            model=end.model if end else None,
            prompt_version=prompts.load(step.template).version,
            usage=end.usage if end else None,
            timings=timings,
            error=error,
        )
        if draft.text or draft.outcome == "interrupted":
            # Shielded: the asker may be gone, and what was written for them is recorded all the same.
            trace = _trace(job, draft, step.kind, step.parent_id)
            deployment_id = deployed.id if deployed and served else None
            trace = replace(trace, engine=settings.llm_engine, deployment_id=deployment_id)
            await asyncio.shield(asyncio.to_thread(record, database, trace, settings))
    yield draft


def _laid_out(
    database: Database,
    job: _Job,
    outline: Draft | None,
    error: str | None,
    *,
    settings: Settings,
    timings: dict[str, float],
) -> Draft:
    """What the author wrote on it, by piece, in place of a draft; recorded. Without a word where nothing was looked up."""
    only = prompts.load(prompts.WRITE_RETRIEVAL_ONLY)
    pieces = "\n".join(_pieces(job.material))
    text = only.fill("text", author=job.author.name, outline=pieces) if pieces else ""
    draft = Draft(
        number=1,
        trace_id=uuid4(),
        text=text,
        outcome="retrieval_only" if text else "failed",
        finish_reason="stop" if text else "error",
        citations=tuple(citations(job.material.passages)),  # shown, all of them; cited by a writer, none
        links=job.material.uses(),
        model=None,
        prompt_version=only.version,
        usage=None,
        timings=timings,
        error=error,
    )
    record(database, _trace(job, draft, job.kind.value, outline.trace_id if outline else job.revises), settings)
    return draft


def _pieces(material: Material) -> Iterator[str]:
    labelled: dict[UUID, list[int]] = {}
    for label, passage in enumerate(material.passages, start=1):
        labelled.setdefault(passage.document_id, []).append(label)
    for labels in labelled.values():
        first = material.passages[labels[0] - 1]
        date = f", {first.written_at:%Y-%m-%d}" if first.written_at else ""
        yield f"- **{first.title}** ({first.category}{date}, {first.location})"
        for label in labels:
            yield f"  - [{label}] {shorten(material.passages[label - 1].text, EXCERPT, placeholder=' …')}"
    for link in material.uses():
        yield f"- [{link.label}] Linked page, by others: {link.title} ({link.url})"


def _trace(job: _Job, draft: Draft, kind: TraceKind, parent_id: UUID | None) -> Trace:
    return Trace(
        id=draft.trace_id,
        author_id=job.author.id,
        question=job.brief,
        answer=draft.text,
        outcome=draft.outcome,
        prompt_version=draft.prompt_version,
        model=draft.model,
        timings=draft.timings,
        usage=counted(draft.usage),
        error=draft.error,
        passages=kept(draft.citations),
        kind=kind,
        parent_id=parent_id,
        instruction=job.instruction,
        links=[
            TraceLink(
                label=one.label,
                url=one.url,
                title=one.title,
                text=one.text,
                characters=one.characters,
                written_at=one.written_at.isoformat() if one.written_at else None,
                cited=one.cited,
            )
            for one in draft.links
        ],
        **_searched(job),
    )


def _searched(job: _Job) -> dict[str, Any]:
    """What a trace says of the search; nothing where there was none."""
    found = job.found
    if found is None:
        return {}
    return {
        "retrieval": found.retrieval.mode,
        "queries": [query for query in found.retrieval.queries if query != job.brief],
        "filters": kept_filters(found.retrieval.filters, found.retrieval.preferred),
        "candidates": kept_candidates(found.candidates),
    }
