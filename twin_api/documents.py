"""`/v1/documents` and `/v1/forget-requests`: what there is of the author, and asking that some of it be forgotten.

The API only writes the request. A sensor of Dagster's has it carried out, store by store, and the request then shows the receipt.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get
from litestar.params import Parameter
from litestar.status_codes import HTTP_202_ACCEPTED

from twin_api.auth import requires
from twin_api.limits import DOCUMENTS_PER_PAGE
from twin_api.schemas import (
    ERRORS,
    NOT_FOUND,
    DocumentDetail,
    DocumentList,
    DocumentView,
    ForgetRequestView,
)
from twin_api.services import Services
from twin_core.errors import InvalidInput
from twin_core.records import Category
from twin_core.store import documents, purging
from twin_core.store.database import Database
from twin_core.store.keys import KeyHolder

State = Literal["live", "gone", "merged"]


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
        cursor: Annotated[
            str | None, Parameter(max_length=500, description="`next_cursor` of the page before.")
        ] = None,
    ) -> DocumentList:
        """Latest written first, page by page."""
        return await asyncio.to_thread(
            _page,
            services.database,
            holder.author_id,
            limit,
            category=category,
            source_id=source_id,
            state=document_state,
            containing=containing,
            after=None if cursor is None else _read(cursor),
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
        responses=ERRORS | NOT_FOUND,
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


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Where a page ended."""

    listed_at: Annotated[datetime, msgspec.Meta(tz=True)]
    document_id: UUID


def _page(
    database: Database,
    author_id: UUID,
    limit: int,
    *,
    category: Category | None,
    source_id: UUID | None,
    state: State,
    containing: str | None,
    after: tuple[datetime, UUID] | None,
) -> DocumentList:
    with database.as_author(author_id) as conn:
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
    page, more = rows[:limit], len(rows) > limit
    return DocumentList(
        documents=[DocumentView.of(row) for row in page],
        next_cursor=_written(page[-1].listed_at, page[-1].id) if more else None,
    )


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


def _written(listed_at: datetime, document_id: UUID) -> str:
    cursor = _Cursor(listed_at=listed_at, document_id=document_id)
    return urlsafe_b64encode(msgspec.json.encode(cursor)).decode("ascii")


def _read(cursor: str) -> tuple[datetime, UUID]:
    try:
        found = msgspec.json.decode(urlsafe_b64decode(cursor), type=_Cursor)
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidInput(
            "This `cursor` is none of ours. Take `next_cursor` as it came, or start without one."
        ) from error
    return found.listed_at, found.document_id
