"""`/v1/chat/completions`: questions to the twin, in OpenAI's shape, streamed or whole, always with citations.

The answer itself is made by `twin_core.writing`; how it becomes an event stream is in `streaming.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from time import time
from typing import Annotated, Any
from uuid import uuid4

from litestar import Controller, Request, Response, post
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.spec import Example
from litestar.params import Body
from litestar.response import Stream

from twin_api.auth import requires
from twin_api.leaving import unless_gone
from twin_api.limits import CONVERSATION_CHARACTERS, QUESTION_CHARACTERS
from twin_api.operations import ONCE, WriteOrStream
from twin_api.schemas import (
    BROKE_OFF,
    ERRORS,
    NOT_FOUND,
    AnswerMessage,
    ChatCompletion,
    ChatRequest,
    Choice,
    CitationView,
)
from twin_api.services import Services
from twin_api.streaming import HEADERS, ChatStream, usage_view
from twin_api.tokens import check_tokens, metered
from twin_core.errors import NotFound
from twin_core.models.chat import Message
from twin_core.records import Author
from twin_core.store.keys import KeyHolder
from twin_core.writing.answer import Answer, Event, stream_answer

_EXAMPLES = [
    Example(
        summary="A question",
        value={"model": "jane-doe", "messages": [{"role": "user", "content": "What do you think of feature flags?"}]},
    ),
    Example(
        summary="A question within a conversation, streamed",
        value={
            "model": "jane-doe",
            "stream": True,
            "messages": [
                {"role": "user", "content": "How do you take backups?"},
                {"role": "assistant", "content": "Nightly, and I restore one every month [1]."},
                {"role": "user", "content": "Where do you restore them to?"},
            ],
        },
    ),
]


class ChatController(Controller):
    """Answers from the author's own writing."""

    path = "/v1/chat/completions"
    tags = ("chat",)
    guards = (requires("read"),)

    @post(
        "/",
        status_code=200,
        operation_class=WriteOrStream,
        summary="Ask the twin",
        responses=ERRORS | NOT_FOUND | BROKE_OFF | ONCE,
    )
    async def complete(
        self,
        data: Annotated[ChatRequest, Body(examples=_EXAMPLES)],
        request: Request[Any, Any, Any],
        holder: KeyHolder,
        author: Author,
        services: Services,
    ) -> ChatCompletion | Response[Any]:
        """An answer with its citations. With `stream` it is `text/event-stream`: chunks, then `data: [DONE]`."""
        if data.model != holder.slug:
            raise NotFound(f"There is no model `{data.model[:80]}` for this key. It may ask `{holder.slug}`.")
        question, history = _conversation(data)
        await check_tokens(services, holder)
        name = str(holder.key_id)
        services.slots.acquire(name)
        answering = stream_answer(
            services.database,
            author,
            question,
            settings=services.settings,
            chat=services.chat,
            history=history,
            filters=data.filters.record(),
            limit=data.k,
            retrieval=data.retrieval,
            max_tokens=data.max_completion_tokens or data.max_tokens,
            temperature=data.temperature,
            fresh=data.fresh,
        )
        events = metered(answering, services, holder, sum(len(turn.text) for turn in data.messages))
        stream = ChatStream(
            events=events,
            model=author.slug,
            heartbeat=services.limits.heartbeat_seconds,
            include_usage=data.stream_options is not None and data.stream_options.include_usage,
            on_close=lambda: services.slots.release(name),
        )
        try:
            await services.embedder_ready()
            if not data.stream:
                async with aclosing(stream):
                    return _whole(author, await unless_gone(request, _last(events)))
            # The passages are found before the headers go out: what fails until then is still a problem response.
            await stream.start()
        except BaseException:
            await stream.aclose()
            raise
        return Stream(stream.frames(), headers=HEADERS, background=BackgroundTask(stream.aclose))


def _conversation(data: ChatRequest) -> tuple[str, list[Message]]:
    """The question, and what was said before it."""
    turns = [turn for turn in data.messages if turn.text.strip()]
    if not turns or turns[-1].role != "user":
        raise ValidationException("The last message must be the user's, with a question in it.")
    question = turns[-1].text.strip()
    if len(question) > QUESTION_CHARACTERS:
        raise ValidationException(f"The question is longer than {QUESTION_CHARACTERS} characters. Shorten it.")
    if sum(len(turn.text) for turn in turns) > CONVERSATION_CHARACTERS:
        raise ValidationException(f"The conversation is longer than {CONVERSATION_CHARACTERS} characters. Shorten it.")
    # The twin's own instructions are the only system message: what a caller puts there is part of what they ask.
    return question, [
        Message(role="assistant" if turn.role == "assistant" else "user", content=turn.text) for turn in turns[:-1]
    ]


async def _last(events: AsyncGenerator[Event]) -> Answer:
    async for event in events:
        if isinstance(event, Answer):
            return event
    raise AssertionError("a stream ends with its answer")


def _whole(author: Author, answer: Answer) -> ChatCompletion:
    if answer.outcome == "failed":
        how = "broke off in the middle of its answer" if answer.text.strip() else "did not answer"
        raise HTTPException(
            f"The language model {how}. Ask again. (trace {answer.trace_id})",
            status_code=HTTPStatus.BAD_GATEWAY,
        )
    return ChatCompletion(
        id=f"chatcmpl-{uuid4().hex}",
        created=int(time()),
        model=author.slug,
        choices=[Choice(message=AnswerMessage(content=answer.text), finish_reason=answer.finish_reason)],
        usage=usage_view(answer),
        citations=[CitationView.of(citation) for citation in answer.citations],
        outcome=answer.outcome,
        trace_id=answer.trace_id,
        cached_from=answer.cached_from,
        retrieval=answer.retrieval,
        notices=list(answer.notices),
    )
