"""A question in, an answer with its sources out: retrieve, pack, ask the language model, cite, record.

`stream_answer` is what the API runs and `answer` the same for a caller that waits; both always say which passages the
answer rests on. When no language model answers, they are the answer, and it says so. The prompt's words are in
`prompts/`, the wire in `models/chat.py`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID, uuid4

from twin_core import prompts
from twin_core.errors import InvalidInput
from twin_core.models.chat import ChatClient, ChatError, End, Message, Usage, served_by
from twin_core.prompts.languages import language_name
from twin_core.prompts.quoting import harmless, labelled
from twin_core.records import Author, Passage, SearchFilters
from twin_core.retrieval.retrieve import Retrieval, retrieve
from twin_core.retrieval.search import MAX_LIMIT
from twin_core.settings import RetrievalMode, Settings
from twin_core.store import registry
from twin_core.store.database import Database
from twin_core.store.registry import Deployment
from twin_core.store.traces import KeptDraft, Trace, TraceOutcome, kept_candidates, kept_filters
from twin_core.writing import answer_cache
from twin_core.writing.citations import Citation, citations, kept
from twin_core.writing.packing import answer_tokens, counter, fitting, recent
from twin_core.writing.recording import counted, record

CANDIDATES = 2
"""Passages to choose from, per passage in the prompt: enough to leave out those that repeat each other."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """First event: the passages the answer will rest on. None is marked as cited yet."""

    citations: tuple[Citation, ...]
    notices: tuple[str, ...] = ()
    """What was not done as asked to find them, in words for the person who asks."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the answer's text, in order."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Last event: the whole answer, as it was recorded."""

    trace_id: UUID
    question: str
    text: str
    outcome: TraceOutcome
    """`answered`; `retrieval_only` when no model wrote it; `failed` when it broke off; `interrupted` by the asker."""
    finish_reason: str
    citations: tuple[Citation, ...]
    model: str | None
    prompt_version: str
    usage: Usage | None
    timings: dict[str, float]
    """Seconds from the start: understand, search, rerank, prompt, first_token, total."""
    retrieval: RetrievalMode = "fast"
    notices: tuple[str, ...] = ()
    error: str | None = None
    """What was wrong with the language model, in words for the person who runs it."""
    cached_from: UUID | None = None
    """The trace of the answer that this one repeats, where it comes from the cache."""


Event = Retrieved | Piece | Answer


@dataclass(slots=True)
class _Draft:
    author: Author
    question: str
    found: Retrieval
    began: float = field(default_factory=monotonic)
    engine: str | None = None
    deployment: Deployment | None = None
    passages: list[Passage] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    outcome: TraceOutcome = "interrupted"  # until it ended otherwise
    prompt_version: str = ""
    end: End | None = None
    timings: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    cache_key: str | None = None
    again: KeptDraft | None = None
    """The answer of the cache that is given again."""

    @property
    def written(self) -> str:
        return "".join(self.parts)

    def mark(self, name: str) -> None:
        self.timings.setdefault(name, round(monotonic() - self.began, 4))

    def finished(self) -> Answer:
        self.mark("total")
        # In a retrieval-only answer every passage is shown, none is cited by a writer.
        text = self.written if self.outcome != "retrieval_only" else ""
        return Answer(
            trace_id=uuid4(),
            question=self.question,
            text=self.written,
            outcome=self.outcome,
            finish_reason=self.end.reason if self.end else "error" if self.outcome == "failed" else "stop",
            citations=tuple(citations(self.passages, text)),
            model=self.end.model if self.end else None,
            prompt_version=self.prompt_version,
            usage=self.end.usage if self.end else None,
            timings=self.timings,
            retrieval=self.found.mode,
            notices=self.found.notices,
            error=self.error,
            cached_from=self.again.id if self.again else None,
        )


async def stream_answer(
    database: Database,
    author: Author,
    question: str,
    *,
    settings: Settings,
    chat: ChatClient | None = None,
    history: Sequence[Message] = (),
    filters: SearchFilters | None = None,
    limit: int | None = None,
    retrieval: RetrievalMode | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    fresh: bool = False,
) -> AsyncGenerator[Event]:
    """Answer from the author's own passages, as it is written: Retrieved, Pieces, then the Answer that was recorded.

    `history` is the conversation before the question; `limit` the most passages and `retrieval` how they are found
    (default of both: the setting). With `off` the model answers without passages, which the notices say. `fresh` is not
    answered from the cache. Reads and writes under row-level security as this author. Closing the generator cancels the
    generation and records what there is as interrupted. Raises InvalidInput for an empty question or one that leaves no
    room for passages, and ServiceUnavailable when the database does not answer; a language model that does not answer is no
    exception.
    """
    question = question.strip()
    if not question:
        raise InvalidInput("There is no question. Write one.")
    most, mode = limit or settings.context_passages, retrieval or settings.retrieval
    draft = _Draft(author=author, question=question, found=Retrieval(mode=mode, filters=filters or SearchFilters()))
    asked = answer_cache.Conditions(
        question=question,
        history=tuple(history),
        filters=draft.found.filters,
        retrieval=mode,
        passages=most,
        tokens=answer_tokens(settings, max_tokens),
        temperature=temperature,
    )
    # Read for every answer: whoever goes back to an earlier adapter waits for nothing.
    deployed = await asyncio.to_thread(_known, database, draft, asked, settings, fresh=fresh)
    if draft.again is None or mode == "off":
        before = monotonic() - draft.began
        draft.found = await retrieve(
            database,
            author.id,
            question,
            settings=settings,
            limit=min(most * CANDIDATES, MAX_LIMIT),
            mode=mode,
            filters=filters,
            chat=chat,
        )
        draft.timings |= {step: round(before + seconds, 4) for step, seconds in draft.found.timings.items()}
    async with AsyncExitStack() as stack:
        client = chat if chat is not None else await stack.enter_async_context(ChatClient(settings))
        made = _pieces(
            draft,
            client,
            deployed=deployed,
            most=most,
            settings=settings,
            history=history,
            max_tokens=max_tokens,
            temperature=temperature,
        )
        pieces = await stack.enter_async_context(aclosing(made))
        final: Answer | None = None
        try:
            async for piece in pieces:
                yield piece
        finally:
            if draft.prompt_version:
                final = draft.finished()
                # Shielded: the asker may be gone, and what was written for them is recorded all the same.
                whole = final.finish_reason == "stop" and final.outcome == "answered" and not draft.found.lacking
                key = draft.cache_key if whole else None
                keep = functools.partial(record, database, _trace(draft, final), settings, cache_key=key)
                await asyncio.shield(asyncio.to_thread(keep))
    assert final is not None
    yield final


def answer(
    database: Database,
    author: Author,
    question: str,
    *,
    settings: Settings,
    limit: int | None = None,
    filters: SearchFilters | None = None,
    retrieval: RetrievalMode | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Answer:
    """`stream_answer` for a caller without an event loop: returns the Answer, shows each event to `on_event`."""

    async def run() -> Answer:
        async with aclosing(
            stream_answer(
                database, author, question, settings=settings, limit=limit, filters=filters, retrieval=retrieval
            )
        ) as events:
            async for event in events:
                if on_event is not None:
                    on_event(event)
                if isinstance(event, Answer):
                    return event
        raise AssertionError("a stream ends with its answer")

    return asyncio.run(run())


async def _pieces(
    draft: _Draft,
    client: ChatClient,
    *,
    deployed: Deployment | None,
    most: int,
    settings: Settings,
    history: Sequence[Message],
    max_tokens: int | None,
    temperature: float | None,
) -> AsyncGenerator[Retrieved | Piece]:
    if draft.again is not None:
        draft.passages, draft.outcome = list(draft.again.passages), "answered"
        draft.prompt_version = draft.again.prompt_version
        draft.end = End(reason="stop", model=draft.again.model or "", usage=None)
        yield Retrieved(tuple(citations(draft.passages)), draft.found.notices)
        yield _wrote(draft, draft.again.text)
        return
    if not draft.found.passages and draft.found.mode != "off":
        nothing = prompts.load(prompts.NOTHING_FOUND)
        draft.prompt_version, draft.outcome = nothing.version, "retrieval_only"
        yield Retrieved((), draft.found.notices)
        yield _wrote(draft, nothing.fill("text", author=draft.author.name))
        return
    length = answer_tokens(settings, max_tokens)
    messages = await asyncio.to_thread(_prompt, draft, settings, history=history, most=most, length=length)
    draft.mark("prompt")
    yield Retrieved(tuple(citations(draft.passages)), draft.found.notices)
    draft.engine = settings.llm_engine
    try:
        served = served_by(deployed, settings)
        draft.deployment = deployed if served else None
        asked = client.asking(served)
        async with aclosing(asked.stream(messages, max_tokens=length, temperature=temperature)) as tokens:
            async for token in tokens:
                if isinstance(token, End):
                    draft.end = token
                else:
                    draft.mark("first_token")
                    yield _wrote(draft, token.text)
    except (ChatError, InvalidInput) as error:
        draft.error = str(error)
        draft.outcome = "failed"
    else:
        draft.outcome = "answered"
    if not draft.written.strip():
        draft.error = draft.error or "The language model ended without a word."
        draft.parts.clear()
        draft.end = None
        if not draft.passages:
            draft.outcome = "failed"
            return
        draft.outcome = "retrieval_only"
        only = prompts.load(prompts.RETRIEVAL_ONLY)
        draft.prompt_version = only.version
        yield _wrote(draft, only.fill("text", author=draft.author.name, passages=_listed(draft.passages)))


def _known(
    database: Database, draft: _Draft, asked: answer_cache.Conditions, settings: Settings, *, fresh: bool
) -> Deployment | None:
    """What answers for the author; what the cache has of this question is put into the draft."""
    author = draft.author
    with database.as_author(author.id) as conn:
        deployed = registry.serving(conn, author.id)
        key = answer_cache.key_of(conn, author, asked, deployed=deployed, settings=settings)
        if key is not None and not fresh:
            draft.again = answer_cache.look_up(conn, author, key, settings)
        draft.cache_key = key if draft.again is None else None
    return deployed


def _prompt(draft: _Draft, settings: Settings, *, history: Sequence[Message], most: int, length: int) -> list[Message]:
    looked_up = draft.found.mode != "off"
    template = prompts.load(prompts.ANSWER if looked_up else prompts.UNSOURCED)
    count = counter(settings)
    language = language_name(draft.author.language)
    system = template.fill("system", author=harmless(draft.author.name), language=language)
    question = harmless(draft.question)
    before = [
        Message(role=turn.role, content=harmless(turn.content))
        for turn in recent(history, settings=settings, count=count)
    ]
    frame = [system, question, *(turn.content for turn in before)]
    if looked_up:
        found = draft.found.passages
        draft.passages = fitting(found, settings=settings, frame=frame, answer=length, most=most, count=count)
        if not draft.passages:
            raise InvalidInput(
                "The question is too long: it leaves the language model no room for passages. Shorten it."
            )
    draft.prompt_version = template.version
    user = template.fill("user", passages=labelled(draft.passages), question=question)
    return [Message(role="system", content=system), *before, Message(role="user", content=user)]


def _wrote(draft: _Draft, text: str) -> Piece:
    draft.parts.append(text)
    return Piece(text)


def _listed(passages: Sequence[Passage]) -> str:
    return "\n\n".join(
        f"[{label}] **{passage.title}** ({passage.location})\n\n"
        + "\n".join(f"> {line}".rstrip() for line in passage.text.strip().splitlines())
        for label, passage in enumerate(passages, start=1)
    )


def _trace(draft: _Draft, final: Answer) -> Trace:
    return Trace(
        id=final.trace_id,
        author_id=draft.author.id,
        question=final.question,
        answer=final.text,
        outcome=final.outcome,
        prompt_version=final.prompt_version,
        model=final.model,
        timings=final.timings,
        usage=counted(final.usage),
        error=final.error,
        passages=kept(final.citations),
        retrieval=draft.found.mode,
        queries=[query for query in draft.found.queries if query != final.question],
        filters=kept_filters(draft.found.filters, draft.found.preferred),
        candidates=kept_candidates(draft.found.candidates),
        engine=draft.again.engine if draft.again else draft.engine,
        deployment_id=draft.again.deployment_id if draft.again else draft.deployment.id if draft.deployment else None,
        cached_from=final.cached_from,
    )
