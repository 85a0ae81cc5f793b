"""Mastodon: the public posts of one account, by the interface of its server. Boosts are dropped, threads are one post.

The whole account is read every time, forty posts a request: only so are edits and deletions seen, and the server says
of neither. A thread is what a person writes in answer to themself; what they answer others stays a post of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

from twin_core import identity
from twin_core.collect.addresses import addresses_of, host_and_port
from twin_core.collect.answers import next_page, read_json, records_in
from twin_core.collect.guarded import FetchFailed, GuardedClient
from twin_core.collect.polite import PoliteClient
from twin_core.collect.registry import Options
from twin_core.collect.rules import Rules, read_rules
from twin_core.collect.stated import moment, short
from twin_core.errors import InvalidInput, SourceUnavailable
from twin_core.records import Category, Found, Item, Known, Listed, Skipped, Source, Unchanged
from twin_core.settings import Settings
from twin_core.text.html import plain_text

# Raise when the same posts would be read differently.
_READ_AS = "1"
_HANDLE = re.compile(r"@?([\w.-]+)@([A-Za-z0-9.-]+(?::\d+)?)")
_PAGE = 40
"""The most that servers give at once."""


class MastodonCollector:
    """One account."""

    platform = "mastodon"

    def check(self, locator: str, options: Options, settings: Settings) -> str:
        """The profile's address, from it or from `@name@server`. Raises InvalidInput, Refused."""
        read_rules(options)
        home, name = _account(locator)
        with suppress(OSError, UnicodeError):  # no network, or no such name yet: the run says so
            addresses_of(*host_and_port(home), allow=settings.crawl_allow_hosts)
        return f"{home}/@{name}"

    def collect(self, source: Source, known: Mapping[str, Known], settings: Settings) -> Iterator[Item]:
        """Every thread of the account, then `Listed` if all pages were read."""
        with GuardedClient(settings) as client:
            yield from collect_with(PoliteClient(client, settings), source, known, settings)


COLLECTOR = MastodonCollector()


def collect_with(
    client: PoliteClient, source: Source, known: Mapping[str, Known], settings: Settings
) -> Iterator[Item]:
    """As `MastodonCollector.collect`, through a client of the caller's making."""
    rules = read_rules(source.options)
    home, name = _account(source.locator)
    what = f"The account {source.locator}"
    account = read_json(client.ask(f"{home}/api/v1/accounts/lookup?acct={quote(name)}"), what)
    if not isinstance(account, Mapping) or not account.get("id"):
        raise SourceUnavailable(f"{what}: the server knows no such account. Nothing was deleted.")
    me = str(account["id"])
    statuses: dict[str, Mapping[str, Any]] = {}
    trouble: str | None = None
    url = f"{home}/api/v1/accounts/{quote(me)}/statuses?limit={_PAGE}&exclude_reblogs=true"
    try:
        for page in _pages(client, url, what, settings.crawl_max_pages):
            for status in page:
                if status.get("id") and status.get("reblog") is None:  # servers before 2.8 list boosts all the same
                    statuses.setdefault(str(status["id"]), status)
    except (SourceUnavailable, FetchFailed) as error:
        trouble = str(error)
    threads = _threads(statuses, me, all_read=trouble is None)
    for thread in threads:
        yield _item(thread, known, rules)
    if trouble is not None:
        raise SourceUnavailable(trouble)
    yield Listed(own_count=len(threads))


def _pages(client: PoliteClient, url: str, what: str, limit: int) -> Iterator[list[Mapping[str, Any]]]:
    """The pages of the listing, newest posts first. Raises SourceUnavailable beyond `limit` pages."""
    following: str | None = url
    for _ in range(limit):
        if following is None:
            return
        answer = client.ask(following)
        yield records_in(read_json(answer, what), what)
        following = next_page(answer)
    if following is not None:
        raise SourceUnavailable(f"{what} has more than {limit:,} pages (TWIN_CRAWL_MAX_PAGES). Nothing was deleted.")


def _account(locator: str) -> tuple[str, str]:
    """The server's address and the account's name."""
    text = locator.strip()
    if found := _HANDLE.fullmatch(text):
        return f"https://{found.group(2).lower()}", found.group(1)
    if "://" in text:
        host_and_port(text)
        parts = urlsplit(text)
        last = parts.path.strip("/").split("/")[0]
        if last.startswith("@") and "@" not in last[1:] and len(last) > 1:
            return f"{parts.scheme.lower()}://{parts.netloc.lower()}", last[1:]
    raise InvalidInput(f"`{text}` is no Mastodon account. Give `@name@server`, or the profile's address.")


def _threads(statuses: Mapping[str, Mapping[str, Any]], me: str, *, all_read: bool) -> list[list[Mapping[str, Any]]]:
    """Posts with what the person added to them, oldest first. Left out: parts whose beginning was not read yet."""
    threads: dict[str, list[Mapping[str, Any]]] = {}
    root_of: dict[str, str | None] = {}
    for name in sorted(statuses, key=lambda one: (len(one), one)):  # ids grow with time
        status = statuses[name]
        parent = str(status.get("in_reply_to_id") or "")
        root: str | None = name
        if parent and str(status.get("in_reply_to_account_id")) == me:
            # A part of a thread whose beginning was deleted stands for itself, once everything was read.
            root = root_of.get(parent, name if all_read else None)
        root_of[name] = root
        if root is not None:
            threads.setdefault(root, []).append(status)
    return list(threads.values())


def _item(thread: Sequence[Mapping[str, Any]], known: Mapping[str, Known], rules: Rules) -> Item:
    first = thread[0]
    name = str(first.get("uri") or first["id"])
    location = short(first.get("url")) or name
    html = "\n".join(_html(status) for status in thread).strip()
    text = plain_text(html)
    if not text:
        shown = any(status.get("media_attachments") or status.get("poll") for status in thread)
        reason = "pictures or a poll without words" if shown else "empty: no text in it"
        return Skipped(native_id=name, location=location, reason=reason, empty=not shown)
    stamp = {"rules": f"{_READ_AS}-{rules.fingerprint}", "edited": _edited(thread)}
    content_hash = identity.content_hash(text)
    before = known.get(name)
    if before is not None and before.content_hash == content_hash:
        return Unchanged(native_id=name, validators=stamp)
    metadata: dict[str, object] = {"charset": "utf-8"}
    if language := short(first.get("language")):
        metadata["language"] = language
    tags = [tag.get("name") for status in thread for tag in status.get("tags") or () if isinstance(tag, Mapping)]
    if tags := list(dict.fromkeys(word for tag in tags if (word := short(tag)))):
        metadata["tags"] = tags
    if len(thread) > 1:
        metadata["parts"] = len(thread)
    if first.get("in_reply_to_id") and first.get("in_reply_to_account_id") is not None:
        metadata["in_reply_to"] = str(first["in_reply_to_id"])
    return Found(
        native_id=name,
        location=location,
        category=rules.category or Category.POST,
        media_type="text/html",
        body=html.encode("utf-8", "replace"),
        content_hash=content_hash,
        written_at=moment(first.get("created_at")),
        modified_at=moment(_edited(thread)),
        canonical_url=location,
        platform_id=f"mastodon:{name}",
        metadata=metadata,
        validators=stamp,
    )


def _html(status: Mapping[str, Any]) -> str:
    """A post as the server gives it, its content warning above it."""
    from html import escape

    warning = short(status.get("spoiler_text"))
    content = str(status.get("content") or "")
    return f"<p>{escape(warning)}</p>\n{content}" if warning else content


def _edited(thread: Sequence[Mapping[str, Any]]) -> str:
    return max((str(status.get("edited_at") or "") for status in thread), default="")
