"""`Idempotency-Key` on every request that changes something: sent again, it is answered again and done once.

The same key with the same request replays the stored response; with another one it is a 422; while the first is at work, a
409. Only what was done is kept: after an error the same key may be used again. Keys are the API key's own and expire.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from anyio import CancelScope
from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import ClientException
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPRequestEvent, Message, Receive, Scope, Send

from twin_api.operations import HEADER, LONGEST_KEY
from twin_api.problems import problem
from twin_api.services import Services, services_of
from twin_core.store import kept_responses
from twin_core.store.kept_responses import Claim, Kept
from twin_core.store.keys import KeyHolder

REPEATABLE = "repeatable"
"""`opt` of a route that changes nothing although it is a POST: the header has no meaning there."""
BY_ITSELF = "claims by itself"
"""`opt` of a route whose body is not to be read here: it calls `claim` and `keep`."""
SECRET = "secret member"  # noqa: S105
"""`opt` of a route: the member of its response that is shown once, and is null in what is kept."""
MOST_BYTES = 2 << 20
"""A response above it is not kept; none of ours is."""
LEASE_SECONDS = 1_800
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_KEPT_HEADERS = frozenset({"content-type", "location", "x-accel-buffering", "cache-control"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """One request that is to be done once."""

    services: Services
    holder: KeyHolder
    key: str

    async def claim(self, fingerprint: str) -> Kept | Response[dict[str, object]] | None:
        """None when the work is ours to do; else the response that is there, or the problem that stands against it."""
        found = await asyncio.to_thread(self._claim, fingerprint)
        if found is Claim.OURS:
            return None
        if found is Claim.IN_FLIGHT:
            said = f"A request with this `{HEADER}` is at work. Send it again in a moment."
            return problem(409, said, headers={"Retry-After": "2"})
        if found is Claim.ANOTHER:
            return problem(422, f"This `{HEADER}` was used for another request. Use a new one for each.")
        assert isinstance(found, Kept)
        return found

    async def keep(self, response: Kept) -> None:
        """Keep what was answered."""
        await asyncio.to_thread(self._keep, response)

    async def release(self) -> None:
        """It was not done: the key may be used again."""
        await asyncio.to_thread(self._release)

    def _claim(self, fingerprint: str) -> Kept | Claim:
        with self.services.database.as_author(self.holder.author_id) as conn:
            return kept_responses.claim(
                conn,
                author_id=self.holder.author_id,
                key_id=self.holder.key_id,
                key=self.key,
                fingerprint=fingerprint,
                lease_seconds=LEASE_SECONDS,
            )

    def _keep(self, response: Kept) -> None:
        with self.services.database.as_author(self.holder.author_id) as conn:
            kept_responses.keep(
                conn,
                author_id=self.holder.author_id,
                key_id=self.holder.key_id,
                key=self.key,
                response=response,
                hours=self.services.limits.replay_hours,
            )

    def _release(self) -> None:
        with self.services.database.as_author(self.holder.author_id) as conn:
            kept_responses.release(conn, author_id=self.holder.author_id, key_id=self.holder.key_id, key=self.key)


def once_of(request: Request[Any, Any, Any]) -> Once | None:
    """What the header asks for, None without it. Raises 400 for a key that cannot be one."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= LONGEST_KEY or not all("!" <= letter <= "~" for letter in key):
        raise ClientException(
            f"`{HEADER}` is 1 to {LONGEST_KEY} letters, digits and signs without spaces: a UUID is good."
        )
    return Once(services=services_of(request.app), holder=request.user, key=key)


def fingerprint_of(request: Request[Any, Any, Any], body: bytes) -> str:
    """What makes two requests the same."""
    whole = hashlib.sha256()
    for part in (request.method.encode(), request.url.path.encode(), request.scope["query_string"], body):
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def replayed(kept: Kept) -> Response[bytes]:
    """A kept response, said to be one."""
    headers = {**kept.headers, "Idempotency-Replayed": "true"}
    media_type = headers.pop("content-type", "application/json")
    return Response(kept.body, status_code=kept.status, media_type=media_type, headers=headers)


class IdempotencyMiddleware(ASGIMiddleware):
    """Reads the body of a request with the header, and keeps what is answered. Comes after the key is known."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Do it, or replay it."""
        handler = scope["route_handler"]
        if (
            scope.get("method") in _SAFE
            or not isinstance(handler, HTTPRouteHandler)
            or handler.opt.get(REPEATABLE)
            or handler.opt.get(BY_ITSELF)
            or not isinstance(scope.get("user"), KeyHolder)
        ):
            await next_app(scope, receive, send)
            return
        request: Request[Any, Any, Any] = Request(scope, receive=receive, send=send)
        once = once_of(request)
        if once is None:
            await next_app(scope, receive, send)
            return
        body = await request.body()
        there = await once.claim(fingerprint_of(request, body))
        if there is not None:
            response = replayed(there) if isinstance(there, Kept) else there
            await response.to_asgi_response(None, request)(scope, receive, send)
            return
        answer = _Answer(sends=send, once=once, secret=handler.opt.get(SECRET))
        try:
            await next_app(scope, _again(body, receive), answer.send)
        finally:
            with CancelScope(shield=True):
                await answer.settle()


@dataclass(slots=True, kw_only=True)
class _Answer:
    """A response on its way out, remembered; it is kept before its end is sent: who has it may send the request again."""

    sends: Send
    once: Once
    secret: str | None
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    settled: bool = False

    @property
    def done(self) -> bool:
        """Whether it is whole, is no error, and is small enough to be kept."""
        return self.complete and self.status < 400 and len(self.body) <= MOST_BYTES

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = _kept_headers({name.decode(): value.decode() for name, value in message["headers"]})
        elif message["type"] == "http.response.body":
            if len(self.body) <= MOST_BYTES:
                self.body += message.get("body", b"")
            self.complete = not message.get("more_body", False)
            if self.complete:
                await self.settle()
        await self.sends(message)

    async def settle(self) -> None:
        """Keep what was done, once; give the key back for what was not."""
        if self.settled:
            return
        self.settled = True
        if self.done:
            await self.once.keep(self._kept())
        else:
            await self.once.release()

    def _kept(self) -> Kept:
        body = bytes(self.body)
        if self.secret is not None:
            body = msgspec.json.encode({**msgspec.json.decode(body), self.secret: None})
        return Kept(status=self.status, headers=self.headers, body=body)


def _kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower() in _KEPT_HEADERS}


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever else comes: that the caller has gone."""
    given = False

    async def once_more() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return HTTPRequestEvent(type="http.request", body=body, more_body=False)

    return once_more
