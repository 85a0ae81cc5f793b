"""`/v1/collect`: asking that sources be collected now, and watching it happen, polled or as a stream of events.

The API collects nothing: it writes requests, and a sensor of Dagster's acts on them. What a run has written so far is read
from the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.openapi.spec import Example
from litestar.params import Body, Parameter
from litestar.response import Stream
from litestar.status_codes import HTTP_202_ACCEPTED
from sqlalchemy import Connection

from twin_api.auth import requires
from twin_api.collect_schemas import (
    CollectAnswer,
    CollectDetail,
    CollectList,
    CollectRequestBody,
    CollectView,
    ItemsEvent,
)
from twin_api.limits import ITEMS_PER_PAGE
from twin_api.operations import ONCE, Events, Write
from twin_api.paging import LONGEST_CURSOR, SHAPE, Cursor, Pager
from twin_api.schemas import ERRORS, NOT_FOUND, ItemView
from twin_api.services import Services
from twin_api.streaming import HEADERS, EventStream
from twin_core.errors import InvalidInput
from twin_core.store import authors, collect_requests, ledger
from twin_core.store.collect_requests import CollectRequest
from twin_core.store.database import Database
from twin_core.store.keys import KeyHolder
from twin_core.store.ledger import Run

LATEST = 20
"""Ledger rows beside a request."""
WATCHED = 100
"""Requests in one stream."""
_LISTING, _STREAM = "collect", "collect events"
_EXAMPLES = [
    Example(summary="Everything that is not paused", value={}),
    Example(summary="One source", value={"source_ids": ["5e0a3c1e-2f0f-5b53-9d57-0d0f9a3b7c11"]}),
]

Marks = dict[str, tuple[datetime, str]]
"""Request id -> time and native id of the last row that was sent of it."""


class CollectController(Controller):
    """Collection of the key's author's sources."""

    path = "/v1/collect"
    tags = ("sources",)
    guards = (requires("read"),)

    @post(
        "/",
        status_code=HTTP_202_ACCEPTED,
        guards=[requires("write")],
        operation_class=Write,
        summary="Ask that sources be collected now",
        responses=ERRORS | NOT_FOUND | ONCE,
    )
    async def collect(
        self, data: Annotated[CollectRequestBody, Body(examples=_EXAMPLES)], holder: KeyHolder, services: Services
    ) -> CollectAnswer:
        """One request per source; asking again while one is open is that one. `/v1/collect/events` shows the ledger."""
        return await asyncio.to_thread(_ask, services.database, holder.author_id, data.source_ids)

    @get("/", summary="List requests to collect", responses=ERRORS)
    async def requests(
        self,
        *,
        holder: KeyHolder,
        services: Services,
        request_state: Annotated[Literal["requested", "done"] | None, Parameter(query="state")] = None,
        limit: Annotated[int, Parameter(ge=1, le=ITEMS_PER_PAGE)] = 50,
        cursor: Cursor = None,
    ) -> CollectList:
        """The latest first, each with the counts of its run up to now."""
        return await asyncio.to_thread(_page, services, holder.author_id, request_state, limit, cursor)

    @get("/{request_id:uuid}", summary="How far a request is", responses=ERRORS | NOT_FOUND)
    async def request(self, request_id: UUID, holder: KeyHolder, services: Services) -> CollectDetail:
        """With the rows of the ledger that were written last."""
        return await asyncio.to_thread(_detail, services.database, holder.author_id, request_id)

    @get(
        "/events",
        summary="Watch requests to collect",
        operation_class=Events,
        responses=ERRORS | NOT_FOUND,
        media_type="text/event-stream",
    )
    async def events(
        self,
        *,
        holder: KeyHolder,
        services: Services,
        request_id: Annotated[
            list[UUID] | None,
            Parameter(max_items=WATCHED, description="These; again for more. None: those that are open now."),
        ] = None,
        last_event_id: Annotated[
            str | None,
            Parameter(
                header="Last-Event-ID", max_length=LONGEST_CURSOR, pattern=SHAPE, description="The `id` that came last."
            ),
        ] = None,
    ) -> Response[Any]:
        """Events `state` when a request changed, `items` as rows are written, `done` when all have ended.

        The stream ends after half an hour at the latest; going on with `Last-Event-ID` repeats nothing.
        """
        author_id = holder.author_id
        marks = services.pager.read(_STREAM, author_id, last_event_id, Marks) or {}
        watched = await asyncio.to_thread(_watched, services.database, author_id, request_id)
        name = str(holder.key_id)
        services.watching.acquire(name)
        stream = WatchStream(
            events=_events(services, author_id, watched, marks),
            heartbeat=services.limits.heartbeat_seconds,
            on_close=lambda: services.watching.release(name),
            pager=services.pager,
            author_id=author_id,
        )
        try:
            await stream.start()
        except BaseException:
            await stream.aclose()
            raise
        return Stream(stream.frames(), headers=HEADERS, background=BackgroundTask(stream.aclose))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of the ledger, and where all of the requests are after them."""

    event: ItemsEvent
    marks: Marks


_Event = CollectView | _Rows


@dataclass(slots=True, kw_only=True)
class WatchStream(EventStream[_Event]):
    """Requests and their ledger as named events."""

    pager: Pager
    author_id: UUID
    id: str = field(default_factory=lambda: f"collect-{uuid4().hex}")

    def frames_of(self, event: _Event) -> Iterable[bytes]:
        """A state, or rows with the id to go on from."""
        if isinstance(event, CollectView):
            yield _frame("state", event)
        else:
            yield _frame("items", event.event, self.pager.written(_STREAM, self.author_id, event.marks))

    def closing(self) -> Iterable[bytes]:
        """All have ended, or this stream has lasted long enough."""
        yield _frame("done", {})

    def broken(self) -> Iterable[bytes]:
        """Something of ours broke."""
        yield _frame("error", {"detail": f"Something went wrong on our side ({self.id}). Connect again."})


def _frame(name: str, value: object, event_id: str | None = None) -> bytes:
    head = b"" if event_id is None else b"id: " + event_id.encode() + b"\n"
    return head + b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n"


async def _events(services: Services, author_id: UUID, watched: list[UUID], marks: Marks) -> AsyncGenerator[_Event]:
    shown: dict[UUID, CollectView] = {}
    until = monotonic() + services.limits.watch_seconds
    while True:
        # State before rows: when it says `done`, the rows read after it are all there are.
        views = await asyncio.to_thread(_look, services.database, author_id, watched)
        for view in views:
            if shown.get(view.id) != view:
                shown[view.id] = view
                yield view
            async for rows in _rows(services, author_id, view, marks):
                yield rows
        if all(view.state == "done" for view in views) or monotonic() >= until:
            return
        await asyncio.sleep(services.limits.watch_interval_seconds)


async def _rows(services: Services, author_id: UUID, view: CollectView, marks: Marks) -> AsyncGenerator[_Rows]:
    while view.run is not None:
        after = marks.get(str(view.id))
        items = await asyncio.to_thread(_items, services.database, author_id, view.run.id, after)
        if not items:
            return
        marks[str(view.id)] = (items[-1].at, items[-1].native_id)
        yield _Rows(ItemsEvent(request_id=view.id, items=items), dict(marks))


def _ask(database: Database, author_id: UUID, source_ids: list[UUID]) -> CollectAnswer:
    with database.as_author(author_id) as conn:
        sources = [one for one in authors.list_sources(conn, author_id) if one.id in source_ids or not source_ids]
        if missing := set(source_ids) - {one.id for one in sources}:
            authors.source_of(conn, author_id, min(missing))  # raises NotFound
        if not source_ids:
            sources = [one for one in sources if not one.paused]
        if not sources:
            raise InvalidInput("There is nothing to collect: no source that is not paused. Add one: POST /v1/sources.")
        asked = [collect_requests.request_collection(conn, author_id=author_id, source_id=one.id) for one in sources]
        return CollectAnswer(requests=_views(conn, author_id, asked))


def _page(
    services: Services, author_id: UUID, state: Literal["requested", "done"] | None, limit: int, cursor: str | None
) -> CollectList:
    after = services.pager.read(_LISTING, author_id, cursor, tuple[datetime, UUID])
    with services.database.as_author(author_id) as conn:
        rows = collect_requests.page_of_collections(conn, author_id, state=state, after=after, limit=limit + 1)
        page, further = services.pager.cut(_LISTING, author_id, rows, limit, lambda one: (one.requested_at, one.id))
        return CollectList(requests=_views(conn, author_id, page), next_cursor=further)


def _detail(database: Database, author_id: UUID, request_id: UUID) -> CollectDetail:
    with database.as_author(author_id) as conn:
        request = collect_requests.collect_request(conn, author_id, request_id)
        (view,) = _views(conn, author_id, [request])
        latest = [] if view.run is None else ledger.latest_items(conn, author_id, view.run.id, limit=LATEST)
    return CollectDetail(request=view, latest=[ItemView.of(one) for one in latest])


def _watched(database: Database, author_id: UUID, request_ids: list[UUID] | None) -> list[UUID]:
    with database.as_author(author_id) as conn:
        if request_ids:
            return [collect_requests.collect_request(conn, author_id, one).id for one in dict.fromkeys(request_ids)]
        there = collect_requests.page_of_collections(conn, author_id, state="requested", limit=WATCHED)
    return [one.id for one in there]


def _look(database: Database, author_id: UUID, request_ids: list[UUID]) -> list[CollectView]:
    with database.as_author(author_id) as conn:
        return _views(conn, author_id, collect_requests.collections_of(conn, author_id, request_ids))


def _items(database: Database, author_id: UUID, run_id: UUID, after: tuple[datetime, str] | None) -> list[ItemView]:
    with database.as_author(author_id) as conn:
        found = ledger.items_since(conn, author_id, run_id, after=after, limit=ITEMS_PER_PAGE)
    return [ItemView.of(one) for one in found]


def _views(conn: Connection, author_id: UUID, requests: Sequence[CollectRequest]) -> list[CollectView]:
    sources = {one.id: one for one in authors.list_sources(conn, author_id)}
    runs: dict[UUID, Run] = ledger.runs_for(conn, author_id, requests)
    return [CollectView.of(one, sources[one.source_id], runs.get(one.id)) for one in requests]
