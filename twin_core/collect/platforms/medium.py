"""Medium, by the feed of one person: the latest ten pieces, whole unless they are for members only.

The feed is all that Medium gives to programs; everything older comes with the official export (`exports/medium.py`),
whose items have the same ids. Pages are not fetched: a member-only piece is kept as far as the feed shows it, and says
so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from twin_core.collect.addresses import host_and_port
from twin_core.collect.answers import require
from twin_core.collect.guarded import GuardedClient, Response
from twin_core.collect.listings import Entry, read_feed
from twin_core.collect.pieces import html_piece
from twin_core.collect.polite import PoliteClient
from twin_core.collect.registry import Options
from twin_core.collect.rules import read_rules
from twin_core.errors import InvalidInput, SourceUnavailable
from twin_core.records import Category, Found, Item, Known, Skipped, Source, Unchanged
from twin_core.settings import Settings
from twin_core.text.html import plain_text

# Raise when the same entry would be read differently.
_READ_AS = "1"
_USER = re.compile(r"@[A-Za-z0-9_.-]{1,60}")
_POST_ID = re.compile(r"(?:/p/|-)([0-9a-f]{8,16})(?:[/?#]|$)")
# What Medium puts into the feed in place of a member-only piece: a picture, the first lines, "Continue reading on ...".
_SNIPPET = re.compile(r"<p class=\"medium-feed-snippet\">(.*?)</p>", re.DOTALL)
_CUT = re.compile(r"class=\"medium-feed-(?:item|link)\"|Continue reading on [^<]{1,80} »(?:\s|<[^>]*>)*\Z")
_COMMENT_WORDS = 150
"""A piece without tags that is named by its own first words and no longer than this is an answer to another's piece."""


class MediumCollector:
    """One person's feed."""

    platform = "medium"

    def check(self, locator: str, options: Options, settings: Settings) -> str:
        """`https://medium.com/@user`, from `@user` or any address of the person. Raises InvalidInput for others."""
        del settings
        read_rules(options)
        return f"https://medium.com/{_user(locator)}"

    def collect(self, source: Source, known: Mapping[str, Known], settings: Settings) -> Iterator[Item]:
        """The entries of the feed. Never `Listed`: ten entries say nothing about the rest."""
        with GuardedClient(settings) as client:
            yield from collect_with(PoliteClient(client, settings), source, known, settings)


COLLECTOR = MediumCollector()


def collect_with(
    client: PoliteClient, source: Source, known: Mapping[str, Known], settings: Settings
) -> Iterator[Item]:
    """As `MediumCollector.collect`, through a client of the caller's making."""
    rules = read_rules(source.options)
    stamp = f"{_READ_AS}-{rules.fingerprint}"
    latest = _latest_feed(known, stamp)
    answer = client.get(f"{settings.medium_url.rstrip('/')}/feed/{_user(source.locator)}", latest)
    if answer.status == 304:
        for name, before in known.items():
            if before.validators.get("etag") == (latest or {}).get("etag"):
                yield Unchanged(native_id=name, validators=before.validators)
        return
    require(answer, f"The feed of {source.locator}")
    try:
        entries = read_feed(answer.body, answer.url, answer.headers.get("content-type", ""))
    except InvalidInput as error:
        raise SourceUnavailable(f"{error} Nothing was deleted.") from error
    validators = _validators(answer, stamp)
    ended: set[str] = set()
    for entry in entries:
        item = _item(entry, known, validators, rules.category)
        if item.native_id not in ended and rules.takes(urlsplit(entry.url).path):
            ended.add(item.native_id)
            yield item


def _user(locator: str) -> str:
    text = locator.strip()
    if _USER.fullmatch(text):
        return text
    url = text if "://" in text else f"https://{text}"
    host, _ = host_and_port(url)
    first = next((part for part in urlsplit(url).path.split("/") if part and part != "feed"), "")
    if host.removeprefix("www.") == "medium.com" and _USER.fullmatch(first):
        return first
    if host.endswith(".medium.com") and not host.startswith("www.") and _USER.fullmatch(f"@{host.split('.')[0]}"):
        return f"@{host.split('.')[0]}"
    raise InvalidInput(
        f"`{text}` is no person on Medium. Give `@name` or https://medium.com/@name; add a publication as `web`."
    )


def _latest_feed(known: Mapping[str, Known], stamp: str) -> Mapping[str, str] | None:
    """Validators of the feed that was read last; None when none fits, and then the feed is read whole."""
    fitting = [one.validators for one in known.values() if one.validators.get("rules") == stamp]
    return max(fitting, key=lambda validators: validators.get("feed_at", ""), default=None)


def _validators(answer: Response, stamp: str) -> dict[str, str]:
    """The feed's own, kept with each item of it: an item has none of its own."""
    found = {"rules": stamp, "feed_at": datetime.now(UTC).isoformat()}
    for key, header in (("etag", "etag"), ("last_modified", "last-modified")):
        if answer.headers.get(header):
            found[key] = answer.headers[header]
    return found


def _item(
    entry: Entry, known: Mapping[str, Known], validators: Mapping[str, str], stated: Category | None
) -> Found | Unchanged | Skipped:
    address = entry.url.partition("?")[0]
    found = _POST_ID.search(entry.guid or "") or _POST_ID.search(address)
    name = found.group(1) if found else address
    html, cut = _content(entry)
    metadata: dict[str, object] = {}
    if entry.tags:
        metadata["tags"] = list(entry.tags)
    if cut:
        metadata["cut_short"] = "member-only: the feed gives its beginning, the export the whole"
    category = stated or _category(entry, html)
    piece = html_piece(
        name,
        address,
        html,
        category=category,
        title=entry.title if category is Category.ARTICLE else None,
        written_at=entry.written_at,
        modified_at=entry.modified_at,
        canonical_url=address,
        platform_id=f"medium:{name}" if found else None,
        metadata=metadata,
    )
    if isinstance(piece, Skipped):
        return piece
    before = known.get(name)
    # A piece that was read whole and is for members now: what is stored says more.
    lost = before is not None and cut and before.validators.get("cut") == "no"
    own = {**validators, "cut": "yes" if cut and not lost else "no"}
    if before is not None and (lost or before.content_hash == piece.content_hash):
        return Unchanged(native_id=name, validators=own)
    return replace(piece, validators=own)


def _content(entry: Entry) -> tuple[str, bool]:
    """The entry's HTML, and whether it is only the beginning of the piece."""
    if entry.html and not _CUT.search(entry.html):
        return entry.html, False
    shown = entry.html or entry.summary or ""
    snippet = _SNIPPET.search(shown)
    return f"<p>{snippet.group(1)}</p>" if snippet else "", True


def _category(entry: Entry, html: str) -> Category:
    words = plain_text(html).split()
    title = " ".join((entry.title or "").split()).rstrip("…. ")
    headed = re.match(r"\s*<h[1-6]", html) is not None
    named_by_itself = bool(title) and " ".join(words).startswith(title)
    is_comment = not entry.tags and not headed and len(words) <= _COMMENT_WORDS and named_by_itself
    return Category.POST if is_comment else Category.ARTICLE
