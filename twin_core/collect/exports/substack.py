"""Substack's export: `posts.csv` lists the posts, `posts/<post_id>.html` holds each as a bare fragment of HTML.

Only the list says what was published, so a text that it does not list is not taken. Buttons, polls, paywalls and
embedded posts of others are furniture of the page and not the author's words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

from twin_core.collect.archive import Archive
from twin_core.collect.formats import Recognised
from twin_core.collect.pieces import html_piece, inner_html, soup_of
from twin_core.collect.registry import Options
from twin_core.collect.stated import moment, short
from twin_core.collect.streams import Row, rows
from twin_core.errors import InvalidInput
from twin_core.records import Category, Failed, Found, Item, Skipped
from twin_core.settings import Settings

_COLUMNS = ("post_id", "post_date", "is_published", "type", "audience", "title", "subtitle", "podcast_url")
_FURNITURE = (
    ".button-wrapper, .captioned-button-wrap, .paywall-jump, .digest-post-embed, .poll-embed, .subscription-widget-wrap, "
    ".subscription-widget, .embedded-post-wrap, .embedded-publication-wrap, .install-substack-app-embed"
)
_SUBSTACK = re.compile(rb"https?://([a-z0-9-]+)\.substack\.com/(?:p|subscribe|publish)", re.IGNORECASE)


class SubstackExport:
    """`posts.csv` with `posts/`."""

    platform = "substack"
    looks_for = "posts.csv with the columns post_id and post_date, beside posts/*.html"
    whole = True

    def recognises(self, archive: Archive, options: Options) -> Recognised | None:  # noqa: ARG002 - the protocol's
        """By the list and its columns."""
        if not archive.matching(r"posts\.csv"):
            return None
        head = archive.head("posts.csv", 8192).replace(b"\0", b"")
        if b"post_id" not in head:
            return None
        return Recognised(account=_account(archive), kinds=frozenset({"post"}))

    def items(self, archive: Archive, options: Options, settings: Settings) -> Iterator[Item]:  # noqa: ARG002
        """One item per line of the list, then what the list does not name."""
        unlisted = set(archive.matching(r"posts/[^/]+\.html?"))
        said: set[str] = set()
        try:
            for row in rows(archive, "posts.csv", _COLUMNS):
                item = _post(archive, row, unlisted)
                said.add(item.native_id)
                yield item
        except (InvalidInput, OSError) as error:
            yield Failed(native_id="post:posts.csv", location=archive.location("posts.csv"), reason=str(error))
        for name in sorted(name for name in unlisted if f"post:{_key(name)}" not in said):
            yield Failed(
                native_id=f"post:{_key(name)}",
                location=archive.location(name),
                reason="posts.csv does not list it, so it is not known whether it was published",
            )


FORMAT = SubstackExport()


def _account(archive: Archive) -> str:
    """The publication: named by the list of subscribers, else by links to itself; empty when neither is there."""
    for name in archive.names:
        if found := re.fullmatch(r"email_list\.([\w-]+)\.csv", name):
            return found[1]
    for name in archive.matching(r"posts/[^/]+\.html?")[:20]:
        if linked := _SUBSTACK.search(archive.head(name)):
            return linked[1].decode("ascii").lower()
    return ""


def _key(post_id: str) -> str:
    """`123401.plain-text` is 123401; a name without a number stays as it is."""
    stem = post_id.rsplit("/", 1)[-1]
    number = stem.partition(".")[0]
    return number if number.isdigit() else stem.removesuffix(".html").removesuffix(".htm")


def _post(archive: Archive, row: Row, unlisted: set[str]) -> Found | Skipped | Failed:
    post_id = row.values.get("post_id", "").strip()
    where = f"{archive.location('posts.csv')}#{row.number}"
    if row.bad is not None or not re.fullmatch(r"[\w.\-]{1,300}", post_id):
        reason = row.bad or "the row names no post"
        return Failed(native_id=f"post:row {row.number}", location=where, reason=reason)
    native_id = f"post:{_key(post_id)}"
    name = next((name for name in (f"posts/{post_id}.html", f"posts/{post_id}.htm") if name in unlisted), None)
    unlisted.discard(name or "")
    location = archive.location(name) if name else where
    published = row.values.get("is_published", "").strip().casefold()
    if published in {"false", "0", "no"}:
        return Skipped(native_id=native_id, location=location, reason="a draft", withdrawn=True)
    if published not in {"true", "1", "yes"}:
        return Failed(native_id=native_id, location=location, reason="posts.csv does not say whether it was published")
    if name is None:
        kind = row.values.get("type", "").strip() or "post"
        return Skipped(native_id=native_id, location=location, reason=f"a {kind} without a text of its own")
    try:
        page = soup_of(archive.read(name))
        for furniture in page.select(_FURNITURE):
            furniture.decompose()
        html = inner_html(page.body or page)
    except (InvalidInput, OSError) as error:
        return Failed(native_id=native_id, location=location, reason=str(error))
    stated = {
        "description": short(unescape(row.values.get("subtitle", ""))),
        "audience": short(row.values.get("audience")),
        "type": short(row.values.get("type")),
    }
    return html_piece(
        native_id,
        location,
        html,
        category=Category.POST if row.values.get("type", "").strip() == "thread" else Category.ARTICLE,
        title=short(unescape(row.values.get("title", ""))) or post_id.partition(".")[2].replace("-", " ") or None,
        written_at=moment(row.values.get("post_date", "")),
        platform_id=f"substack:{_key(post_id)}" if _key(post_id).isdigit() else None,
        metadata={key: value for key, value in stated.items() if value},
    )
