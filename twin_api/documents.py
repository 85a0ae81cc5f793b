"""`/v1/documents` and `/v1/forget-requests`: what there is of the author, and asking that some of it be forgotten.

The API only writes the request. A sensor of Dagster's has it carried out, store by store, and the request then shows the receipt.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from litestar import Controller, Response, delete, get
from litestar.params import Parameter
from litestar.status_codes import HTTP_202_ACCEPTED

from twin_api.auth import requires
from twin_api.limits import DOCUMENTS_PER_PAGE
from twin_api.operations import ONCE, Write
from twin_api.paging import Cursor
from twin_api.schemas import (
    ERRORS,
    NOT_FOUND,
    DocumentDetail,
    DocumentList,
    DocumentView,
    ForgetRequestView,
)
from twin_api.services import Services
from twin_core.records import Category
from twin_core.store import documents, purging
from twin_core.store.database import Database
from twin_core.store.keys import KeyHolder

State = Literal["live", "gone", "merged"]
_LISTING = "documents"


class DocumentsController(Controller):
    """The documents of the key's author."""

    path = "/v1/documents"
    tags = ("documents",)
    guards = (requires("read"),)

    @get("/", summary="List documents", responses=ERRORS)
    async def documents(
        self,
        *,
        holder: KeyHolder,
        services: Services,
        category: Category | None = None,
        source_id: UUID | None = None,
        document_state: Annotated[State, Parameter(query="state")] = "live",
        containing: Annotated[
            str | None, Parameter(query="q", max_length=500, description="Words of its title, address or item name.")
        ] = None,
        limit: Annotated[int, Parameter(ge=1, le=DOCUMENTS_PER_PAGE)] = 50,
        cursor: Cursor = None,
    ) -> DocumentList:
        """Latest written first, page by page."""
        return await asyncio.to_thread(
            _page,
            services,
            holder.author_id,
            limit,
            category=category,
            source_id=source_id,
            state=document_state,
            containing=containing,
            cursor=cursor,
        )

    @get("/{document_id:uuid}", summary="One document with where it comes from", responses=ERRORS | NOT_FOUND)
    async def document(self, document_id: UUID, holder: KeyHolder, services: Services) -> DocumentDetail:
        """Its locations, why each belongs to it, which one its text is from, and its revisions."""
        return await asyncio.to_thread(_detail, services.database, holder.author_id, document_id)

    @delete(
        "/{document_id:uuid}",
        status_code=HTTP_202_ACCEPTED,
        guards=[requires("write")],
        summary="Ask that a document be forgotten",
        operation_class=Write,
        responses=ERRORS | NOT_FOUND | ONCE,
    )
    async def forget(self, document_id: UUID, holder: KeyHolder, services: Services) -> Response[ForgetRequestView]:
        """Forgets it everywhere and for good, soon; `/v1/forget-requests/{id}` says how far it is and gives the receipt."""
        found = await asyncio.to_thread(_ask, services.database, holder.author_id, document_id)
        return Response(found, status_code=HTTP_202_ACCEPTED, headers={"Location": f"/v1/forget-requests/{found.id}"})


class ForgetRequestsController(Controller):
    """What has become of requests to forget."""

    path = "/v1/forget-requests"
    tags = ("documents",)
    guards = (requires("read"),)

    @get("/{request_id:uuid}", summary="State and receipt of a request", responses=ERRORS | NOT_FOUND)
    async def request(self, request_id: UUID, holder: KeyHolder, services: Services) -> ForgetRequestView:
        """`done` with a receipt that counts every store before and after; the counts after are zero."""
        return await asyncio.to_thread(_request, services.database, holder.author_id, request_id)


def _page(
    services: Services,
    author_id: UUID,
    limit: int,
    *,
    category: Category | None,
    source_id: UUID | None,
    state: State,
    containing: str | None,
    cursor: str | None,
) -> DocumentList:
    after = services.pager.read(_LISTING, author_id, cursor, tuple[datetime, UUID])
    with services.database.as_author(author_id) as conn:
        rows = documents.page_of_documents(
            conn,
            author_id,
            category=category,
            source_id=source_id,
            state=state,
            containing=containing or None,
            after=after,
            limit=limit + 1,
        )
    page, further = services.pager.cut(_LISTING, author_id, rows, limit, lambda one: (one.listed_at, one.id))
    return DocumentList(documents=[DocumentView.of(row) for row in page], next_cursor=further)


def _detail(database: Database, author_id: UUID, document_id: UUID) -> DocumentDetail:
    with database.as_author(author_id) as conn:
        return DocumentDetail.of(documents.lineage(conn, author_id, document_id))


def _ask(database: Database, author_id: UUID, document_id: UUID) -> ForgetRequestView:
    with database.as_author(author_id) as conn:
        documents.lineage(conn, author_id, document_id)  # raises NotFound
        request_id = purging.ask_to_forget(conn, author_id=author_id, document_id=document_id)
        return ForgetRequestView.of(purging.request_state(conn, author_id, request_id))


def _request(database: Database, author_id: UUID, request_id: UUID) -> ForgetRequestView:
    with database.as_author(author_id) as conn:
        return ForgetRequestView.of(purging.request_state(conn, author_id, request_id))
