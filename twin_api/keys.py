"""`/v1/keys`: the keys of the author, made, listed and revoked by one of them with the scope `admin`.

A key gives no more than it has: neither a scope that it lacks nor a longer life.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.openapi.spec import Example
from litestar.params import Body, Parameter
from litestar.status_codes import HTTP_200_OK

from twin_api.auth import INCLUDES, requires
from twin_api.idempotency import SECRET
from twin_api.key_schemas import KeyList, KeyRequest, KeyView, NewKeyView
from twin_api.limits import KEYS_PER_PAGE
from twin_api.operations import ONCE, Write
from twin_api.paging import Cursor
from twin_api.schemas import ERRORS, NOT_FOUND
from twin_api.services import Services
from twin_core.errors import Refused
from twin_core.store import keys
from twin_core.store.database import Database
from twin_core.store.keys import KeyHolder

_LISTING = "keys"
_EXAMPLES = [
    Example(summary="For a script that only asks", value={"name": "newsletter script", "expires_in_days": 90}),
    Example(summary="For a person who teaches and approves", value={"name": "laptop", "scopes": ["admin"]}),
]


class KeysController(Controller):
    """The keys of the key's author."""

    path = "/v1/keys"
    tags = ("keys",)
    guards = (requires("admin"),)

    @get("/", summary="List keys", responses=ERRORS)
    async def keys(
        self,
        *,
        holder: KeyHolder,
        services: Services,
        limit: Annotated[int, Parameter(ge=1, le=KEYS_PER_PAGE)] = 50,
        cursor: Cursor = None,
    ) -> KeyList:
        """Newest first, revoked and expired ones included, without their secrets."""
        return await asyncio.to_thread(_page, services, holder, limit, cursor)

    @post("/", opt={SECRET: "secret"}, operation_class=Write, summary="Make a key", responses=ERRORS | ONCE)
    async def create(
        self, data: Annotated[KeyRequest, Body(examples=_EXAMPLES)], holder: KeyHolder, services: Services
    ) -> NewKeyView:
        """Its secret is in this answer and nowhere else: an answer that is replayed has it no more."""
        return await asyncio.to_thread(_create, services.database, holder, data)

    @delete(
        "/{key_id:uuid}",
        status_code=HTTP_200_OK,
        operation_class=Write,
        summary="Revoke a key",
        responses=ERRORS | NOT_FOUND | ONCE,
    )
    async def revoke(self, key_id: UUID, holder: KeyHolder, services: Services) -> KeyView:
        """At once and for good. Revoking twice changes nothing; a key may revoke itself."""
        return await asyncio.to_thread(_revoke, services.database, holder, key_id)


def _page(services: Services, holder: KeyHolder, limit: int, cursor: str | None) -> KeyList:
    after = services.pager.read(_LISTING, holder.author_id, cursor, tuple[datetime, UUID])
    with services.database.as_author(holder.author_id) as conn:
        rows = keys.page_of_keys(conn, holder.author_id, after=after, limit=limit + 1)
    page, further = services.pager.cut(_LISTING, holder.author_id, rows, limit, lambda one: (one.created_at, one.id))
    return KeyList(keys=[KeyView.of(one, holder.key_id) for one in page], next_cursor=further)


def _create(database: Database, holder: KeyHolder, data: KeyRequest) -> NewKeyView:
    if beyond := [scope for scope in data.scopes if not INCLUDES[scope] & holder.scopes]:
        raise Refused(f"This key does not have the scope {', '.join(beyond)} and cannot give it.")
    wanted = None if data.expires_in_days is None else datetime.now(UTC) + timedelta(days=data.expires_in_days)
    with database.as_author(holder.author_id) as conn:
        until = keys.key_by_id(conn, holder.author_id, holder.key_id).expires_at
        if until is not None and wanted is not None and wanted > until:
            raise Refused(f"This key expires on {until:%Y-%m-%d}; what it makes cannot live longer.")
        made = keys.create_key(
            conn, author_id=holder.author_id, name=data.name, scopes=data.scopes, expires_at=wanted or until
        )
    return NewKeyView.of(made, holder.key_id)


def _revoke(database: Database, holder: KeyHolder, key_id: UUID) -> KeyView:
    with database.as_author(holder.author_id) as conn:
        keys.key_by_id(conn, holder.author_id, key_id)
        return KeyView.of(keys.revoke_key(conn, author_id=holder.author_id, key=str(key_id)), holder.key_id)
