"""By what an item is known to be the same writing as another: its marks, and what two of them have in common. Pure.

An export, a feed and a page of one article never say quite the same. What they share is an address, the platform's
own id, or most of their words. Which of it joins two locations, and in which order, is decided in `placing.py`.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit

from twin_core.collect.urls import address_of
from twin_core.errors import InvalidInput
from twin_core.records import Category, Found
from twin_core.store.placement import Marks
from twin_core.text import fingerprint
from twin_core.text.plain import plain_text

LEAST_WORDS = 50
"""Below this, five-word shingles are so few that two notes of one series ("Links of the week") pass for one text."""
STRANGERS = 0.1
"""Share of the shorter text in the longer one below which an address in common is no proof: a theme that names one
page as the canonical one of all, two articles that came and went at one address."""
LONGEST = 2_000
"""Bytes of an address or id that an index takes."""

# What libraries raise on input that nobody foresaw: such an item is known by what is stated of it alone.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError, AssertionError)
_FRONT = re.compile(r"/?(?:index\.\w{3,5})?", re.IGNORECASE)


def stated_marks(found: Found) -> Marks:
    """What the item's source says of it: cheap, for an item whose text is known already."""
    platform_id = (found.platform_id or "").strip() or None
    return Marks(
        canonical_url=page_key(found.canonical_url) if found.canonical_url else None,
        address=page_key(found.location, keep_fragment=True),
        platform_id=None if platform_id is None or len(platform_id.encode()) > LONGEST else platform_id,
    )


def marks_of(found: Found) -> Marks:
    """All marks of an item, from what is stated and from its words."""
    stated = stated_marks(found)
    charset = found.metadata.get("charset")
    try:
        text = plain_text(found.body, found.media_type, charset if isinstance(charset, str) else None)
    except (InvalidInput, *_UNREADABLE):  # the clean stage says of it what there is to say
        return stated
    words = len(fingerprint.words(text))
    signature = None
    if words >= LEAST_WORDS and found.category is not Category.CODE:
        signature = fingerprint.signature(text)
    return Marks(
        canonical_url=stated.canonical_url,
        address=stated.address,
        platform_id=stated.platform_id,
        words=words,
        signature=signature,
        bands=() if signature is None else tuple(fingerprint.bands(signature)),
    )


def page_key(url: str, *, keep_fragment: bool = False) -> str | None:
    """What identifies a page however its address is written: no scheme, no `www.`, no trackers, no last slash.

    None for what is no web address, for a front page (it is everybody's canonical address in broken themes), and for
    what no index takes. A fragment counts only where an item was found: there some sources tell their items by it.
    """
    if not url.lower().startswith(("http://", "https://")):
        return None
    try:
        parts = urlsplit(address_of(url))
        fragment = urlsplit(url).fragment if keep_fragment else ""
        host = (parts.hostname or "").removeprefix("www.")
        port = "" if parts.port in {None, 80, 443} else f":{parts.port}"
    except ValueError:
        return None
    path = parts.path.rstrip("/")
    query = urlencode(sorted(parse_qsl(parts.query, keep_blank_values=True)))
    if not host or (_FRONT.fullmatch(path) and not query):
        return None
    key = f"{host}{port}{path}{'?' + query if query else ''}{'#' + fragment if fragment else ''}"
    return key if len(key.encode()) <= LONGEST else None


def similarity(one: Marks, other: Marks) -> float:
    """Jaccard similarity of two texts, 0 where one of them is too short to say."""
    if one.signature is None or other.signature is None:
        return 0.0
    return fingerprint.similarity(one.signature, other.signature)


def strangers(one: Marks, other: Marks) -> bool:
    """Whether two texts have so little in common that an address they share must be a mistake.

    Measured on the shorter one, for a teaser is a small part of its article. Where a text is too short: no.
    """
    if one.signature is None or other.signature is None or not one.words or not other.words:
        return False
    alike = similarity(one, other)
    shared = alike * (one.words + other.words) / (1 + alike)  # from |A∩B| / |A∪B|
    return shared / min(one.words, other.words) < STRANGERS
