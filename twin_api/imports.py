"""`/v1/imports`: an official export is uploaded, waits on the disk, and is imported by a run of Dagster's.

Here it is only received: what it is, and what of it is the author's, is decided by the run, which does what `twin import`
does. A refusal is found on the import.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, cast
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.exceptions import ClientException
from litestar.params import Parameter
from litestar.status_codes import HTTP_202_ACCEPTED

from twin_api.auth import requires
from twin_api.idempotency import BY_ITSELF, once_of, replayed
from twin_api.import_schemas import ImportList, ImportView, UploadOperation
from twin_api.limits import IMPORTS_PER_PAGE, TooMany
from twin_api.operations import ONCE
from twin_api.paging import Cursor
from twin_api.schemas import ERRORS, NOT_FOUND
from twin_api.services import Services
from twin_api.uploads import Upload, receive
from twin_core.collect.importing import incoming
from twin_core.store import import_requests
from twin_core.store.database import Database
from twin_core.store.kept_responses import Kept
from twin_core.store.keys import KeyHolder

WAITING = 10
"""Uploads of an author that may wait at once: each holds its size on the disk."""
_LISTING = "imports"
_FIELDS = {"as", "mine", "claimed_by"}


class ImportsController(Controller):
    """Uploaded exports of the key's author."""

    path = "/v1/imports"
    tags = ("sources",)
    guards = (requires("read"),)

    @post(
        "/",
        status_code=HTTP_202_ACCEPTED,
        guards=[requires("write")],
        request_max_body_size=None,
        opt={BY_ITSELF: True},
        operation_class=UploadOperation,
        summary="Upload an official export",
        responses=ERRORS | ONCE,
    )
    async def upload(
        self, request: Request[Any, Any, Any], holder: KeyHolder, services: Services
    ) -> Response[ImportView]:
        """LinkedIn, Medium, Substack, X, mail, Telegram, WhatsApp or papers, as they were downloaded; recognised by content.

        It is imported soon; `/v1/imports/{id}` says how far it is. A newer export of the same account takes only what changed.
        """
        await asyncio.to_thread(_room, services.database, holder.author_id)
        once, claimed = once_of(request), False
        request_id = uuid4()
        folder = incoming(services.settings, holder.author_id, request_id)
        try:
            await asyncio.to_thread(lambda: folder.mkdir(parents=True, mode=0o700))
            upload = await receive(request, folder, services.settings.import_max_upload_bytes)
            there = None if once is None else await once.claim(_fingerprint(upload))
            if there is not None:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                return cast("Response[ImportView]", replayed(there) if isinstance(there, Kept) else there)
            claimed = once is not None
            found = await asyncio.to_thread(_ask, services.database, holder, request_id, upload)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            if once is not None and claimed:
                await once.release()
            raise
        headers = {"Location": f"/v1/imports/{found.id}"}
        if once is not None:
            await once.keep(Kept(status=HTTP_202_ACCEPTED, headers=headers, body=msgspec.json.encode(found)))
        return Response(found, status_code=HTTP_202_ACCEPTED, headers=headers)

    @get("/", summary="List imports", responses=ERRORS)
    async def imports(
        self,
        *,
        holder: KeyHolder,
        services: Services,
        limit: Annotated[int, Parameter(ge=1, le=IMPORTS_PER_PAGE)] = 50,
        cursor: Cursor = None,
    ) -> ImportList:
        """The latest first."""
        return await asyncio.to_thread(_page, services, holder.author_id, limit, cursor)

    @get("/{request_id:uuid}", summary="What has become of an import", responses=ERRORS | NOT_FOUND)
    async def one(self, request_id: UUID, holder: KeyHolder, services: Services) -> ImportView:
        """`done` once its items are stored; why single items failed is in the ledger of its sources."""
        return await asyncio.to_thread(_one, services.database, holder.author_id, request_id)


def _fingerprint(upload: Upload) -> str:
    """What makes two uploads the same: a form's own bytes differ each time it is sent."""
    told = msgspec.json.encode([upload.path.name, upload.sha256, upload.fields], order="sorted")
    return f"upload {hashlib.sha256(told).hexdigest()}"


def _room(database: Database, author_id: UUID) -> None:
    with database.as_author(author_id) as conn:
        waiting = len(import_requests.open_imports(conn, author_id).get(author_id, ()))
    if waiting >= WAITING:
        raise TooMany(f"{waiting} uploads of this author wait to be imported. Let some be done first.", 60)


def _ask(database: Database, holder: KeyHolder, request_id: UUID, upload: Upload) -> ImportView:
    fields = upload.fields
    if unknown := sorted(set(fields) - _FIELDS):
        raise ClientException(
            f"The form has no field `{unknown[0][:50]}`. There are: file, {', '.join(sorted(_FIELDS))}."
        )
    said = (fields.get("mine") or ["false"])[-1].strip().lower()
    if said not in {"true", "false"}:
        raise ClientException("`mine` is `true` or `false`.")
    own = [name for name in (one.strip() for one in fields.get("as", ())) if name]
    if "\0" in "".join(own):
        raise ClientException("`as` is a name or an address.")
    claimed_by = "".join(fields.get("claimed_by", ())[-1:]).replace("\0", "").strip()
    with database.as_author(holder.author_id) as conn:
        return ImportView.of(
            import_requests.request_import(
                conn,
                request_id=request_id,
                author_id=holder.author_id,
                name=Path(upload.path).name,
                size=upload.size,
                sha256=upload.sha256,
                own=own,
                mine=said == "true",
                claimed_by=claimed_by or f"key {holder.key_id}",
            )
        )


def _page(services: Services, author_id: UUID, limit: int, cursor: str | None) -> ImportList:
    after = services.pager.read(_LISTING, author_id, cursor, tuple[datetime, UUID])
    with services.database.as_author(author_id) as conn:
        rows = import_requests.page_of_imports(conn, author_id, after=after, limit=limit + 1)
    page, further = services.pager.cut(_LISTING, author_id, rows, limit, lambda one: (one.requested_at, one.id))
    return ImportList(imports=[ImportView.of(one) for one in page], next_cursor=further)


def _one(database: Database, author_id: UUID, request_id: UUID) -> ImportView:
    with database.as_author(author_id) as conn:
        return ImportView.of(import_requests.import_request(conn, author_id, request_id))
