"""The shapes of `/v1/collect`: what is asked for, how far it is, and the events of its stream."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from twin_api.schemas import ItemView, RunView
from twin_core.records import Source
from twin_core.store.collect_requests import CollectRequest
from twin_core.store.ledger import Run


class CollectRequestBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """What to collect."""

    source_ids: Annotated[
        list[UUID],
        Meta(max_length=100, description="Empty: every source that is not paused. Named: also a paused one."),
    ] = []


class CollectView(Struct, kw_only=True):
    """A request to collect a source, and how far it is."""

    id: UUID
    source_id: UUID
    platform: str
    locator: str
    state: Annotated[
        Literal["requested", "collecting", "done"],
        Meta(description="`requested`: no run has begun; `collecting`: one is at work, `run` counts its items so far."),
    ]
    requested_at: datetime
    finished_at: datetime | None
    run: RunView | None

    @classmethod
    def of(cls, request: CollectRequest, source: Source, run: Run | None) -> CollectView:
        """The request as the API shows it."""
        done = request.state == "done"
        return cls(
            id=request.id,
            source_id=request.source_id,
            platform=source.platform,
            locator=source.locator,
            state="done" if done else "collecting" if run is not None and run.finished_at is None else "requested",
            requested_at=request.requested_at,
            finished_at=request.finished_at,
            run=None if run is None else RunView.of(run),
        )


class CollectList(Struct, kw_only=True):
    """Requests, the latest first."""

    requests: list[CollectView]
    next_cursor: str | None


class CollectAnswer(Struct, kw_only=True):
    """What was asked for."""

    requests: list[CollectView]


class CollectDetail(Struct, kw_only=True):
    """One request with what was written last in the ledger of its run."""

    request: CollectView
    latest: Annotated[list[ItemView], Meta(description="The items that ended last, the latest first.")]


class ItemsEvent(Struct, kw_only=True):
    """Event `items`: rows of the ledger as they are written."""

    request_id: UUID
    items: list[ItemView]
