"""The pages for people: plain files, no build step, nothing from another host.

A page is `web/shell.html` around `web/NAME.html`, with `web/NAME.js` as its module. The pages hold nothing of anybody, so
everybody may load them: what they show they ask of the API, with the session of whoever signed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from litestar import MediaType, Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.status_codes import HTTP_304_NOT_MODIFIED

from twin_api.auth import PUBLIC

_WEB = files("twin_api").joinpath("web")
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

PAGES = {
    "/": ("sign-in", "Sign in"),
    "/write": ("write", "Write"),
    "/ask": ("ask", "Ask"),
    "/sources": ("sources", "Sources"),
    "/documents": ("documents", "Documents"),
    "/models": ("models", "Models"),
    "/monitor": ("monitor", "Monitor"),
    "/keys": ("keys", "Keys"),
}

# Scripts and styles from here alone, no images but our own, no frames, no forms that leave; and no text that becomes
# markup: where a browser knows Trusted Types, innerHTML and its kind throw.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str

    @property
    def etag(self) -> str:
        """Of what it holds: a browser asks again, and is told that nothing changed."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:20]}"'


def _page(path: str, name: str, title: str) -> _File:
    page = _WEB.joinpath("shell.html").read_text("utf-8")
    page = page.replace(f'href="{path}">', f'href="{path}" aria-current="page">') if path != "/" else page
    for slot, filled in {
        "{title}": title,
        "{page}": name,
        "{main}": _WEB.joinpath(f"{name}.html").read_text("utf-8"),
    }.items():
        page = page.replace(slot, filled)
    return _File(page.encode(), MediaType.HTML)


def _assets() -> Mapping[str, _File]:
    found = ((file.name, _TYPES.get("." + file.name.rsplit(".", 1)[-1])) for file in _WEB.iterdir())
    return {name: _File(_WEB.joinpath(name).read_bytes(), kind) for name, kind in found if kind}


def _answer(request: Request[Any, Any, Any], file: _File) -> Response[bytes]:
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache", "ETag": file.etag}
    if request.headers.get("if-none-match") == file.etag:
        return Response(b"", status_code=HTTP_304_NOT_MODIFIED, media_type=file.media_type, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


_pages = {path: _page(path, name, title) for path, (name, title) in PAGES.items()}
_files = _assets()


@get(list(PAGES), sync_to_thread=False)
def page(request: Request[Any, Any, Any]) -> Response[bytes]:
    return _answer(request, _pages[request.url.path.rstrip("/") or "/"])


@get("/web/{name:str}", sync_to_thread=False)
def asset(name: str, request: Request[Any, Any, Any]) -> Response[bytes]:
    if name not in _files:
        raise NotFoundException("There is no such file.")
    return _answer(request, _files[name])


pages = Router("/", route_handlers=[page, asset], include_in_schema=False, opt={PUBLIC: True})
