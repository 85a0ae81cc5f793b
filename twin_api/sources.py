"""`/v1/sources`: where the author writes, how each place stands, how its items ended, and when it is collected.

What a standing is and when an alarm is raised is decided in `twin_core.collect`. The API collects nothing itself: it
writes when a source is due, or a request, and a sensor of Dagster's acts on either.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, patch, post
from litestar.openapi.spec import Example
from litestar.params import Body, Parameter
from litestar.status_codes import HTTP_202_ACCEPTED
from msgspec import UNSET

from twin_api.auth import requires
from twin_api.limits import ITEMS_PER_PAGE, SOURCES_PER_PAGE
from twin_api.operations import ONCE, Write
from twin_api.paging import Cursor
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
from twin_api.source_schemas import NewSource
from twin_core.collect import proof
from twin_core.collect.guessing import platform_of
from twin_core.collect.registry import collector_for
from twin_core.collect.standing import standings
from twin_core.errors import InvalidInput, Refused
from twin_core.records import Consent, Outcome
from twin_core.settings import Settings
from twin_core.store import authors, collect_requests, ledger
from twin_core.store.database import Database
from twin_core.store.keys import KeyHolder
from twin_core.store.ledger import LedgerItem

_CHANGES = [
    Example(summary="Every morning at six", value={"schedule": "0 6 * * *"}),
    Example(summary="Leave it alone for now", value={"paused": True}),
]
_SOURCES, _ITEMS = "sources", "items"
_EXAMPLES = [
    Example(
        summary="A blog, every morning",
        value={"locator": "https://jane.example/blog", "schedule": "0 6 * * *", "mine": True},
    ),
    Example(
        summary="A repository, with a link back as proof",
        value={"platform": "git", "locator": "https://github.com/jane/tidewater", "rel_me": "https://jane.example"},
    ),
]


class SourcesController(Controller):
    """The sources of the key's author."""

    path = "/v1/sources"
    tags = ("sources",)
    guards = (requires("read"),)

    @get("/", summary="List sources and how they stand", responses=ERRORS)
    async def sources(
        self,
        *,
        holder: KeyHolder,
        services: Services,
        limit: Annotated[int, Parameter(ge=1, le=SOURCES_PER_PAGE)] = SOURCES_PER_PAGE,
        cursor: Cursor = None,
    ) -> SourceList:
        """Coverage against each source's own count, last success, next run, and alarms. The oldest first."""
        return await asyncio.to_thread(_sources, services, holder.author_id, limit, cursor)

    @post("/", guards=[requires("write")], operation_class=Write, summary="Add a source", responses=ERRORS | ONCE)
    async def add(
        self, data: Annotated[NewSource, Body(examples=_EXAMPLES)], holder: KeyHolder, services: Services
    ) -> ScheduleView:
        """A place on the web that the author writes in. With a schedule it is collected soon and from then on.

        It needs consent: `mine`, or a proof. A place that is there already stays as it is. Files are uploaded: `/v1/imports`.
        """
        return await asyncio.to_thread(_add, services.database, services.settings, holder, data)

    @get("/{source_id:uuid}/items", summary="How the items of a source ended", responses=ERRORS | NOT_FOUND)
    async def items(
        self,
        *,
        source_id: UUID,
        holder: KeyHolder,
        services: Services,
        outcome: Annotated[list[Outcome] | None, Parameter(description="Only these; again for more.")] = None,
        limit: Annotated[int, Parameter(ge=1, le=ITEMS_PER_PAGE)] = 100,
        cursor: Cursor = None,
    ) -> ItemList:
        """Every item of the last run with its outcome and the reason for it, what failed first."""
        return await asyncio.to_thread(
            _items, services, holder.author_id, source_id, outcome or [], limit=limit, cursor=cursor
        )


class SourceChangesController(Controller):
    """When the sources of the key's author are collected."""

    path = "/v1/sources/{source_id:uuid}"
    tags = ("sources",)
    guards = (requires("write"),)

    @patch("/", operation_class=Write, summary="Change when a source is collected", responses=ERRORS | NOT_FOUND | ONCE)
    async def change(
        self,
        source_id: UUID,
        data: Annotated[SourceChange, Body(examples=_CHANGES)],
        holder: KeyHolder,
        services: Services,
    ) -> ScheduleView:
        """Its schedule, and whether it is paused. What is left out stays as it is; `schedule: null` takes it off."""
        return await asyncio.to_thread(_change, services.database, holder.author_id, source_id, data)

    @post(
        "/collect",
        status_code=HTTP_202_ACCEPTED,
        operation_class=Write,
        summary="Ask that a source be collected now",
        responses=ERRORS | NOT_FOUND | ONCE,
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


def _sources(services: Services, author_id: UUID, limit: int, cursor: str | None) -> SourceList:
    after = services.pager.read(_SOURCES, author_id, cursor, UUID)
    with services.database.as_author(author_id) as conn:
        there = standings(conn, datetime.now(UTC), author_id)
    if after is not None:
        places = {one.source.id: place for place, one in enumerate(there)}
        there = there[places.get(after, -1) + 1 :]
    page, further = services.pager.cut(_SOURCES, author_id, there, limit, lambda one: one.source.id)
    return SourceList(sources=[SourceView.of(one) for one in page], next_cursor=further)


def _add(database: Database, settings: Settings, holder: KeyHolder, data: NewSource) -> ScheduleView:
    platform = data.platform or platform_of(data.locator)
    place = _on_the_web(platform, data, settings)
    proofs = [data.proof] if data.proof else []
    if data.rel_me:
        proofs.append(proof.by_link(data.rel_me, place, settings))
    consent = None
    if data.mine or proofs:
        consent = Consent(
            claimed_by=data.claimed_by or f"key {holder.key_id}",
            proof="; ".join(proofs) or f"claimed through the API with the key {holder.key_id}",
            claimed_at=datetime.now(UTC),
        )
    with database.as_author(holder.author_id) as conn:
        return ScheduleView.of(
            authors.add_source(
                conn,
                author_id=holder.author_id,
                platform=platform,
                locator=place,
                schedule=data.schedule,
                options=data.options,
                consent=consent,
                over=False,
            )
        )


def _on_the_web(platform: str, data: NewSource, settings: Settings) -> str:
    """The canonical locator. Raises Refused for what lies on the server: whoever has a key must not read its files."""
    locator = data.locator.strip()
    if platform == "folder" or locator.startswith(("/", ".", "~", "file:", "export:")):
        raise Refused("Through the API only places on the web can be added. Upload files instead: POST /v1/imports.")
    place = collector_for(platform).check(locator, data.options, settings)
    if not place.startswith(("https://", "http://")):
        raise Refused(f"{locator} is no address on the web. Give one that begins with https://.")
    return place


def _items(
    services: Services, author_id: UUID, source_id: UUID, outcomes: list[Outcome], *, limit: int, cursor: str | None
) -> ItemList:
    listing = f"{_ITEMS} {source_id}"
    with services.database.as_author(author_id) as conn:
        authors.source_of(conn, author_id, source_id)
        # A position names its run, so that a run that starts meanwhile does not mix two ledgers.
        before = services.pager.read(listing, author_id, cursor, tuple[UUID, Outcome, str])
        runs = ledger.latest_runs(conn, source_id, limit=1)
        if before is not None:
            runs = [run for run in ledger.latest_runs(conn, source_id, limit=100) if run.id == before[0]]
            if not runs:
                raise InvalidInput("The run of this `cursor` is long past. Start without one.")
        if not runs:
            return ItemList(run=None, items=[], next_cursor=None)
        after = None if before is None else _mark(before[1], before[2])
        found = ledger.items_of_run(conn, runs[0].id, outcomes=outcomes, limit=limit + 1, after=after)
    page, further = services.pager.cut(
        listing, author_id, found, limit, lambda one: (runs[0].id, one.outcome, one.native_id)
    )
    return ItemList(run=RunView.of(runs[0]), items=[ItemView.of(item) for item in page], next_cursor=further)


def _mark(outcome: Outcome, native_id: str) -> LedgerItem:
    return LedgerItem(native_id=native_id, location="", outcome=outcome, at=datetime.now(UTC))


def _change(database: Database, author_id: UUID, source_id: UUID, data: SourceChange) -> ScheduleView:
    if data.schedule is UNSET and data.paused is UNSET:
        raise InvalidInput("Nothing to change: send `schedule`, `paused` or both.")
    with database.as_author(author_id) as conn:
        source = authors.source_of(conn, author_id, source_id)
        if data.schedule is not UNSET:
            source = authors.set_schedule(conn, source_id, data.schedule, datetime.now(UTC))
        if data.paused is not UNSET:
            source = authors.pause_source(conn, source_id, paused=data.paused)
    return ScheduleView.of(source)


def _collect(database: Database, author_id: UUID, source_id: UUID) -> CollectRequestView:
    with database.as_author(author_id) as conn:
        authors.source_of(conn, author_id, source_id)
        return CollectRequestView.of(
            collect_requests.request_collection(conn, author_id=author_id, source_id=source_id)
        )


def _collecting(database: Database, author_id: UUID, source_id: UUID, request_id: UUID) -> CollectRequestView:
    with database.as_author(author_id) as conn:
        return CollectRequestView.of(collect_requests.collect_request(conn, author_id, request_id, source_id))
