"""`/v1/write`: drafts in the author's manner, whole or as a stream of named events, and their revision.

The drafts are made by `twin_core.writing`; linked pages are read here, before anything is generated, because a
writer fetches nothing. What every stream does is in `streaming.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from litestar import Controller, Request, Response, post
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.spec import Example
from litestar.params import Body
from litestar.response import Stream

from twin_api.auth import requires
from twin_api.leaving import unless_gone
from twin_api.operations import ONCE, WriteOrStream
from twin_api.schemas import BROKE_OFF, ERRORS, NOT_FOUND, CitationView
from twin_api.services import Services
from twin_api.streaming import HEADERS, EventStream
from twin_api.tokens import check_tokens, metered
from twin_api.write_schemas import (
    DeltaEvent,
    ErrorEvent,
    LinkView,
    SourcesEvent,
    UsageEvent,
    WriteRequest,
    WriteResponse,
    usage_of,
)
from twin_core.collect.links import read_links
from twin_core.records import Author
from twin_core.store.keys import KeyHolder
from twin_core.writing.write import Brief, Delta, Draft, Event, Revision, Sources, Written, stream_drafts

_EXAMPLES = [
    Example(summary="A post", value={"kind": "post", "brief": "Why I restore a backup every month"}),
    Example(
        summary="Two drafts of an article with a page as extra knowledge, streamed",
        value={
            "kind": "article",
            "brief": "What changed in queues on Postgres, and what I would still do by hand",
            "links": ["https://www.postgresql.org/docs/current/sql-select.html"],
            "drafts": 2,
            "words": 700,
            "stream": True,
        },
    ),
    Example(
        summary="A revision",
        value={"revise": "0198a3f0-0000-7000-8000-000000000000", "instruction": "shorter, drop the second example"},
    ),
]
_BROKE_OFF = "The language model broke off. What it wrote so far is here; ask again for the rest."


class WriteController(Controller):
    """Drafts from the author's own writing."""

    path = "/v1/write"
    tags = ("write",)
    guards = (requires("write"),)

    @post(
        "/",
        status_code=200,
        operation_class=WriteOrStream,
        summary="Write a draft, or revise one",
        responses=ERRORS | NOT_FOUND | BROKE_OFF | ONCE,
    )
    async def write(
        self,
        data: Annotated[WriteRequest, Body(examples=_EXAMPLES)],
        request: Request[Any, Any, Any],
        holder: KeyHolder,
        author: Author,
        services: Services,
    ) -> WriteResponse | Response[Any]:
        """Drafts with their citations. With `stream` it is `text/event-stream`, ending with `done` and all of it."""
        _check(data)
        await check_tokens(services, holder)
        name = str(holder.key_id)
        services.slots.acquire(name)
        asked = len(data.brief or "") + len(data.instruction or "")
        events = metered(_events(data, author, services), services, holder, asked)
        stream = WriteStream(
            events=events,
            heartbeat=services.limits.heartbeat_seconds,
            on_close=lambda: services.slots.release(name),
        )
        try:
            await services.embedder_ready()
            if not data.stream:
                async with aclosing(stream):
                    return _whole(await unless_gone(request, _last(events)))
            # Links and passages are read before the headers go out: what fails until then is a problem response.
            await stream.start()
        except BaseException:
            await stream.aclose()
            raise
        return Stream(stream.frames(), headers=HEADERS, background=BackgroundTask(stream.aclose))


def _check(data: WriteRequest) -> None:
    new, change = (data.kind, data.brief), (data.revise, data.instruction)
    if not ((None not in new and change == (None, None)) or (None not in change and new == (None, None))):
        raise ValidationException("Send `kind` and `brief` for something new, or `revise` and `instruction`.")
    if data.revise is not None and (
        data.links or data.words is not None or data.drafts != 1 or data.retrieval is not None
    ):
        raise ValidationException("A revision keeps the links of its draft: send `revise` and `instruction` alone.")


async def _events(data: WriteRequest, author: Author, services: Services) -> AsyncGenerator[Event]:
    asked: Brief | Revision
    if data.revise is not None:
        asked = Revision(trace_id=data.revise, instruction=data.instruction or "")
    else:
        assert data.kind is not None
        links = await asyncio.to_thread(read_links, data.links, services.settings)
        asked = Brief(
            kind=data.kind,
            text=data.brief or "",
            links=links,
            drafts=data.drafts,
            words=data.words,
            retrieval=data.retrieval,
        )
    drafts = stream_drafts(services.database, author, asked, settings=services.settings, chat=services.chat)
    async with aclosing(drafts) as events:
        async for event in events:
            yield event


async def _last(events: AsyncGenerator[Event]) -> Written:
    async for event in events:
        if isinstance(event, Written):
            return event
    raise AssertionError("a stream ends with what was written")


def _whole(written: Written) -> WriteResponse:
    if all(draft.outcome == "failed" for draft in written.drafts):
        raise HTTPException(
            f"The language model broke off in the middle of its draft. Ask again. (trace {written.drafts[0].trace_id})",
            status_code=HTTPStatus.BAD_GATEWAY,
        )
    return WriteResponse.of(written)


@dataclass(slots=True, kw_only=True)
class WriteStream(EventStream[Event]):
    """Drafts as named events."""

    id: str = field(default_factory=lambda: f"write-{uuid4().hex}")

    def frames_of(self, event: Event) -> Iterable[bytes]:
        """Sources first, text as it comes, the cost of each draft, all of it at the end."""
        if isinstance(event, Sources):
            citations = [CitationView.of(one) for one in event.citations]
            links = [LinkView.of(one) for one in event.links]
            yield _frame("sources", SourcesEvent(citations=citations, links=links, notices=list(event.notices)))
        elif isinstance(event, Delta):
            yield _frame("delta", DeltaEvent(draft=event.draft, text=event.text))
        elif isinstance(event, Draft):
            cost = UsageEvent(draft=event.number, trace_id=event.trace_id, outcome=event.outcome, usage=usage_of(event))
            yield _frame("usage", cost)
        else:
            if event.outcome == "failed":
                yield _frame("error", ErrorEvent(detail=_BROKE_OFF))
            yield _frame("done", WriteResponse.of(event))

    def broken(self) -> Iterable[bytes]:
        """Without `done`: nobody can say what is there."""
        yield _frame("error", ErrorEvent(detail=f"Something went wrong on our side ({self.id}). Ask again."))


def _frame(name: str, value: object) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n"
