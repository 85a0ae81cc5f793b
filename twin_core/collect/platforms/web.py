"""A blog or any site of the author's: by feed, by sitemap, or page by page.

Feeds name the newest and prove nothing about the rest; a sitemap is the site's own full list, and still a page counts
as gone only when a request for it says so (410, or 404 in two runs). Here: what is asked for, in which order, and what
each answer means. The listings are gathered in `discovery.py`, manners are in `polite.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from twin_core import identity
from twin_core.collect.addresses import addresses_of, host_and_port
from twin_core.collect.discovery import Listing, discover, page_text
from twin_core.collect.guarded import FetchFailed, GuardedClient, Response
from twin_core.collect.listings import Entry, Head, read_head
from twin_core.collect.polite import PoliteClient, RobotsForbid
from twin_core.collect.reading import is_bare
from twin_core.collect.registry import Options
from twin_core.collect.rules import Rules, read_rules
from twin_core.collect.stated import short
from twin_core.collect.urls import address_of, site_of
from twin_core.errors import InvalidInput, Refused, SourceUnavailable
from twin_core.records import Category, Failed, Found, Gone, Item, Known, Listed, Skipped, Source, Unchanged
from twin_core.settings import Settings
from twin_core.text.html import Extracted, main_text

# Raise when the same page would be read differently: every page is then fetched once more.
_READ_AS = "1"
_KINDS = frozenset({"site", "feed", "sitemap", "page"})
_PAGE_TYPES = frozenset({"", "text/html", "application/xhtml+xml", "text/plain", "text/markdown"})
# A feed's content shorter than this is the start of an article more often than a short one; then the page is asked.
_STUB_WORDS = 80
_CUT_SHORT = ("…", "...", "[…]", "[...]", "read more", "continue reading", "weiterlesen")
# So many pages in a row that cannot be reached mean that the site is down, not that the pages are bad.
_GIVE_UP_AFTER = 5
# Addresses under which sites list their articles. `/archives/2024/03/title` is not among them, nor is `?p=123`: those
# are where some programs put the articles themselves.
_NAVIGATION = re.compile(
    r"/(?:tags?|categor(?:y|ies)|kategorie|schlagwort|authors?)(?:/[^/]+)?/?$|/(?:page|seite)/\d+/?$", re.IGNORECASE
)


class WebCollector:
    """A site by its address, its feed's, its sitemap's, or one page's."""

    platform = "web"

    def check(self, locator: str, options: Options, settings: Settings) -> str:
        """The address in its canonical form; `https://` is put before one that names no scheme.

        Raises InvalidInput for what is no web address, Refused for a host inside this network.
        """
        read_rules(options, own=("kind",))
        _kind(options)
        text = locator.strip()
        url = text if "://" in text else f"https://{text}"
        host, port = host_and_port(url)
        with suppress(OSError, UnicodeError):  # no network, or no such name yet: the run says so
            addresses_of(host, port, allow=settings.crawl_allow_hosts)
        return address_of(url)

    def collect(self, source: Source, known: Mapping[str, Known], settings: Settings) -> Iterator[Item]:
        """Every page that the listings name and every page known before, then `Listed` if a sitemap was read whole."""
        with GuardedClient(settings) as client:
            yield from collect_with(PoliteClient(client, settings), source, known, settings)


COLLECTOR = WebCollector()


def collect_with(
    client: PoliteClient, source: Source, known: Mapping[str, Known], settings: Settings
) -> Iterator[Item]:
    """As `WebCollector.collect`, through a client of the caller's making."""
    kind, rules = _kind(source.options), read_rules(source.options, own=("kind",))
    listing = discover(client, source.locator, kind, rules)
    yield from _Site(client, listing, rules, known, settings.crawl_max_pages).pages()
    if listing.problem is not None:
        raise SourceUnavailable(listing.problem)
    if listing.complete:
        yield Listed(own_count=listing.own_count)


def _kind(options: Options) -> str | None:
    kind = options.get("kind")
    if kind is not None and kind not in _KINDS:
        raise InvalidInput(f"`{kind}` is no kind of web source. There are: {', '.join(sorted(_KINDS))}.")
    return None if kind is None else str(kind)


_PageItem = Found | Unchanged | Skipped | Failed | Gone


class _Site:
    """One run over one site."""

    def __init__(
        self, client: PoliteClient, listing: Listing, rules: Rules, known: Mapping[str, Known], limit: int
    ) -> None:
        self.client = client
        self.listing = listing
        self.rules = rules
        self.known = known
        self.limit = limit
        # A page known under its canonical address may be listed under another one.
        self.ids = {known[name].validators.get("url", name): name for name in known} | {name: name for name in known}
        self.ended: set[str] = set()
        self.failures_in_a_row = 0

    def pages(self) -> Iterator[Item]:
        """One item per page: new ones first, so that a run that reaches its limit gets further each time."""
        entries = self.listing.entries
        fresh = [url for url in entries if url not in self.ids]
        again = [url for url in entries if url in self.ids]
        unnamed = [] if self.listing.single else sorted(set(self.known) - {self.ids[url] for url in again})
        for at, url in enumerate([*fresh, *again, *unnamed]):
            name = self.ids.get(url, url)
            if name in self.ended:
                continue
            if at < self.limit:
                item = self._page(url, entries.get(url, Entry(url=url)), self.known.get(name))
            else:
                reason = f"beyond the {self.limit:,} pages of one run (TWIN_CRAWL_MAX_PAGES); a later run takes it"
                item = Skipped(native_id=name, location=url, reason=reason)
                self.listing.complete = False
            if item.native_id in self.ended:
                continue
            self.ended.add(item.native_id)
            yield item
            self._give_up_when_down(item)

    def _give_up_when_down(self, item: _PageItem) -> None:
        if self.failures_in_a_row >= _GIVE_UP_AFTER:
            reason = item.reason if isinstance(item, Failed) else ""
            raise SourceUnavailable(
                f"{_GIVE_UP_AFTER} pages in a row could not be fetched; the rest waits for the next run. Last: {reason}"
            )

    def _page(self, url: str, entry: Entry, before: Known | None) -> _PageItem:
        name = before.native_id if before else url
        try:
            if not self.client.may_fetch(url):
                reason = f"robots.txt forbids {urlsplit(url).path}"
                return Skipped(native_id=name, location=url, reason=reason)
            if not self.rules.takes(urlsplit(url).path):
                return Gone(native_id=name, reason="this source's options leave it out now")
            if why := self._why_no_article(url, entry):
                return Skipped(native_id=name, location=url, reason=why)
            if before is None or before.validators.get("via") == "feed":
                item = self._from_feed(url, entry, before)
                if item is not None:
                    return item
            validators = before.validators if before and before.validators.get("rules") == self._stamp else None
            answer = self.client.get(url, validators)
        except RobotsForbid as error:  # where a redirect led
            return Skipped(native_id=name, location=url, reason=str(error))
        except Refused as error:
            return Failed(native_id=name, location=url, reason=str(error))
        except FetchFailed as error:
            self.failures_in_a_row += 1 if error.transient else 0
            return Failed(native_id=name, location=url, reason=str(error))
        self.failures_in_a_row = self.failures_in_a_row + 1 if answer.status >= 500 else 0
        return self._from_answer(url, entry, before, answer)

    @property
    def _stamp(self) -> str:
        return f"{_READ_AS}-{self.rules.fingerprint}"

    def _from_answer(self, url: str, entry: Entry, before: Known | None, answer: Response) -> _PageItem:
        name = before.native_id if before else url
        final = address_of(answer.url)
        if answer.status == 304 and before is not None:
            return Unchanged(native_id=name, validators={**before.validators, "missed": "0"})
        if answer.status == 410 and before is not None:
            return Gone(native_id=name, reason="HTTP 410: the site says that it is gone")
        if answer.status in {404, 410}:
            return _missing(name, url, f"HTTP {answer.status}", before)
        if answer.status != 200:
            return Failed(native_id=name, location=url, reason=f"HTTP {answer.status}")
        if site_of(final) != self.listing.home:
            return Skipped(native_id=name, location=url, reason=f"redirects to another site: {final}")
        if final != url and urlsplit(final).path == "/":
            return _missing(name, url, "it redirects to the front page", before)
        if answer.media_type not in _PAGE_TYPES:
            return Skipped(native_id=name, location=url, reason=f"no page of text: {answer.media_type}")
        try:
            text = page_text(answer)
        except InvalidInput as error:
            return Failed(native_id=name, location=url, reason=str(error))
        head = read_head(text, answer.url)
        if before is None:
            name = self._canonical(head, final)
            if name in self.ended:
                return Skipped(native_id=url, location=url, reason=f"the same page as {name}")
            before = self.known.get(name)
        validators = {"rules": self._stamp, "via": "page", "missed": "0", "url": url}
        for key, header in (("etag", "etag"), ("last_modified", "last-modified")):
            if answer.headers.get(header):
                validators[key] = answer.headers[header]
        return self._item(
            name, final, entry, before, body=answer.body, read=main_text(text, answer.url), validators=validators,
            charset=answer.charset, canonical_url=head.canonical,
        )  # fmt: skip

    def _why_no_article(self, url: str, entry: Entry) -> str | None:
        if self.listing.single or self.rules.include or entry.title is not None:
            return None
        path = urlsplit(url).path
        if not path.strip("/"):
            return "the front page: it lists what is collected page by page"
        return "a page of links: tag, author or page number" if _NAVIGATION.search(path) else None

    def _canonical(self, head: Head, final: str) -> str:
        """The address the page gives itself, if it is one of this site; themes that name the front page are ignored."""
        if head.canonical and site_of(head.canonical) == self.listing.home and urlsplit(head.canonical).path.strip("/"):
            return address_of(head.canonical)
        return final

    def _from_feed(self, url: str, entry: Entry, before: Known | None) -> _PageItem | None:
        """The item that the feed itself carries whole; None when the page must be asked."""
        if not entry.html:
            return None
        read = main_text(entry.html, url)
        if len(read.markdown.split()) < _STUB_WORDS or read.markdown.rstrip().lower().endswith(_CUT_SHORT):
            return None
        name = before.native_id if before else url
        validators = {"rules": self._stamp, "via": "feed", "missed": "0", "url": url}
        body = entry.html.encode("utf-8")
        return self._item(name, url, entry, before, body=body, read=read, validators=validators, charset="utf-8")

    def _item(
        self,
        name: str,
        url: str,
        entry: Entry,
        before: Known | None,
        *,
        body: bytes,
        read: Extracted,
        validators: Mapping[str, str],
        charset: str | None,
        canonical_url: str | None = None,
    ) -> _PageItem:
        if is_bare(read.markdown):
            return Skipped(native_id=name, location=url, reason="empty body after extraction", empty=True)
        content_hash = identity.content_hash(read.markdown)
        if before is not None and before.content_hash == content_hash:
            return Unchanged(native_id=name, validators=validators)
        metadata: dict[str, object] = {key: value for key, value in read.metadata.items() if key != "canonical"}
        if entry.tags:
            metadata["tags"] = list(entry.tags)
        if read.language:
            metadata["language"] = read.language
        if charset:
            metadata["charset"] = charset
        return Found(
            native_id=name,
            location=url,
            category=self.rules.category_of(urlsplit(url).path) or Category.ARTICLE,
            media_type="text/html",
            body=body,
            content_hash=content_hash,
            title=entry.title or short(read.title),
            written_at=entry.written_at or read.written_at,
            modified_at=entry.modified_at,
            canonical_url=canonical_url,
            metadata=metadata,
            validators=validators,
        )


def _missing(name: str, url: str, what: str, before: Known | None) -> _PageItem:
    """A page that is not there: gone when it was missed in the run before too, for servers have bad days."""
    if before is None:
        return Failed(native_id=name, location=url, reason=what)
    if before.validators.get("missed", "0") != "0":
        return Gone(native_id=name, reason=f"{what}, for the second time")
    return Failed(
        native_id=name,
        location=url,
        reason=f"{what}; kept, and gone if the next run finds the same",
        validators={**before.validators, "missed": "1"},
    )
