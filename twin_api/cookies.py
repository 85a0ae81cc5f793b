"""The cookie of a session, and what keeps another site from using it.

Nothing is read from a request here but its headers: who a session belongs to is `auth.py`'s question. Three things each
stop a forged request by themselves: the cookie is `SameSite=Strict`; what changes anything needs a header that a form
cannot send and that another site's script may not (no route allows it by CORS); and its `Origin` must be this host.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.exceptions import PermissionDeniedException

COOKIE = "twin_session"
HEADER = "X-Twin-Page"
"""Sent by the pages with every request that changes something; its value does not matter."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

AnyConnection = ASGIConnection[Any, Any, Any, Any]


def session_of(connection: AnyConnection) -> str | None:
    """What the request's session cookie holds, if it has one."""
    return connection.cookies.get(COOKIE) or None


def require_own_page(connection: AnyConnection) -> None:
    """Raise PermissionDenied when a request that changes something did not come from a page of this host."""
    if connection.scope.get("method") in SAFE:
        return
    if HEADER.lower() not in connection.headers:
        raise PermissionDeniedException(
            f"A session is used by the pages of this server alone: `{HEADER}` is missing. Programs send an API key."
        )
    origin = connection.headers.get("origin")
    if origin is None or urlsplit(origin).netloc != connection.headers.get("host", ""):
        raise PermissionDeniedException("This request did not come from a page of this server, so it is not done.")


def cookie(connection: AnyConnection, secret: str, expires_at: datetime) -> Cookie:
    """The cookie that holds a session until it ends: no script sees it, no other site sends it."""
    return Cookie(
        key=COOKIE,
        value=secret,
        max_age=int((expires_at - datetime.now(UTC)).total_seconds()),
        httponly=True,
        samesite="strict",
        secure=connection.url.scheme == "https",
    )


def no_cookie(connection: AnyConnection) -> Cookie:
    """The cookie that takes it away."""
    return Cookie(
        key=COOKIE, value="", max_age=0, httponly=True, samesite="strict", secure=connection.url.scheme == "https"
    )
