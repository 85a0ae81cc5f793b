"""What a site has: from its address to the pages it names, through feeds, sitemaps and, last, links.

Fetching listings and deciding how far they can be trusted; the pages themselves are the business of
`platforms/web.py`, the formats that of `listings.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from twin_core.collect.guarded import FetchFailed, Response
from twin_core.collect.listings import Entry, Sitemap, looks_like_xml, read_feed, read_head, read_sitemap
from twin_core.collect.polite import PoliteClient, RobotsForbid
from twin_core.collect.rules import Rules
from twin_core.collect.urls import address_of, folder_of, site_of
from twin_core.errors import InvalidInput, Refused, SourceUnavailable
from twin_core.text.decode import decode, html_charset

_MOST_SITEMAPS = 500


@dataclass(slots=True)
class Listing:
    """What the site says that it has, by canonical address, and how far that can be trusted."""

    entries: dict[str, Entry] = field(default_factory=dict)
    problem: str | None = None
    """What could not be read; the entries of the rest are there."""
    complete: bool = False
    """Read to its end, and it is the site's own full list."""
    own_count: int | None = None
    home: str = ""
    """The site, after redirects of the locator."""
    single: bool = False
    """One page was asked for, or there is only one."""


def discover(client: PoliteClient, locator: str, kind: str | None, rules: Rules) -> Listing:
    """Read the locator and the listings it leads to; `kind` is feed, sitemap, page or site, None to find out.

    Raises SourceUnavailable when the locator cannot be read or is not what it should be. A listing further on that
    fails is told in `problem`, and what the others name is there.
    """
    found = _Discovery(client, locator, kind, rules)
    return found.run()


def page_text(answer: Response) -> str:
    """The body of a page as text. Raises InvalidInput when it is none."""
    return decode(answer.body, answer.charset or html_charset(answer.body))


class _Discovery:
    def __init__(self, client: PoliteClient, locator: str, kind: str | None, rules: Rules) -> None:
        self.client = client
        self.locator = locator
        self.kind = kind
        self.rules = rules
        self.home = site_of(locator)

    def run(self) -> Listing:
        """Read the locator and the listings it leads to. Raises SourceUnavailable when the locator cannot be read."""
        try:
            answer = self.client.get(self.locator)
        except (FetchFailed, Refused) as error:
            raise SourceUnavailable(f"{self.locator} cannot be collected: {error}") from error
        if answer.status != 200:
            raise SourceUnavailable(
                f"{self.locator} answers HTTP {answer.status}. Nothing was deleted. Open it in a browser; if it has "
                f"moved, add the new address."
            )
        self.home = site_of(answer.url)
        listing = Listing(home=self.home)
        try:
            self._list_by_kind(answer, listing)
        except InvalidInput as error:
            raise SourceUnavailable(str(error)) from error
        return listing

    def _list_by_kind(self, answer: Response, listing: Listing) -> None:
        kind = self.kind or _kind_of(answer)
        if kind == "feed":
            self._add(listing, read_feed(answer.body, answer.url, answer.headers.get("content-type", "")))
        elif kind == "sitemap":
            self._add_sitemaps(listing, [answer.url], first=answer)
        elif kind == "page":
            self._only(listing, answer)
        else:
            self._list_site(answer, listing)

    def _list_site(self, answer: Response, listing: Listing) -> None:
        head = read_head(page_text(answer), answer.url)
        if self.kind is None and head.is_article and urlsplit(answer.url).path.strip("/"):
            self._only(listing, answer)
            return
        for feed in head.feeds[:1]:  # the further ones are those of comments and categories
            try:
                found = self.client.get(feed)
                if found.status == 200:
                    self._add(listing, read_feed(found.body, found.url, found.headers.get("content-type", "")))
                else:
                    listing.problem = f"The feed {feed} answers HTTP {found.status}."
            except (FetchFailed, Refused, InvalidInput) as error:
                listing.problem = f"The feed {feed} could not be read: {error}"
        stated = self.client.sitemaps(answer.url)
        default = urlunsplit((*urlsplit(answer.url)[:2], "/sitemap.xml", "", ""))
        self._add_sitemaps(listing, stated or [default], optional=not stated, below=answer.url)
        if not listing.entries and not listing.problem and not listing.complete:
            below = folder_of(answer.url)
            links = [
                link for link in head.links if site_of(link) == self.home and urlsplit(link).path.startswith(below)
            ]
            self._add(listing, [Entry(url=link) for link in links])
            if not listing.entries:
                self._only(listing, answer)

    def _only(self, listing: Listing, answer: Response) -> None:
        listing.entries[address_of(answer.url)] = Entry(url=answer.url)
        listing.single = True

    def _add(self, listing: Listing, entries: list[Entry]) -> None:
        for entry in entries:
            if self._mine(entry.url):
                listing.entries.setdefault(address_of(entry.url), entry)

    def _mine(self, url: str) -> bool:
        return site_of(url) == self.home and self.rules.takes(urlsplit(url).path)

    def _add_sitemaps(
        self,
        listing: Listing,
        waiting: list[str],
        *,
        optional: bool = False,
        below: str | None = None,
        first: Response | None = None,
    ) -> None:
        seen: set[str] = set()
        pages: list[Entry] = []
        folder = folder_of(below) if below else "/"
        while waiting:
            url = waiting.pop(0)
            if url in seen or site_of(url) != self.home:
                continue
            seen.add(url)
            if len(seen) > _MOST_SITEMAPS:
                listing.problem = f"The site names more than {_MOST_SITEMAPS} sitemaps; the rest was not read."
                break
            try:
                found = self._sitemap(url, first if len(seen) == 1 else None)
            except RobotsForbid as error:
                if not optional:
                    listing.problem = f"The sitemap {url} was not read: {error}."
                return
            except (FetchFailed, Refused, InvalidInput) as error:
                if first is not None and len(seen) == 1:
                    raise InvalidInput(str(error)) from error
                if optional and not (isinstance(error, FetchFailed) and error.transient):
                    return  # nobody said that there is a sitemap
                listing.problem = f"The sitemap {url} could not be read: {error}"
                continue
            if found is None and optional:
                return
            if found is None:
                listing.problem = f"The sitemap {url} is named by the site and is not there."
                continue
            pages += [page for page in found.pages if urlsplit(page.url).path.startswith(folder)]
            waiting += found.sitemaps
        self._add(listing, pages)
        listing.own_count = len({address_of(page.url) for page in pages if self._mine(page.url)})
        listing.complete = listing.problem is None and bool(seen)

    def _sitemap(self, url: str, first: Response | None) -> Sitemap | None:
        answer = first or self.client.get(url)
        if answer.status in {404, 410}:
            return None
        if answer.status != 200:
            raise FetchFailed(f"HTTP {answer.status}", transient=answer.status >= 500)
        if answer.media_type == "text/html" and not looks_like_xml(answer.body):
            return None  # many sites answer everything with a page
        return read_sitemap(answer.body, answer.url)


def _kind_of(answer: Response) -> str:
    """What a locator is, from what it gives: XML is a sitemap or a feed; a feed's usual address that is none, an error."""
    if looks_like_xml(answer.body):
        start = answer.body[:4000].lower()
        return "sitemap" if b"<urlset" in start or b"<sitemapindex" in start else "feed"
    if answer.body.startswith(b"\x1f\x8b"):
        return "sitemap"
    last = urlsplit(answer.url).path.rstrip("/").rsplit("/", 1)[-1].lower()
    if last.startswith("sitemap") and not last.endswith((".html", ".htm")):
        return "sitemap"
    return "feed" if last in {"feed", "rss", "atom"} or last.endswith((".xml", ".rss", ".atom", ".rdf")) else "site"
