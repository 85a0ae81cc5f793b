"""Medium's export: one HTML page per story, draft and comment in `posts/`.

A comment has neither subtitle nor tags, and its text does not begin with its title: it is a post. Drafts are left out,
and one that was published before is withdrawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from twin_core.collect.archive import Archive
from twin_core.collect.formats import Recognised
from twin_core.collect.pieces import address, html_piece, inner_html, soup_of, words_of
from twin_core.collect.registry import Options
from twin_core.collect.stated import day_in_name, moment
from twin_core.errors import InvalidInput
from twin_core.records import Category, Failed, Item, Skipped
from twin_core.settings import Settings

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

_POSTS = r"posts/[^/]+\.html?"
_ID = re.compile(r"[-_]([0-9a-f]{8,16})\.html?$")
_SIGNS = (b"Exported from", b"p-canonical", b"h-entry")
_ACCOUNT = re.compile(r"medium\.com/@([\w.-]+)")


class MediumExport:
    """`posts/*.html` with `profile/profile.html`."""

    platform = "medium"
    looks_for = "posts/*.html beside profile/profile.html"
    whole = True

    def recognises(self, archive: Archive, options: Options) -> Recognised | None:  # noqa: ARG002 - the protocol's
        """By the profile beside the posts, or by what Medium writes into a post."""
        posts = archive.matching(_POSTS)
        profile = archive.matching(r"profile/profile\.html?")
        if not posts or not (profile or any(sign in archive.head(posts[0]) for sign in _SIGNS)):
            return None
        for name in (*profile, *posts[:20]):
            if found := _ACCOUNT.search(archive.head(name).decode("utf-8", "replace")):
                return Recognised(account=found[1].lower(), kinds=frozenset({"story"}))
        return Recognised(account=self.platform, kinds=frozenset({"story"}))

    def items(self, archive: Archive, options: Options, settings: Settings) -> Iterator[Item]:  # noqa: ARG002
        """One item per page of `posts/`."""
        seen: set[str] = set()
        for name in archive.matching(_POSTS):
            found = _ID.search(name)
            key = found[1] if found and found[1] not in seen else name.removeprefix("posts/")
            seen.add(key)
            yield _story(archive, name, key)


FORMAT = MediumExport()


def _story(archive: Archive, name: str, key: str) -> Item:
    native_id, location = f"story:{key}", archive.location(name)
    if name.rsplit("/", maxsplit=1)[-1].lower().startswith("draft"):
        return Skipped(native_id=native_id, location=location, reason="a draft", withdrawn=True)
    try:
        page = soup_of(archive.read(name))
        body = page.select_one("section[data-field=body], .e-content")
        if body is None:
            return Failed(native_id=native_id, location=location, reason="the page has no body section")
        title = words_of(page.select_one("h1.p-name")) or words_of(page.title)
        begins_with_title = _without_title(body, title)
        html = inner_html(body)
    except (InvalidInput, OSError) as error:
        return Failed(native_id=native_id, location=location, reason=str(error))
    tags = [tag for element in page.select("a.p-tag") if (tag := words_of(element))]
    subtitle = words_of(page.select_one("section[data-field=subtitle], .p-summary"))
    comment = not (tags or subtitle or begins_with_title)
    canonical = _href(page, "a.p-canonical")
    platform_id = f"medium:{key}" if re.fullmatch("[0-9a-f]{8,16}", key) else None
    if canonical and "medium.com/" in canonical:
        location = canonical
    elif platform_id:
        location = f"https://medium.com/p/{key}"  # the text's own address may be a blog, where it was first
    return html_piece(
        native_id,
        location,
        html,
        category=Category.POST if comment else Category.ARTICLE,
        title=None if comment else title,
        written_at=_published(page) or day_in_name(name.rsplit("/", maxsplit=1)[-1]),
        canonical_url=canonical,
        platform_id=platform_id,
        metadata={name: value for name, value in (("tags", tags), ("description", subtitle)) if value},
    )


def _without_title(body: Tag, title: str | None) -> bool:
    """Take the title out of the text, which repeats it; whether it did."""
    heading = body.select_one(".graf--title, h1, h2, h3")
    if heading is None or ("graf--title" not in (heading.get("class") or []) and words_of(heading) != title):
        return False
    heading.decompose()
    return True


def _published(page: BeautifulSoup) -> datetime | None:
    found = page.select_one("time.dt-published")
    return moment(found.get("datetime")) if found else None


def _href(page: BeautifulSoup, selector: str) -> str | None:
    found = page.select_one(selector)
    return address(found.get("href")) if found else None
