"""What a site says it has: feeds, sitemaps, and the links of a page. Parsing only, nothing is fetched here.

All of it comes from strangers: XML is read without entities, networks or files, and every listing has a limit.
"""

from __future__ import annotations

import calendar
import gzip
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from twin_core.collect.stated import moment, short, storable, texts
from twin_core.errors import InvalidInput

# The protocol's own limits (sitemaps.org): 50,000 addresses and 50 MB a file.
_MOST_ADDRESSES = 50_000
_MOST_BYTES = 50_000_000
_FEED_TYPES = frozenset({"application/rss+xml", "application/atom+xml", "application/rdf+xml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One page that a listing names, with what it says of it."""

    url: str
    title: str | None = None
    written_at: datetime | None = None
    modified_at: datetime | None = None
    html: str | None = None
    """The content itself, where a feed carries it (never its summary)."""
    tags: tuple[str, ...] = ()
    guid: str | None = None
    """The entry's id, where the feed gives it one."""
    summary: str | None = None
    """What a feed carries instead of the content, as HTML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitemap:
    """One sitemap file: pages, or further sitemaps."""

    pages: tuple[Entry, ...] = ()
    sitemaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the markup of a page says about it."""

    feeds: tuple[str, ...]
    canonical: str | None
    is_article: bool
    """The page calls itself an article (`og:type`)."""
    links: tuple[str, ...]


def looks_like_xml(body: bytes) -> bool:
    """Whether a body starts as XML that is not a web page."""
    start = body[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith(b"<") and not start.startswith((b"<!doctype html", b"<html")) and b"<html" not in start


def read_feed(body: bytes, url: str, content_type: str) -> list[Entry]:
    """The entries of an RSS or Atom feed, in its order. Raises InvalidInput when it is not one."""
    import feedparser

    # A stream, never bytes: feedparser would take bytes for the name of a file.
    found = feedparser.parse(
        io.BytesIO(body),
        response_headers={"content-location": url, "content-type": content_type or "application/xml"},
        sanitize_html=False,
    )
    if not found.get("version"):
        problem = short(found.get("bozo_exception")) or "it holds no feed"
        raise InvalidInput(
            f"{url} is not a feed ({problem}). Give the address of the RSS or Atom feed, or the site's own."
        )
    entries = [_entry(entry, url) for entry in found.entries[:_MOST_ADDRESSES]]
    return [entry for entry in entries if entry is not None]


def _entry(entry: Mapping[str, Any], url: str) -> Entry | None:
    link = _joined(url, str(entry.get("link") or "").strip()) if entry.get("link") else ""
    if not link:
        return None
    contents = [part for part in entry.get("content", ()) if "html" in str(part.get("type", "html"))]
    html = max((str(part.get("value") or "") for part in contents), key=len, default="")
    return Entry(
        url=link,
        title=_text_of(entry.get("title")),
        written_at=_time_of(entry.get("published_parsed")) or moment(entry.get("published")),
        modified_at=_time_of(entry.get("updated_parsed")),
        html=storable(html) or None,
        tags=tuple(texts([tag.get("term") for tag in entry.get("tags", ()) if tag.get("term")])),
        guid=short(entry.get("id")),
        summary=storable(str(entry.get("summary") or "")) or None,
    )


def _text_of(markup: object) -> str | None:
    """A feed's titles may hold markup."""
    text = short(markup)
    if text is None or "<" not in text:
        return text
    from lxml import html

    return short(html.fromstring(f"<p>{text}</p>").text_content())


def _time_of(parsed: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(calendar.timegm(parsed), UTC) if parsed else None  # type: ignore[arg-type]
    except (ValueError, OverflowError, OSError, TypeError):
        return None


def read_sitemap(body: bytes, url: str) -> Sitemap:
    """A sitemap or sitemap index (gzipped too), or a plain list of addresses. Raises InvalidInput when it is none."""
    from lxml import etree

    body = _unzipped(body, url)
    if not body.lstrip().startswith((b"<", b"\xef\xbb\xbf<")):
        return _plain_list(body, url)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise InvalidInput(f"{url} is not a sitemap: {short(error.msg)}.") from error
    kind = etree.QName(root).localname
    if kind not in {"urlset", "sitemapindex"}:
        raise InvalidInput(f"{url} is not a sitemap: its root element is <{kind}>.")
    pages: list[Entry] = []
    sitemaps: list[str] = []
    for element in root.iterchildren(tag=etree.Element):
        parts = {
            etree.QName(part).localname: (part.text or "").strip() for part in element.iterchildren(tag=etree.Element)
        }
        address = _joined(url, parts["loc"]) if parts.get("loc") else ""
        if address and kind == "sitemapindex":
            sitemaps.append(address)
        elif address:
            pages.append(Entry(url=address, modified_at=moment(parts.get("lastmod"))))
    return Sitemap(pages=tuple(pages[:_MOST_ADDRESSES]), sitemaps=tuple(sitemaps[:_MOST_ADDRESSES]))


def _unzipped(body: bytes, url: str) -> bytes:
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as packed:
            plain = packed.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{url} is not a sitemap: it is broken gzip.") from error
    if len(plain) > _MOST_BYTES:
        raise InvalidInput(f"{url} is larger than a sitemap may be ({_MOST_BYTES:,} bytes).")
    return plain


def _plain_list(body: bytes, url: str) -> Sitemap:
    lines = [line.strip() for line in body.decode("utf-8", "replace").splitlines() if line.strip()]
    if not lines or not all(line.startswith(("http://", "https://")) for line in lines):
        raise InvalidInput(f"{url} is not a sitemap: neither XML nor a list of addresses.")
    return Sitemap(pages=tuple(Entry(url=line) for line in lines[:_MOST_ADDRESSES]))


def read_head(text: str, url: str) -> Head:
    """Feeds, canonical address, kind and links of a page. Broken markup gives what can be read of it."""
    from lxml import etree, html

    try:
        root = html.document_fromstring(text.encode("utf-8", "replace"), parser=html.HTMLParser(encoding="utf-8"))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return Head(feeds=(), canonical=None, is_article=False, links=())
    base = url
    feeds: list[str] = []
    links: list[str] = []
    canonical: str | None = None
    is_article = False
    for element in root.iter("base", "link", "meta", "a"):
        where = element.get("href", "").strip()
        relation = element.get("rel", "").lower().split()
        if element.tag == "base" and where:
            base = _joined(url, where) or url
        elif element.tag == "link" and where:
            if "alternate" in relation and element.get("type", "").strip().lower() in _FEED_TYPES:
                feeds.append(_joined(base, where))
            elif "canonical" in relation and canonical is None:
                canonical = _joined(base, where)
        elif element.tag == "meta" and element.get("property", "").lower() == "og:type":
            is_article = element.get("content", "").strip().lower() == "article"
        elif element.tag == "a" and where and "nofollow" not in relation:
            links.append(_joined(base, where))
    good = [link for link in links if urlsplit(link).scheme in {"http", "https"}]
    return Head(
        feeds=tuple(dict.fromkeys(feed for feed in feeds if feed)),
        canonical=canonical or None,
        is_article=is_article,
        links=tuple(dict.fromkeys(good[:_MOST_ADDRESSES])),
    )


def _joined(base: str, where: str) -> str:
    try:
        joined = urljoin(base, where)
        urlsplit(joined).port  # noqa: B018 - a port that is no number shows only when it is asked for
    except ValueError:
        return ""
    return joined
