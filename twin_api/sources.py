"""`/v1/sources`: where the author writes, how each place stands, how its items ended, and when it is collected.

What a standing is and when an alarm is raised is decided in `twin_core.collect`. The API collects nothing itself: it
writes when a source is due, or a request, and a sensor of Dagster's acts on either.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, patch, post
from litestar.params import Parameter
from litestar.status_codes import HTTP_202_ACCEPTED
from msgspec import UNSET
from sqlalchemy import Connection

from twin_api.auth import requires
from twin_api.limits import ITEMS_PER_PAGE
from twin_api.schemas import (
    ERRORS,
    NOT_FOUND,
    CollectRequestView,
    ItemList,
    ItemView,
    RunView,
    ScheduleView,
    SourceChange,
    SourceList,
    SourceView,
)
from twin_api.services import Services
from twin_core.collect.standing import standings
from twin_core.errors import InvalidInput, NotFound
from twin_core.records import Outcome, Source
from twin_core.store import authors, collect_requests, ledger
from twin_core.store.authors import source_by_id
from twin_core.store.database import Database
from twin_core.store.keys import KeyHolder
from twin_core.store.ledger import LedgerItem


class SourcesController(Controller):
    """The sources of the key's author."""

    path = "/v1/sources"
    tags = ("sources",)
    guards = (requires("read"),)

    @get("/", summary="List sources and how they stand", responses=ERRORS)
    async def sources(self, holder: KeyHolder, services: Services) -> SourceList:
        """Coverage against each source's own count, last success, next run, and alarms."""
        return await asyncio.to_thread(_sources, services.database, holder.author_id)

    @get("/{source_id:uuid}/items", summary="How the items of a source ended", responses=ERRORS | NOT_FOUND)
    async def items(
        self,
        *,
        source_id: UUID,
        holder: KeyHolder,
        services: Services,
        outcome: Annotated[list[Outcome] | None, Parameter(description="Only these; again for more.")] = None,
        limit: Annotated[int, Parameter(ge=1, le=ITEMS_PER_PAGE)] = 100,
        cursor: Annotated[
            str | None, Parameter(max_length=6_000, description="`next_cursor` of the page before.")
        ] = None,
    ) -> ItemList:
        """Every item of the last run with its outcome and the reason for it, what failed first."""
        return await asyncio.to_thread(
            _items, services.database, holder.author_id, source_id, outcome or [], limit=limit, cursor=cursor
        )


class SourceChangesController(Controller):
    """When the sources of the key's author are collected."""

    path = "/v1/sources/{source_id:uuid}"
    tags = ("sources",)
    guards = (requires("write"),)

    @patch("/", summary="Change when a source is collected", responses=ERRORS | NOT_FOUND)
    async def change(self, source_id: UUID, data: SourceChange, holder: KeyHolder, services: Services) -> ScheduleView:
        """Its schedule, and whether it is paused. What is left out stays as it is; `schedule: null` takes it off."""
        return await asyncio.to_thread(_change, services.database, holder.author_id, source_id, data)

    @post(
        "/collect",
        status_code=HTTP_202_ACCEPTED,
        summary="Ask that a source be collected now",
        responses=ERRORS | NOT_FOUND,
    )
    async def collect(self, source_id: UUID, holder: KeyHolder, services: Services) -> Response[CollectRequestView]:
        """Also one that is paused or has no schedule. The request says when it is fulfilled, and by which run."""
        found = await asyncio.to_thread(_collect, services.database, holder.author_id, source_id)
        where = f"/v1/sources/{source_id}/collect/{found.id}"
        return Response(found, status_code=HTTP_202_ACCEPTED, headers={"Location": where})

    @get("/collect/{request_id:uuid}", summary="State of a request to collect", responses=ERRORS | NOT_FOUND)
    async def collecting(
        self, source_id: UUID, request_id: UUID, holder: KeyHolder, services: Services
    ) -> CollectRequestView:
        """`done` when a collection that began after the request has ended."""
        return await asyncio.to_thread(_collecting, services.database, holder.author_id, source_id, request_id)


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Where a page ended. It names its run, so that a run that starts meanwhile does not mix two ledgers."""

    run_id: UUID
    outcome: Outcome
    native_id: str


def _sources(database: Database, author_id: UUID) -> SourceList:
    with database.as_author(author_id) as conn:
        there = standings(conn, datetime.now(UTC), author_id)
    return SourceList(sources=[SourceView.of(one) for one in there])


def _items(
    database: Database, author_id: UUID, source_id: UUID, outcomes: list[Outcome], *, limit: int, cursor: str | None
) -> ItemList:
    with database.as_author(author_id) as conn:
        if source_by_id(conn, source_id).author_id != author_id:
            raise NotFound(f"There is no source {source_id} of this key's author.")
        before = None if cursor is None else _read(cursor)
        runs = ledger.latest_runs(conn, source_id, limit=1)
        if before is not None:
            runs = [run for run in ledger.latest_runs(conn, source_id, limit=100) if run.id == before.run_id]
            if not runs:
                raise InvalidInput("The `cursor` is of another source, or its run is long past. Start without one.")
        if not runs:
            return ItemList(run=None, items=[], next_cursor=None)
        after = None if before is None else _mark(before)
        found = ledger.items_of_run(conn, runs[0].id, outcomes=outcomes, limit=limit + 1, after=after)
    page, more = found[:limit], len(found) > limit
    return ItemList(
        run=RunView.of(runs[0]),
        items=[ItemView.of(item) for item in page],
        next_cursor=_written(runs[0].id, page[-1]) if more else None,
    )


def _mark(cursor: _Cursor) -> LedgerItem:
    return LedgerItem(native_id=cursor.native_id, location="", outcome=cursor.outcome, at=datetime.now(UTC))


def _written(run_id: UUID, last: LedgerItem) -> str:
    cursor = _Cursor(run_id=run_id, outcome=last.outcome, native_id=last.native_id)
    return urlsafe_b64encode(msgspec.json.encode(cursor)).decode("ascii")


def _read(cursor: str) -> _Cursor:
    try:
        return msgspec.json.decode(urlsafe_b64decode(cursor), type=_Cursor)
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidInput(
            "This `cursor` is none of ours. Take `next_cursor` as it came, or start without one."
        ) from error


def _change(database: Database, author_id: UUID, source_id: UUID, data: SourceChange) -> ScheduleView:
    if data.schedule is UNSET and data.paused is UNSET:
        raise InvalidInput("Nothing to change: send `schedule`, `paused` or both.")
    with database.as_author(author_id) as conn:
        source = _own(conn, author_id, source_id)
        if data.schedule is not UNSET:
            source = authors.set_schedule(conn, source_id, data.schedule, datetime.now(UTC))
        if data.paused is not UNSET:
            source = authors.pause_source(conn, source_id, paused=data.paused)
    return ScheduleView.of(source)


def _collect(database: Database, author_id: UUID, source_id: UUID) -> CollectRequestView:
    with database.as_author(author_id) as conn:
        _own(conn, author_id, source_id)
        return CollectRequestView.of(
            collect_requests.request_collection(conn, author_id=author_id, source_id=source_id)
        )


def _collecting(database: Database, author_id: UUID, source_id: UUID, request_id: UUID) -> CollectRequestView:
    with database.as_author(author_id) as conn:
        return CollectRequestView.of(collect_requests.collect_request(conn, author_id, source_id, request_id))


def _own(conn: Connection, author_id: UUID, source_id: UUID) -> Source:
    source = authors.source_by_id(conn, source_id)
    if source.author_id != author_id:  # row-level security sees to it already
        raise NotFound(f"There is no source {source_id} of this key's author.")
    return source
