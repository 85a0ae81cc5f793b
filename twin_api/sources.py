"""`/v1/sources`: where the author writes, how each place stands, and how its items ended. Reads only.

What a standing is and when an alarm is raised is decided in `twin_core.collect`.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.params import Parameter

from twin_api.auth import requires
from twin_api.limits import ITEMS_PER_PAGE
from twin_api.schemas import ERRORS, NOT_FOUND, ItemList, ItemView, RunView, SourceList, SourceView
from twin_api.services import Services
from twin_core.collect.standing import standings
from twin_core.errors import InvalidInput, NotFound
from twin_core.records import Outcome
from twin_core.store import ledger
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
