"""From what an export or an interface states of one piece of writing to the item that goes into the warehouse.

Shared by the formats of `exports/` and by the platforms that give the same pieces live, so that a piece has one form.
The rules are the same for all of them: text that is empty is skipped, text that cannot be read fails alone, times
become UTC, hashes are of the text as the cleaner will see it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from twin_core import identity
from twin_core.collect.reading import is_bare
from twin_core.collect.stated import short, storable
from twin_core.errors import InvalidInput
from twin_core.records import Category, Found, Skipped
from twin_core.text.decode import decode, html_charset
from twin_core.text.html import FRAGMENT, fragment_markdown

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

_EMPTY = "no text of its own"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def html_piece(
    native_id: str,
    location: str,
    html: str,
    *,
    category: Category,
    title: str | None = None,
    written_at: datetime | None = None,
    modified_at: datetime | None = None,
    canonical_url: str | None = None,
    platform_id: str | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Found | Skipped:
    """A piece whose text is an HTML fragment, kept as the export has it."""
    html = _CONTROL.sub("", storable(html))
    text = fragment_markdown(html)
    if is_bare(text):
        return Skipped(native_id=native_id, location=location, reason=_EMPTY, empty=True)
    return Found(
        native_id=native_id,
        location=location,
        category=category,
        media_type=FRAGMENT,
        body=html.encode(),
        content_hash=identity.content_hash(f"{title or ''}\n{text}"),
        title=short(title),
        written_at=written_at,
        modified_at=modified_at,
        canonical_url=canonical_url,
        platform_id=platform_id,
        metadata=metadata or {},
    )


def text_piece(
    native_id: str,
    location: str,
    text: str,
    *,
    category: Category = Category.POST,
    media_type: str = "text/plain",
    title: str | None = None,
    written_at: datetime | None = None,
    canonical_url: str | None = None,
    platform_id: str | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Found | Skipped:
    """A piece of plain text (or Markdown, for an article made of parts)."""
    text = identity.normalise(_CONTROL.sub("", storable(text))).strip()
    if not text:
        return Skipped(native_id=native_id, location=location, reason=_EMPTY, empty=True)
    return Found(
        native_id=native_id,
        location=location,
        category=category,
        media_type=media_type,
        body=text.encode(),
        content_hash=identity.content_hash(f"{title}\n{text}" if title else text),
        title=short(title),
        written_at=written_at,
        canonical_url=canonical_url,
        platform_id=platform_id,
        metadata=metadata or {},
    )


def soup_of(body: bytes) -> BeautifulSoup:
    """A page, whatever state it is in. Raises InvalidInput for bytes that are no text."""
    from bs4 import BeautifulSoup

    return BeautifulSoup(decode(body, html_charset(body)), "lxml")


def inner_html(element: Tag) -> str:
    """The markup inside an element. Raises InvalidInput for markup nested beyond reading."""
    try:
        return element.decode_contents().strip()
    except RecursionError as error:
        raise InvalidInput("the HTML is nested too deeply to be read") from error


def words_of(element: Tag | None) -> str | None:
    """The text of an element as one line; None when there is none."""
    return None if element is None else short(element.get_text(" "))


def address(value: object) -> str | None:
    """A web address as it was stated; None for what is none."""
    text = short(value)
    return text if text and re.match(r"https?://[^\s/]+", text) else None


def quoted(text: str) -> str:
    """Somebody else's words as a Markdown blockquote."""
    return "\n".join(f"> {line}".rstrip() for line in text.strip().split("\n"))
