"""What the interfaces of platforms have in common: JSON bodies, pages that link to the next one, and refusals in words.

Asking is polite.py's; what the values mean is for each platform.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from twin_core.collect.guarded import Response
from twin_core.errors import SourceUnavailable

_NEXT = re.compile(r"<([^<>]+)>\s*;[^,]*?\brel\s*=\s*\"?[^\",]*\bnext\b", re.IGNORECASE)
_WHY = {
    401: "it does not accept the token: make a new one",
    403: "it does not let this be read: check the token and what it may do",
    404: "there is no such thing: check the name in the source's locator",
    410: "it says that this is gone for good",
    429: "it was asked too often; the next run goes on",
}


def read_json(answer: Response, what: str) -> Any:
    """The body of a good answer. Raises SourceUnavailable, in words and without quoting the body, for any other."""
    require(answer, what)
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise SourceUnavailable(
            f"{what}: {host_of(answer)} answered with what is no JSON. Nothing was deleted; the next run tries again."
        ) from error


def require(answer: Response, what: str) -> None:
    """Raises SourceUnavailable, in words, unless the status is 200."""
    if answer.status != 200:
        why = _WHY.get(answer.status, "the next run tries again")
        raise SourceUnavailable(
            f"{what}: {host_of(answer)} answered HTTP {answer.status} ({why}). Nothing was deleted."
        )


def records_in(value: object, what: str) -> list[Mapping[str, Any]]:
    """A JSON list of objects. Raises SourceUnavailable for anything else; what is no object in it is left out."""
    if not isinstance(value, list):
        raise SourceUnavailable(f"{what}: a list was expected and something else came. Nothing was deleted.")
    return [one for one in value if isinstance(one, Mapping)]


def next_page(answer: Response) -> str | None:
    """Where the `Link` header says that the listing goes on (RFC 8288); None at its end.

    Raises SourceUnavailable when that is on another host: the token is not for it.
    """
    found = _NEXT.search(answer.headers.get("link", ""))
    return None if found is None else same_host(answer.url, found.group(1))


def same_host(url: str, following: str) -> str:
    """The address that a listing names for its next page. Raises SourceUnavailable when it is on another host."""
    joined = urljoin(url, following)
    if urlsplit(joined)[:2] != urlsplit(url)[:2]:
        raise SourceUnavailable(f"The listing of {urlsplit(url).netloc} goes on at another host: it is not followed.")
    return joined


def host_of(answer: Response) -> str:
    """The host that answered, for a person to read."""
    return urlsplit(answer.url).netloc
