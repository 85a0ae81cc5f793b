"""LinkedIn's data export: shares and comments as CSV, articles as HTML pages.

Each line break in a share is wrapped in quotes (they stand around it after the CSV is read), quotes in comments are escaped with a
backslash, and links percent-encode the URN that names the item. A share without own words is a bare reshare.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from twin_core import identity
from twin_core.collect.archive import Archive
from twin_core.collect.formats import Recognised
from twin_core.collect.pieces import address, html_piece, inner_html, soup_of, text_piece, words_of
from twin_core.collect.registry import Options
from twin_core.collect.stated import day_in_name, moment, short
from twin_core.collect.streams import Row, rows
from twin_core.collect.urls import linkedin_urn
from twin_core.errors import InvalidInput
from twin_core.records import Category, Failed, Item, Skipped
from twin_core.settings import Settings

if TYPE_CHECKING:
    from bs4 import Tag

_SHARES = r"Shares(_\d+)?\.csv"
_COMMENTS = r"Comments(_\d+)?\.csv"
_REPOSTS = r"InstantReposts(_\d+)?\.csv"
_ARTICLES = r"Articles/(?:.*/)?[^/]+\.html?"
_FILES = {"share": _SHARES, "comment": _COMMENTS, "repost": _REPOSTS, "article": _ARTICLES}
_COLUMNS = {
    "share": ("Date", "ShareLink", "ShareCommentary", "SharedUrl", "MediaUrl", "Visibility"),
    "comment": ("Date", "Link", "Message"),
    "repost": ("Date", "Link"),
}
_WRAPPED_BREAK = re.compile(r'"\r?\n"')
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?")


class LinkedInExport:
    """`Shares.csv`, `Comments.csv`, `Articles/`; what else an export holds is not writing."""

    platform = "linkedin"
    looks_for = "Shares.csv, Comments.csv or Articles/*.html, by their columns"
    whole = True

    def recognises(self, archive: Archive, options: Options) -> Recognised | None:  # noqa: ARG002 - the protocol's
        """By files of these names that begin as LinkedIn's do."""
        kinds = {kind for kind in _FILES if any(_is(archive, kind, name) for name in archive.matching(_FILES[kind]))}
        if not kinds & {"share", "comment", "article"}:
            return None
        return Recognised(account=_account(archive), kinds=frozenset(kinds))

    def items(self, archive: Archive, options: Options, settings: Settings) -> Iterator[Item]:  # noqa: ARG002
        """Shares, comments, reposts, articles."""
        for kind in ("share", "comment", "repost"):
            for name in archive.matching(_FILES[kind]):
                yield from _table(archive, name, kind)
        for name in archive.matching(_ARTICLES):
            yield _article(archive, name)


FORMAT = LinkedInExport()


def _is(archive: Archive, kind: str, name: str) -> bool:
    head = archive.head(name, 16_384)
    if kind == "article":
        return any(sign in head for sign in (b"/pulse/", b'class="published"', b'class="created"'))
    text = head.decode("utf-16" if head[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8", "ignore").casefold()
    return all(column.casefold() in text for column in _COLUMNS[kind][:3])


def _account(archive: Archive) -> str:
    """The member's name, else the number that LinkedIn puts into file names; empty when neither is there."""
    for name in archive.matching(r"Profile\.csv"):
        try:
            for row in rows(archive, name, ("First Name", "Last Name")):
                if whole := short(" ".join(row.values.values())):
                    return whole
        except InvalidInput:
            break
    for pattern in (_SHARES, _COMMENTS):
        for name in archive.matching(pattern):
            if found := re.search(r"_(\d+)\.csv$", name, re.IGNORECASE):
                return found[1]
    return ""


def _table(archive: Archive, name: str, kind: str) -> Iterator[Item]:
    location = archive.location(name)
    try:
        for row in rows(archive, name, _COLUMNS[kind], escaped=kind == "comment"):
            yield _row(row, kind, f"{location}#{row.number}")
    except (InvalidInput, OSError) as error:
        yield Failed(native_id=f"{kind}:{name}", location=location, reason=str(error))


def _row(row: Row, kind: str, where: str) -> Item:
    values = row.values
    link = address(unquote(values.get("ShareLink") or values.get("Link") or "").strip()) or ""
    urn = _urn(link, kind)
    date = values.get("Date", "").strip()
    if row.bad is not None or not (link or moment(date)):
        reason = row.bad or "neither a date nor a link: it is no row of this table"
        return Failed(native_id=f"{kind}:row {row.number}", location=where, reason=reason)
    native_id = f"{kind}:{urn or identity.sha256(f'{date} {link}')[:16]}"
    location = link or where
    if kind == "repost":
        return Skipped(native_id=native_id, location=location, reason="an instant repost: not the author's words")
    text = values.get("ShareCommentary", "") if kind == "share" else values.get("Message", "")
    text = _WRAPPED_BREAK.sub("\n", text)
    if not text.strip():
        reason = "a bare reshare: no words of the author's" if kind == "share" else "an empty comment"
        return Skipped(native_id=native_id, location=location, reason=reason)
    stated = {
        "shared_url": address(values.get("SharedUrl")),
        "media_url": address(values.get("MediaUrl")),
        "visibility": short(values.get("Visibility")),
    }
    return text_piece(
        native_id,
        location,
        text,
        written_at=moment(date),
        canonical_url=link or None if kind == "share" else None,
        platform_id=f"linkedin:{urn}" if urn else None,
        metadata={key: value for key, value in stated.items() if value},
    )


def _urn(link: str, kind: str) -> str | None:
    """The item's URN; a comment's link names the post first and the comment after it."""
    urn = linkedin_urn(link)
    return None if urn is None or (kind == "comment" and not urn.startswith("urn:li:comment")) else urn


def _article(archive: Archive, name: str) -> Item:
    location = archive.location(name)
    stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    try:
        page = soup_of(archive.read(name))
        heading = page.select_one("h1")
        anchor = page.select_one('h1 a[href*="/pulse/"]') or page.select_one('a[href*="/pulse/"]')
        link = address(anchor.get("href")) if anchor else None
        title = words_of(heading) or words_of(page.title)
        published = _moment_in(page.select_one("p.published"))
        created = _moment_in(page.select_one("p.created"))
        for furniture in page.select("head, h1, p.created, p.published"):
            furniture.decompose()
        html = inner_html(page.body or page)
    except (InvalidInput, OSError) as error:
        return Failed(native_id=f"article:{stem}", location=location, reason=str(error))
    slug = link.split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1] if link else stem
    return html_piece(
        f"article:{slug}",
        link or location,
        html,
        category=Category.ARTICLE,
        title=title or stem,
        written_at=published or created or day_in_name(stem),
        canonical_url=link.split("?", 1)[0] if link else None,
        platform_id=f"linkedin:pulse:{slug}" if link else None,
    )


def _moment_in(element: Tag | None) -> datetime | None:
    found = _MOMENT.search(words_of(element) or "")
    return moment(found[0].replace("T", " ")) if found else None
