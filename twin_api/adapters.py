"""`/v1/adapters`: what was trained of the author, deciding on it, and going back.

A decision is written and carried out by a sensor of Dagster's, which judges the evidence again. Going back is one statement
and takes effect with the next answer. Both need the scope `admin`: they change what the twin says.
"""

from __future__ import annotations

import asyncio
from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.openapi.spec import Example
from litestar.params import Body, Parameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from twin_api.auth import requires
from twin_api.limits import ADAPTERS_PER_PAGE
from twin_api.operations import ONCE, Write
from twin_api.paging import Cursor
from twin_api.schemas import (
    ERRORS,
    NOT_FOUND,
    AdapterList,
    AdapterView,
    ApproveRequest,
    DecisionView,
    RejectRequest,
    ServingView,
)
from twin_api.services import Services
from twin_core.champion.judging import judge, require
from twin_core.store import adapters, registry
from twin_core.store.database import Database
from twin_core.store.keys import KeyHolder

_LISTING = "adapters"
_APPROVE = [
    Example(summary="It is better", value={}),
    Example(
        summary="A person's word where the evidence is thin", value={"reason": "read twenty drafts, they are hers"}
    ),
]
_REJECT = [Example(summary="Not this one", value={"reason": "it opens every post with a question"})]
AdapterId = Annotated[str, Parameter(max_length=100)]


class AdaptersController(Controller):
    """The adapters of the key's author."""

    path = "/v1/adapters"
    tags = ("adapters",)
    guards = (requires("read"),)

    @get("/", summary="List adapters, what the promotion rule says of each, and which one serves", responses=ERRORS)
    async def adapters(
        self,
        *,
        holder: KeyHolder,
        services: Services,
        limit: Annotated[int, Parameter(ge=1, le=ADAPTERS_PER_PAGE)] = ADAPTERS_PER_PAGE,
        cursor: Cursor = None,
    ) -> AdapterList:
        """The newest version first."""
        return await asyncio.to_thread(_adapters, services, holder.author_id, limit, cursor)

    @post(
        "/{adapter_id:str}/approve",
        status_code=HTTP_202_ACCEPTED,
        guards=[requires("admin")],
        operation_class=Write,
        summary="Approve an adapter",
        responses=ERRORS | NOT_FOUND | ONCE,
    )
    async def approve(
        self,
        adapter_id: AdapterId,
        data: Annotated[ApproveRequest, Body(examples=_APPROVE)],
        holder: KeyHolder,
        services: Services,
    ) -> Response[DecisionView]:
        """Refused at once where the rule says no. Else it serves soon; `/v1/adapters/decisions/{id}` says how far it is."""
        return _accepted(
            await asyncio.to_thread(_decide, services.database, holder, adapter_id, "approve", data.reason)
        )

    @post(
        "/{adapter_id:str}/reject",
        status_code=HTTP_202_ACCEPTED,
        guards=[requires("admin")],
        operation_class=Write,
        summary="Reject an adapter",
        responses=ERRORS | NOT_FOUND | ONCE,
    )
    async def reject(
        self,
        adapter_id: AdapterId,
        data: Annotated[RejectRequest, Body(examples=_REJECT)],
        holder: KeyHolder,
        services: Services,
    ) -> Response[DecisionView]:
        """Recorded with its reason; an approval that was not carried out yet is overruled."""
        return _accepted(await asyncio.to_thread(_decide, services.database, holder, adapter_id, "reject", data.reason))

    @get("/decisions/{decision_id:uuid}", summary="What has become of a decision", responses=ERRORS | NOT_FOUND)
    async def decision(self, decision_id: UUID, holder: KeyHolder, services: Services) -> DecisionView:
        """`requested`, `done`, or `refused` with the reasons of the rule."""
        return await asyncio.to_thread(_decision, services.database, holder.author_id, decision_id)

    @post(
        "/rollback",
        status_code=HTTP_200_OK,
        guards=[requires("admin")],
        operation_class=Write,
        summary="Let the adapter that served before serve again",
        responses=ERRORS | NOT_FOUND | ONCE,
    )
    async def rollback(self, holder: KeyHolder, services: Services) -> ServingView:
        """At once. From the first adapter it goes back to the base model."""
        return await asyncio.to_thread(_go_back, services.database, holder)


def _accepted(found: DecisionView) -> Response[DecisionView]:
    where = f"/v1/adapters/decisions/{found.id}"
    return Response(found, status_code=HTTP_202_ACCEPTED, headers={"Location": where})


def _adapters(services: Services, author_id: UUID, limit: int, cursor: str | None) -> AdapterList:
    before = services.pager.read(_LISTING, author_id, cursor, int)
    with services.database.as_author(author_id) as conn:
        there = registry.deployments(conn, author_id)
        found = adapters.list_adapters(conn, author_id, before=before, limit=limit + 1)
        page, further = services.pager.cut(_LISTING, author_id, found, limit, lambda one: one.version)
        return AdapterList(
            adapters=[
                AdapterView.of(one, judge(conn, author_id, one), [d for d in there if d.adapter_id == one.id])
                for one in page
            ],
            next_cursor=further,
        )


def _decide(
    database: Database, holder: KeyHolder, adapter_id: str, verdict: registry.Verdict, reason: str | None
) -> DecisionView:
    with database.as_author(holder.author_id) as conn:
        adapter = adapters.adapter_by_id(conn, holder.author_id, adapter_id)
        if verdict == "approve":
            require(judge(conn, holder.author_id, adapter), reason)
        made = registry.decide(
            conn,
            author_id=holder.author_id,
            adapter_id=adapter.id,
            verdict=verdict,
            by=f"key {holder.key_id}",
            reason=reason,
        )
        return DecisionView.of(registry.approval(conn, holder.author_id, made))


def _decision(database: Database, author_id: UUID, decision_id: UUID) -> DecisionView:
    with database.as_author(author_id) as conn:
        return DecisionView.of(registry.approval(conn, author_id, decision_id))


def _go_back(database: Database, holder: KeyHolder) -> ServingView:
    with database.as_author(holder.author_id) as conn:
        now = registry.go_back(conn, holder.author_id, f"rolled back by key {holder.key_id}")
    return ServingView(
        adapter_id=now.adapter_id if now else None, served_name=now.served_name if now else "the base model"
    )
