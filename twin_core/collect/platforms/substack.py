"""Substack: the archive that the site itself reads, joined with the feed; each piece by its own address.

Neither is enough alone: the archive is undocumented, honours its limits loosely and lags; the feed holds the newest
twenty. Both only name pieces, by id and by slug; the text always comes from the piece itself, so that it has one form.
Where the archive cannot be had, the feed's own texts are taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from twin_core import identity
from twin_core.collect.addresses import addresses_of, host_and_port
from twin_core.collect.answers import read_json, records_in, require
from twin_core.collect.guarded import FetchFailed, GuardedClient
from twin_core.collect.listings import Entry, read_feed
from twin_core.collect.pieces import html_piece, inner_html, soup_of
from twin_core.collect.polite import PoliteClient, RobotsForbid
from twin_core.collect.registry import Options
from twin_core.collect.rules import Rules, read_rules, values
from twin_core.collect.stated import moment, short, texts
from twin_core.errors import InvalidInput, SourceUnavailable
from twin_core.records import Category, Failed, Item, Known, Listed, Skipped, Source, Unchanged
from twin_core.settings import Settings

# Raise when the same piece would be read differently: every one is then fetched once more.
_READ_AS = "1"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_SLUG = re.compile(r"/p/([^/?#]+)")
_PAGE = 12
"""Pieces asked for at once; the site asks for as many."""
# The archive does not say when a piece was last edited, and an edit need not change what it does say.
_READ_AGAIN = timedelta(days=30)
# What the site puts into a text: buttons, the wall, boxes of other pieces and polls.
_FURNITURE = (
    ".button-wrapper, .paywall-jump, .digest-post-embed, .poll-embed, .subscription-widget-wrap, .subscribe-widget, "
    ".embedded-post-wrap"
)
_BY_SLUG = "slug:"
"""How the native id of a piece begins of which only the feed is known, which does not say its id."""
_STATED = ("title", "subtitle", "post_date", "audience", "type", "wordcount", "truncated_body_text", "slug")


class SubstackCollector:
    """One publication."""

    platform = "substack"

    def check(self, locator: str, options: Options, settings: Settings) -> str:
        """The publication's address, from its name or any address of it. Raises InvalidInput, Refused."""
        read_rules(options, own=("byline",))
        text = locator.strip()
        if _NAME.fullmatch(text):
            text = settings.substack_url.format(name=text.lower())
        url = text if "://" in text else f"https://{text}"
        host, port = host_and_port(url)
        if host in {"substack.com", "www.substack.com"}:
            raise InvalidInput(
                f"`{locator}` is no publication. Give its name, or its address: https://name.substack.com."
            )
        with suppress(OSError, UnicodeError):  # no network, or no such name yet: the run says so
            addresses_of(host, port, allow=settings.crawl_allow_hosts)
        parts = urlsplit(url)
        return f"{parts.scheme.lower()}://{parts.netloc.lower()}"

    def collect(self, source: Source, known: Mapping[str, Known], settings: Settings) -> Iterator[Item]:
        """Every piece of the archive and the feed, then `Listed` if the archive was read to its end."""
        with GuardedClient(settings) as client:
            yield from collect_with(PoliteClient(client, settings), source, known, settings)


COLLECTOR = SubstackCollector()


def collect_with(
    client: PoliteClient, source: Source, known: Mapping[str, Known], settings: Settings
) -> Iterator[Item]:
    """As `SubstackCollector.collect`, through a client of the caller's making."""
    rules = read_rules(source.options, own=("byline",))
    publication = _Publication(client, source.locator, known, rules, settings.crawl_max_pages)
    publication.list_pieces()
    publication.require_byline(values(source.options, "byline"))
    yield from publication.pieces()
    if publication.problem is not None:
        raise SourceUnavailable(publication.problem)
    if publication.complete:
        yield Listed(own_count=len(publication.archive))


@dataclass(slots=True)
class _Publication:
    """One run over one publication."""

    client: PoliteClient
    home: str
    known: Mapping[str, Known]
    rules: Rules
    limit: int
    archive: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Pieces by id, as the archive lists them."""
    feed: dict[str, Entry] = field(default_factory=dict)
    """Pieces by slug, as the feed lists them."""
    bylines: frozenset[str] = frozenset()
    complete: bool = False
    problem: str | None = None

    @property
    def stamp(self) -> str:
        """Changes when a piece must be read again although it did not change."""
        return f"{_READ_AS}-{self.rules.fingerprint}"

    def list_pieces(self) -> None:
        """Read archive and feed. Raises SourceUnavailable when neither can be had."""
        troubles: list[str] = []
        try:
            self._list_archive()
        except (SourceUnavailable, FetchFailed, RobotsForbid) as error:
            troubles.append(str(error))
        try:
            answer = self.client.get(f"{self.home}/feed")
            require(answer, f"The feed of {self.home}")
            for entry in read_feed(answer.body, answer.url, answer.headers.get("content-type", "")):
                if found := _SLUG.search(entry.url):
                    self.feed.setdefault(found.group(1), entry)
        except (SourceUnavailable, FetchFailed, RobotsForbid, InvalidInput) as error:
            troubles.append(str(error))
        if len(troubles) == 2:
            raise SourceUnavailable(" ".join(troubles))
        if troubles:
            self.problem = troubles[0]
            self.complete = False

    def _list_archive(self) -> None:
        """Page until a page brings nothing new: the limit is not honoured exactly, and pages overlap when one is added."""
        offset = 0
        what = f"The archive of {self.home}"
        while True:
            answer = self.client.get(f"{self.home}/api/v1/archive?sort=new&offset={offset}&limit={_PAGE}")
            page = records_in(read_json(answer, what), what)
            fresh = {str(one["id"]): one for one in page if one.get("id") is not None and one.get("slug")}
            fresh = {name: one for name, one in fresh.items() if name not in self.archive}
            if not fresh:
                self.complete = True
                return
            self.archive.update(fresh)
            offset += len(page)
            if len(self.archive) >= self.limit * _PAGE:
                raise SourceUnavailable(f"{what} is longer than {self.limit:,} pages (TWIN_CRAWL_MAX_PAGES).")

    def require_byline(self, stated: list[str]) -> None:
        """Settle whose pieces are taken. Raises SourceUnavailable when that is a question and not a guess."""
        self.bylines = frozenset(name.lower().lstrip("@") for name in stated)
        signed = [_signed(one) for one in self.archive.values()]
        signed = [names for names in signed if names]
        if self.bylines or not signed or frozenset.intersection(*signed):
            return
        some = sorted({name for names in signed for name in names})
        raise SourceUnavailable(
            f"{self.home} has several authors ({', '.join(some[:6])}). Nothing was taken. Say which of them the author "
            f"is: option byline=NAME."
        )

    def pieces(self) -> Iterator[Item]:
        """One item per piece: those of the archive, then those that only the feed has yet."""
        taken: set[str] = set()
        for name, stated in self.archive.items():
            taken.add(str(stated["slug"]))
            yield self._piece(name, stated)
        for slug, entry in self.feed.items():
            if slug not in taken:
                yield self._of_feed(slug, entry)

    def _piece(self, name: str, stated: Mapping[str, Any]) -> Item:
        slug = str(stated["slug"])
        location = short(stated.get("canonical_url")) or f"{self.home}/p/{slug}"
        if why := self._why_not(stated, slug):
            return Skipped(native_id=name, location=location, reason=why)
        listing = identity.sha256(repr([stated.get(key) for key in _STATED]))[:16]
        before = self.known.get(name)
        if before is not None and self._still_good(before, listing):
            return Unchanged(native_id=name, validators=before.validators)
        try:
            url = f"{self.home}/api/v1/posts/{quote(slug, safe='')}"
            answer = self.client.get(url, None if before is None else self._conditions(before))
        except RobotsForbid as error:
            return Skipped(native_id=name, location=location, reason=str(error))
        except FetchFailed as error:
            return Failed(native_id=name, location=location, reason=str(error))
        stamp = {"rules": self.stamp, "listing": listing, "read_at": datetime.now(UTC).isoformat(), "slug": slug}
        if answer.status == 304 and before is not None:
            return Unchanged(native_id=name, validators={**before.validators, **stamp})
        try:
            (piece,) = records_in([read_json(answer, "The piece")], "The piece")
        except (SourceUnavailable, ValueError) as error:
            reason = str(error) if isinstance(error, SourceUnavailable) else "the site answered with no piece in it"
            return Failed(native_id=name, location=location, reason=reason.replace(" Nothing was deleted.", ""))
        if answer.headers.get("etag"):
            stamp["etag"] = answer.headers["etag"]
        return self._item(name, location, {**stated, **piece}, before, stamp)

    def _why_not(self, stated: Mapping[str, Any], slug: str) -> str | None:
        if not self.rules.takes(f"p/{slug}"):
            return "this source's options leave it out"
        signed = _signed(stated)
        if self.bylines and signed and self.bylines.isdisjoint(signed):
            return f"by someone else: {', '.join(sorted(signed))}"
        return None

    def _still_good(self, before: Known, listing: str) -> bool:
        read_at = moment(before.validators.get("read_at"))
        same = before.validators.get("rules") == self.stamp and before.validators.get("listing") == listing
        return same and read_at is not None and datetime.now(UTC) - read_at < _READ_AGAIN

    def _conditions(self, before: Known) -> Mapping[str, str] | None:
        return before.validators if before.validators.get("rules") == self.stamp else None

    def _item(
        self, name: str, location: str, piece: Mapping[str, Any], before: Known | None, stamp: Mapping[str, str]
    ) -> Item:
        html = piece.get("body_html")
        paid = str(piece.get("audience") or "everyone") not in {"everyone", "free"}
        if not isinstance(html, str) or not html.strip():
            if paid:
                reason = "for paying readers: its text is not public, the export has it"
                return Skipped(native_id=name, location=location, reason=reason)
            return Skipped(native_id=name, location=location, reason="empty: it has no text", empty=True)
        metadata: dict[str, object] = {}
        for key, value in (("subtitle", piece.get("subtitle")), ("type", piece.get("type"))):
            if stated := short(value):
                metadata[key] = stated
        if tags := _tags(piece):
            metadata["tags"] = tags
        if paid:
            metadata["cut_short"] = "for paying readers: the public text is the beginning, the export has the whole"
        category = Category.POST if piece.get("type") == "thread" else Category.ARTICLE
        try:
            text = _without_furniture(html)
        except InvalidInput as error:
            return Failed(native_id=name, location=location, reason=str(error))
        item = html_piece(
            name,
            location,
            text,
            category=self.rules.category_of(f"p/{stamp['slug']}") or category,
            title=short(piece.get("title")),
            written_at=moment(piece.get("post_date")),
            modified_at=moment(piece.get("updated_at")),
            canonical_url=location,
            platform_id=None if name.startswith(_BY_SLUG) else f"substack:{name}",
            metadata=metadata,
        )
        if isinstance(item, Skipped):
            return item
        if before is not None and before.content_hash == item.content_hash:
            return Unchanged(native_id=name, validators=stamp)
        return replace(item, validators=stamp)

    def _of_feed(self, slug: str, entry: Entry) -> Item:
        """A piece that the archive does not list (yet): by its slug, and where that fails by the feed's own text."""
        slugs = {one.validators.get("slug"): name for name, one in self.known.items()}
        if self.problem is None:
            with suppress(FetchFailed, RobotsForbid, SourceUnavailable):
                piece = read_json(self.client.get(f"{self.home}/api/v1/posts/{quote(slug, safe='')}"), "The piece")
                if isinstance(piece, Mapping) and piece.get("id") is not None:
                    return self._piece(str(piece["id"]), {**piece, "slug": slug})
        name = slugs.get(slug) or f"{_BY_SLUG}{slug}"
        if self.known.get(name) is not None and not name.startswith(_BY_SLUG):
            return Unchanged(native_id=name, validators=self.known[name].validators)
        stamp = {"rules": self.stamp, "slug": slug}
        stated = {
            "body_html": entry.html,
            "title": entry.title,
            "post_date": entry.written_at,
            "postTags": [{"name": tag} for tag in entry.tags],
        }
        return self._item(name, entry.url.partition("?")[0], stated, self.known.get(name), stamp)


def _without_furniture(html: str) -> str:
    """The text of a piece without the buttons, polls and boxes that the site puts into it."""
    page = soup_of(html.encode("utf-8", "replace"))
    for furniture in page.select(_FURNITURE):
        furniture.decompose()
    return inner_html(page.body or page)


def _signed(piece: Mapping[str, Any]) -> frozenset[str]:
    """Names and handles under the piece, lower case."""
    found = piece.get("publishedBylines")
    people = [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
    return frozenset(
        text.lower() for one in people for key in ("name", "handle") if (text := short(one.get(key))) is not None
    )


def _tags(piece: Mapping[str, Any]) -> list[str]:
    found = piece.get("postTags")
    if not isinstance(found, list):
        return []
    return texts([one.get("name") if isinstance(one, Mapping) else one for one in found])
