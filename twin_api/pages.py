"""The pages for people: what this is, and a place to ask. Plain files, no build step, nothing from another host."""

from __future__ import annotations

from importlib.resources import files

from litestar import MediaType, Response, Router, get

from twin_api.auth import PUBLIC

_WEB = files("twin_api").joinpath("web")

# Scripts and styles from here alone, no images but our own, no frames, no forms that leave.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _file(name: str, media_type: str) -> Response[bytes]:
    return Response(
        _WEB.joinpath(name).read_bytes(),
        media_type=media_type,
        headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"},
    )


@get("/", sync_to_thread=False)
def home() -> Response[bytes]:
    return _file("index.html", MediaType.HTML)


@get("/ask", sync_to_thread=False)
def ask() -> Response[bytes]:
    return _file("ask.html", MediaType.HTML)


@get("/web/ask.js", sync_to_thread=False)
def script() -> Response[bytes]:
    return _file("ask.js", "text/javascript")


@get("/web/style.css", sync_to_thread=False)
def style() -> Response[bytes]:
    return _file("style.css", MediaType.CSS)


pages = Router("/", route_handlers=[home, ask, script, style], include_in_schema=False, opt={PUBLIC: True})
