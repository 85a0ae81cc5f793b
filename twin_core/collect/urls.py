"""Web addresses as names: their canonical form, and which of them belong to one site.

An address here is text that identifies a page. Whether it may be fetched is decided in `addresses.py`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit, urlunsplit

_URN = re.compile(r"urn:li:[A-Za-z]+:(?:\([^()\s]*\)|[\w-]+)")


def address_of(url: str) -> str:
    """The canonical form of a page's address: what trackers added, default ports and fragments are taken off."""
    import courlan

    clean = urlsplit(courlan.normalize_url(url))
    return urlunsplit((clean.scheme, clean.netloc, clean.path or "/", clean.query, ""))


def site_of(url: str) -> str:
    """What two addresses of one site have in common: the host without `www.`, and a port that is not the default."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").removeprefix("www."), parts.port
    except ValueError:
        return ""
    return host if port in {None, 80, 443} else f"{host}:{port}"


def folder_of(url: str) -> str:
    """The path up to its last slash, with it."""
    path = urlsplit(url).path or "/"
    return path[: path.rfind("/") + 1]


def linkedin_urn(link: str) -> str | None:
    """LinkedIn's own name of what a link (or an answer of its API) points to: of the comment where there is one.

    Links percent-encode it, some of them twice; comments name what they belong to with or without `urn:li:`.
    """
    found: list[str] = _URN.findall(unquote(unquote(link)).replace("(urn:li:", "("))
    comments = [urn for urn in found if urn.startswith("urn:li:comment:")]
    return next(iter([*comments, *found]), None)
