"""`/v1/session`: signing in at the page with a key, who is signed in, and signing out.

A session is for people: programs send their key. What protects its cookie is in `cookies.py`.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Request, Response, delete, get, post
from litestar.params import Body
from litestar.status_codes import HTTP_201_CREATED, HTTP_204_NO_CONTENT
from msgspec import Meta, Struct

from twin_api.auth import PUBLIC, holder_of_key, provide_author
from twin_api.cookies import cookie, no_cookie, require_own_page, session_of
from twin_api.idempotency import REPEATABLE
from twin_api.operations import NoContent
from twin_api.schemas import ERRORS
from twin_api.services import Services
from twin_core.records import Author
from twin_core.runtime.state import read_state
from twin_core.settings import Settings
from twin_core.store import sessions
from twin_core.store.keys import KeyHolder
from twin_core.store.sessions import NewSession


class SignIn(Struct, kw_only=True, forbid_unknown_fields=True):
    """The key that a session is begun with."""

    key: Annotated[str, Meta(min_length=1, max_length=200, description="As `twin key create` showed it.")]


class SessionView(Struct, kw_only=True):
    """Who asks, and what they may do."""

    slug: str
    name: str
    language: str
    scopes: list[str]
    dagster_url: Annotated[str | None, Meta(description="Dagster's UI, where `twin up` runs it.")]
    expires_at: Annotated[datetime | None, Meta(description="Of a session just begun.")] = None


class SessionController(Controller):
    """The session of whoever sits at the page."""

    path = "/v1/session"
    tags = ("session",)

    @post("/", opt={PUBLIC: True}, status_code=HTTP_201_CREATED, summary="Sign in with a key", responses=ERRORS)
    async def sign_in(
        self, data: Annotated[SignIn, Body()], request: Request[Any, Any, Any], services: Services
    ) -> Response[SessionView]:
        """Begins a session and sets its cookie, `HttpOnly` and `SameSite=Strict`. Only for a page of this server."""
        require_own_page(request)
        holder = await holder_of_key(services, request, data.key.strip())
        begun = await asyncio.to_thread(_begin, services, holder)
        author = await provide_author(holder, services)
        view = _view(author, holder, services.settings)
        view.expires_at = begun.expires_at
        return Response(view, status_code=HTTP_201_CREATED, cookies=[cookie(request, begun.secret, begun.expires_at)])

    @get("/", summary="Who is asking?", responses=ERRORS)
    async def who(self, holder: KeyHolder, author: Author, services: Services) -> SessionView:
        """The author and scopes of the session, or of the key."""
        return await asyncio.to_thread(_view, author, holder, services.settings)

    @delete(
        "/",
        opt={REPEATABLE: True},
        status_code=HTTP_204_NO_CONTENT,
        operation_class=NoContent,
        summary="Sign out",
        responses=ERRORS,
    )
    async def sign_out(
        self, request: Request[KeyHolder, KeyHolder, Any], holder: KeyHolder, services: Services
    ) -> Response[None]:
        """Ends the session and takes its cookie away."""
        if (secret := session_of(request)) is not None:
            await asyncio.to_thread(_end, services, holder, secret)
        return Response(None, status_code=HTTP_204_NO_CONTENT, cookies=[no_cookie(request)])


def _begin(services: Services, holder: KeyHolder) -> NewSession:
    with services.database.as_author(holder.author_id) as conn:
        return sessions.begin_session(conn, holder, hours=services.settings.session_hours)


def _end(services: Services, holder: KeyHolder, secret: str) -> None:
    with services.database.as_author(holder.author_id) as conn:
        sessions.end_session(conn, holder, secret)


def _view(author: Author, holder: KeyHolder, settings: Settings) -> SessionView:
    return SessionView(
        slug=author.slug,
        name=author.name,
        language=author.language,
        scopes=sorted(holder.scopes),
        dagster_url=_dagster(settings),
    )


def _dagster(settings: Settings) -> str | None:
    state = read_state(settings)
    if state is None or not state.alive:
        return None
    return next((one.url for one in state.services.values() if one.name == "webserver" and one.url), None)
