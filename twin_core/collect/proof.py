"""On what a claim that a source is one's own may rest, checked: a link back, a token, a file that only its owner has.

Each gives the words that are stored with the consent, with the day on which it was seen. A person's word alone
(`--i-wrote-this`) is a consent too; what it rests on is then only their word, and the stored text says so.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from twin_core.collect.addresses import host_and_port
from twin_core.collect.discovery import page_text
from twin_core.collect.guarded import FetchFailed, GuardedClient
from twin_core.collect.polite import PoliteClient
from twin_core.collect.registry import Collector
from twin_core.collect.urls import address_of, site_of
from twin_core.errors import InvalidInput, Refused, SourceUnavailable
from twin_core.settings import Settings

_AT_ONCE = 1 << 20


@runtime_checkable
class Proving(Protocol):
    """A collector whose platform can tell whose token it is."""

    def prove(self, locator: str, settings: Settings) -> str:
        """What the token proves of the locator, in words. Raises Refused when it is another account's."""
        ...


def by_link(page: str, locator: str, settings: Settings) -> str:
    """The proof that `page` links to the locator with `rel="me"`, as profiles of Mastodon and GitHub are verified.

    The page is fetched as any other: guarded and politely. Raises Refused when it holds no such link, InvalidInput
    when the locator is no address or the page cannot be had.
    """
    if "://" not in locator:
        raise InvalidInput(
            "A link back proves an address on the web. For a folder, give --i-wrote-this or --proof-file."
        )
    host_and_port(page)
    try:
        with GuardedClient(settings) as client:
            answer = PoliteClient(client, settings).get(page)
    except (FetchFailed, SourceUnavailable) as error:
        raise InvalidInput(f"{page} could not be read: {error}") from error
    if answer.status != 200:
        raise InvalidInput(f"{page} could not be read: HTTP {answer.status}.")
    links = _links_of_mine(page_text(answer), answer.url)
    if _plain(locator) not in {_plain(link) for link in links}:
        raise Refused(
            f'{page} has no link to {locator} with rel="me". Put it there: <a rel="me" href="{locator}">, and try again.'
        )
    return f"rel=me: {page} links to {locator}; seen on {_today()}"


def by_file(path: Path) -> str:
    """The proof that somebody has this file: its SHA-256, such as that of an official export. Read as a stream."""
    digest = hashlib.sha256()
    try:
        with path.expanduser().open("rb") as file:
            while part := file.read(_AT_ONCE):
                digest.update(part)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}.") from error
    return f"file: {path.name} with SHA-256 {digest.hexdigest()}; seen on {_today()}"


def by_token(collector: Collector, locator: str, settings: Settings) -> str:
    """The proof that the token in the settings is that account's. Raises Refused when it is not, or proves nothing."""
    live = getattr(collector, "live", None) or collector  # of a platform that has an export too
    if not isinstance(live, Proving):
        raise InvalidInput(
            f"A token proves nothing for `{collector.platform}`: give --rel-me URL or --proof-file PATH."
        )
    try:
        return f"token: {live.prove(locator, settings)}; seen on {_today()}"
    except (FetchFailed, SourceUnavailable) as error:
        raise Refused(f"The token could not be checked: {error}") from error


def _links_of_mine(text: str, url: str) -> list[str]:
    from lxml import etree, html

    try:
        root = html.document_fromstring(text.encode("utf-8", "replace"), parser=html.HTMLParser(encoding="utf-8"))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return []
    root.make_links_absolute(url, resolve_base_href=True, handle_failures="discard")
    return [
        element.get("href", "")
        for element in root.iter("a", "link")
        if "me" in element.get("rel", "").lower().split() and element.get("href")
    ]


def _plain(url: str) -> str:
    """The address without what two spellings of one profile differ in: scheme, `www.`, the slash at its end."""
    try:
        clean = address_of(url)
    except ValueError:
        return url
    return f"{site_of(clean)}/{urlsplit(clean).path.strip('/').lower()}"


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")
