"""Who is asking: bearer keys and sessions, scopes, and the rate of one key.

Closed by default: every route needs a key unless it is marked `opt={PUBLIC: True}`. The key decides the author, and
nothing in a request can name another one. Keys are never logged and never part of an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import Guard

from twin_api.cookies import require_own_page, session_of
from twin_api.services import Services, services_of
from twin_core.records import Author
from twin_core.store.authors import author_by_id
from twin_core.store.database import Database
from twin_core.store.keys import KeyHolder, Scope, key_holder
from twin_core.store.sessions import session_holder

PUBLIC = "public"
INCLUDES: dict[Scope, frozenset[str]] = {
    "read": frozenset({"read", "write", "admin"}),
    "write": frozenset({"write", "admin"}),
    "admin": frozenset({"admin"}),
}
"""Scope -> the scopes that include it."""

Connection = ASGIConnection[Any, KeyHolder, KeyHolder, Any]


class KeyMiddleware(AbstractAuthenticationMiddleware):
    """Turns `Authorization: Bearer twin_...`, or the session of a page, into a KeyHolder, or the request away."""

    async def authenticate_request(self, connection: Connection) -> AuthenticationResult:
        """The holder of the request's key. Raises 401 without a valid one, TooMany beyond the rate of either kind."""
        services = services_of(connection.app)
        session = session_of(connection)
        if "authorization" in connection.headers or session is None:
            holder = await holder_of_key(services, connection, _secret(connection))
        else:
            holder = await _holder_of_session(services, connection, session)
            require_own_page(connection)
        services.requests.take(
            str(holder.key_id), f"This key may send {services.limits.requests_per_minute} requests a minute."
        )
        return AuthenticationResult(user=holder, auth=holder)


def _secret(connection: Connection) -> str:
    scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise _unauthorised("Send an API key: `Authorization: Bearer twin_...`. `twin key create` makes one.")
    return secret.strip()


async def holder_of_key(services: Services, connection: ASGIConnection[Any, Any, Any, Any], secret: str) -> KeyHolder:
    """Whose key it is. Raises 401 for one that opens nothing, TooMany when an address tries too many of those."""
    return await _known(
        services,
        connection,
        lambda: _lookup(services.database, secret),
        "This API key is unknown, expired or revoked. `twin key list` shows those there are.",
    )


async def _holder_of_session(services: Services, connection: Connection, session: str) -> KeyHolder:
    return await _known(
        services,
        connection,
        lambda: _lookup_session(services.database, session),
        "You are not signed in any more. Sign in again with a key.",
    )


async def _known(
    services: Services,
    connection: ASGIConnection[Any, Any, Any, Any],
    lookup: Callable[[], KeyHolder | None],
    otherwise: str,
) -> KeyHolder:
    address = connection.client.host if connection.client else "unknown"
    tried = "Too many requests with keys that do not exist."
    if services.failures.wait(address) > 0:
        services.failures.take(address, tried)
    holder = await asyncio.to_thread(lookup)
    if holder is None:
        services.failures.take(address, tried)
        raise _unauthorised(otherwise)
    return holder


def requires(scope: Scope) -> Guard:
    """A guard that lets through keys with this scope. `admin` includes the others, `write` includes `read`."""
    enough = INCLUDES[scope]

    def guard(connection: Connection, _: BaseRouteHandler) -> None:
        if not enough & connection.user.scopes:
            raise PermissionDeniedException(
                f"This key's scopes ({', '.join(sorted(connection.user.scopes))}) do not include `{scope}`. "
                f"Make one with `twin key create --scope {scope}`."
            )

    return guard


def provide_holder(request: Request[KeyHolder, KeyHolder, Any]) -> KeyHolder:
    """The key's holder, for handlers."""
    return request.user


async def provide_author(holder: KeyHolder, services: Services) -> Author:
    """The author whose key it is, read under row-level security."""
    return await asyncio.to_thread(_author, services.database, holder.author_id)


def _lookup(database: Database, secret: str) -> KeyHolder | None:
    with database.transaction() as conn:
        return key_holder(conn, secret)


def _lookup_session(database: Database, secret: str) -> KeyHolder | None:
    with database.transaction() as conn:
        return session_holder(conn, secret)


def _author(database: Database, author_id: UUID) -> Author:
    with database.as_author(author_id) as conn:
        return author_by_id(conn, author_id)


def _unauthorised(detail: str) -> NotAuthorizedException:
    return NotAuthorizedException(detail, headers={"WWW-Authenticate": 'Bearer realm="LLM Twin"'})
