"""LinkedIn, by the interface that gives members their own data (Member Data Portability; EEA and Switzerland).

The snapshot holds everything, the change log the last 28 days: the first run reads the one, later runs the other, and
a gap longer than the log starts again from the snapshot. Pages are never fetched: the terms forbid it. The export
(`exports/linkedin.py`) has the same ids. The token is a setting; it is in no locator, no ledger and no log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from twin_core import identity
from twin_core.collect.answers import read_json, records_in, same_host
from twin_core.collect.guarded import FetchFailed, GuardedClient
from twin_core.collect.polite import PoliteClient
from twin_core.collect.reading import is_bare
from twin_core.collect.registry import Options
from twin_core.collect.rules import Rules, read_rules
from twin_core.collect.stated import moment, short, storable
from twin_core.collect.urls import linkedin_urn
from twin_core.errors import InvalidInput, SourceUnavailable
from twin_core.records import Category, Found, Gone, Item, Known, Listed, Skipped, Source, Unchanged
from twin_core.settings import Settings
from twin_core.text.html import FRAGMENT, fragment_markdown

# Raise when the same record would be read differently: the snapshot is then read again.
_READ_AS = "1"
_VERSION = "202312"
_MEMBER = re.compile(r"[\w-]{3,100}")
_DOMAINS = ("MEMBER_SHARE_INFO", "ARTICLES", "ALL_COMMENTS")
# The log holds 28 days. One day less: a run near the end must not miss what falls out while it reads.
_LOG_HOLDS = timedelta(days=27)
# Events are logged in the order in which they are processed, not in which they happen: read a little again.
_LAG = timedelta(hours=1)
_MOST_PAGES = 2_000
_PULSE = re.compile(r"/pulse/([^/?#]+)")
"""An article has no URN in its address, but a name there."""
_SHARES = frozenset({"ugcposts", "shares", "posts", "instantreposts"})
_COMMENTS = frozenset({"socialactions/comments", "comments"})
_ARTICLES = frozenset({"originalarticles", "articles"})


class LinkedInCollector:
    """One member's own data."""

    platform = "linkedin"

    def check(self, locator: str, options: Options, settings: Settings) -> str:
        """The profile's address, from it or from the name at its end. Raises InvalidInput without a token for it."""
        read_rules(options)
        name = _member(locator)
        _token(name, settings)
        return f"https://www.linkedin.com/in/{name}"

    def collect(self, source: Source, known: Mapping[str, Known], settings: Settings) -> Iterator[Item]:
        """What the member wrote; `Listed` when the snapshot was read whole."""
        with GuardedClient(settings) as client:
            yield from collect_with(PoliteClient(client, settings), source, known, settings)

    def prove(self, locator: str, settings: Settings) -> str:
        """That the member's token opens a member's own data. Raises SourceUnavailable when it does not."""
        name = _member(locator)
        with GuardedClient(settings) as client:
            member = _Member(
                PoliteClient(client, settings), settings.linkedin_api_url.rstrip("/"), _token(name, settings), {},
                read_rules({}),
            )  # fmt: skip
            next(member.records("MEMBER_SHARE_INFO"), None)
        return f"LinkedIn accepts the token set for {name}; it gives the data of nobody but the member who made it"


COLLECTOR = LinkedInCollector()


def collect_with(
    client: PoliteClient, source: Source, known: Mapping[str, Known], settings: Settings
) -> Iterator[Item]:
    """As `LinkedInCollector.collect`, through a client of the caller's making."""
    try:
        token = _token(_member(source.locator), settings)
    except InvalidInput as error:
        raise SourceUnavailable(str(error)) from error
    rules = read_rules(source.options)
    member = _Member(client, settings.linkedin_api_url.rstrip("/"), token, known, rules)
    cursor = member.cursor()
    if cursor is None:
        yield from member.snapshot()
    else:
        yield from member.changes(cursor)


def _member(locator: str) -> str:
    text = locator.strip().rstrip("/")
    if "linkedin.com/" in text:
        parts = urlsplit(text if "://" in text else f"https://{text}").path.strip("/").split("/")
        text = parts[1] if len(parts) > 1 and parts[0] == "in" else ""
    if not _MEMBER.fullmatch(text):
        raise InvalidInput(
            f"`{locator}` is no member of LinkedIn. Give the address of the profile, https://www.linkedin.com/in/name."
        )
    return text.lower()


def _token(member: str, settings: Settings) -> str:
    found = {name.lower(): secret for name, secret in settings.linkedin_tokens.items()}.get(member)
    if found is None or not found.get_secret_value().strip():
        raise InvalidInput(
            f"There is no token of LinkedIn for `{member}`. Make one for the Member Data Portability API (scope "
            f'r_dma_portability_self_serve) and set TWIN_LINKEDIN_TOKENS=\'{{"{member}": "TOKEN"}}\'. Elsewhere than in '
            f"the EEA and Switzerland there is none: import the export instead."
        )
    return found.get_secret_value().strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """One thing the member wrote, from either listing."""

    name: str
    location: str
    category: Category
    text: str
    title: str | None = None
    written_at: datetime | None = None
    is_html: bool = False
    metadata: Mapping[str, object] = field(default_factory=dict)


_MemberItem = Found | Unchanged | Skipped | Gone


class _Member:
    """One run over one member's data."""

    def __init__(self, client: PoliteClient, api: str, token: str, known: Mapping[str, Known], rules: Rules) -> None:
        self.client = client
        self.api = api
        self.headers = {"Authorization": f"Bearer {token}", "LinkedIn-Version": _VERSION, "Accept": "application/json"}
        self.known = known
        self.rules = rules
        self.stamp = f"{_READ_AS}-{rules.fingerprint}"

    def cursor(self) -> datetime | None:
        """Up to where the log was read; None when only the snapshot will do."""
        read = [moment(one.validators.get("read_to")) for one in self.known.values()]
        same = all(one.validators.get("rules") == self.stamp for one in self.known.values())
        latest = max((one for one in read if one is not None), default=None)
        return latest if same and latest is not None and datetime.now(UTC) - latest < _LOG_HOLDS else None

    def snapshot(self) -> Iterator[Item]:
        """Everything. A domain that cannot be read is told at the end, and then nothing is taken for gone."""
        read_to = datetime.now(UTC)
        troubles: list[str] = []
        ended: set[str] = set()
        for domain in _DOMAINS:
            try:
                for record in self.records(domain):
                    written = _of_snapshot(domain, record)
                    if written is not None and written.name not in ended:
                        ended.add(written.name)
                        yield self._item(written, read_to)
            except (SourceUnavailable, FetchFailed) as error:
                troubles.append(str(error))
        if troubles:
            raise SourceUnavailable(" ".join(troubles))
        yield Listed(own_count=len(ended))

    def changes(self, cursor: datetime) -> Iterator[Item]:
        """What the log says since the cursor; of all the rest, that it did not change."""
        since = int((cursor - _LAG).timestamp() * 1000)
        url = f"{self.api}/rest/memberChangeLogs?q=memberAndApplication&startTime={since}&count=50"
        last: dict[str, _MemberItem] = {}
        latest = int(cursor.timestamp() * 1000)
        for event in self._pages(url, "LinkedIn's change log"):
            processed = event.get("processedAt")
            latest = max(latest, processed if isinstance(processed, int) else 0)
            item = self._of_event(event, datetime.fromtimestamp(latest / 1000, UTC))
            if item is not None:
                last[item.native_id] = item
        read_to = datetime.fromtimestamp(latest / 1000, UTC)
        # The log is whole up to now although nothing may have happened since its last event.
        read_to = max(read_to, datetime.now(UTC) - _LAG)
        yield from last.values()
        for name, before in self.known.items():
            if name not in last:
                yield Unchanged(native_id=name, validators={**before.validators, **self._validators(read_to)})

    def records(self, domain: str) -> Iterator[Mapping[str, Any]]:
        """What the snapshot holds of one domain."""
        url = f"{self.api}/rest/memberSnapshotData?q=criteria&domain={domain}"
        for element in self._pages(url, f"LinkedIn's snapshot of {domain}"):
            yield from records_in(element.get("snapshotData") or [], "LinkedIn's snapshot")

    def _pages(self, url: str, what: str) -> Iterator[Mapping[str, Any]]:
        """The elements of every page. A 404 says that there is nothing (more) of it."""
        following: str | None = url
        for _ in range(_MOST_PAGES):
            answer = self.client.ask(following or url, headers=self.headers)
            if answer.status == 404:
                return
            page = read_json(answer, what)
            if not isinstance(page, Mapping):
                raise SourceUnavailable(f"{what}: an object was expected and something else came. Nothing was deleted.")
            elements = records_in(page.get("elements") or [], what)
            yield from elements
            paging = page.get("paging")
            links = paging.get("links") if isinstance(paging, Mapping) else None
            named = [link.get("href") for link in records_in(links or [], what) if link.get("rel") == "next"]
            if not elements or not named:
                return
            following = same_host(answer.url, str(named[0]))
        raise SourceUnavailable(f"{what} has more than {_MOST_PAGES:,} pages.")

    def _of_event(self, event: Mapping[str, Any], read_to: datetime) -> _MemberItem | None:
        """What one line of the log did to one thing; None for what is no writing (likes, invitations, ...)."""
        kind = str(event.get("resourceName") or "").lower()
        if kind not in _SHARES | _COMMENTS | _ARTICLES:
            return None
        done = event.get("processedActivity") or event.get("activity")
        activity = done if isinstance(done, Mapping) else {}
        written = _of_activity(kind, event, activity)
        if str(event.get("method") or "").upper() == "DELETE":
            gone = Gone(native_id=written.name, reason="LinkedIn's change log says that it was deleted")
            return gone if written.name in self.known else None
        return self._item(written, read_to)

    def _item(self, written: _Written, read_to: datetime) -> Found | Unchanged | Skipped:
        name, location = written.name, written.location
        text = fragment_markdown(written.text) if written.is_html else written.text
        if is_bare(text) and written.category is Category.POST:
            return Skipped(native_id=name, location=location, reason="a bare reshare: no words of one's own")
        if is_bare(text):
            return Skipped(native_id=name, location=location, reason="empty: no text in it", empty=True)
        content_hash = identity.content_hash(text)
        before = self.known.get(name)
        validators = self._validators(read_to)
        if before is not None and before.content_hash == content_hash:
            return Unchanged(native_id=name, validators=validators)
        return Found(
            native_id=name,
            location=location,
            category=self.rules.category or written.category,
            media_type=FRAGMENT if written.is_html else "text/plain",
            body=written.text.encode("utf-8", "replace"),
            content_hash=content_hash,
            title=written.title,
            written_at=written.written_at,
            canonical_url=location if location.startswith("http") else None,
            platform_id=f"linkedin:{name}" if name.startswith(("urn:", "pulse:")) else None,
            metadata={"charset": "utf-8", **written.metadata},
            validators=validators,
        )

    def _validators(self, read_to: datetime) -> dict[str, str]:
        return {"rules": self.stamp, "read_to": read_to.isoformat()}


def _of_snapshot(domain: str, record: Mapping[str, Any]) -> _Written | None:
    """A record of the snapshot: the columns of the export's files, whose spelling varies between domains."""
    columns = {re.sub(r"[^a-z]", "", str(key).lower()): value for key, value in record.items()}

    def stated(*names: str) -> str:
        return next((str(columns[name]) for name in names if columns.get(name)), "")

    link = stated("sharelink", "articlelink", "link", "url", "permalink")
    text = storable(stated("sharecommentary", "message", "content", "body", "text", "commentary"))
    title = short(stated("title", "headline")) if domain == "ARTICLES" else None
    written_at = moment(stated("date", "publisheddate", "publishedat", "created", "createddate", "createdat"))
    if not link and not text.strip():
        return None
    metadata: dict[str, object] = {}
    for key, name in (("sharedurl", "shared_url"), ("visibility", "visibility")):
        if value := short(columns.get(key)):
            metadata[name] = value
    is_article = domain == "ARTICLES"
    pulse = _PULSE.search(link)
    name = (
        linkedin_urn(link)
        or (f"pulse:{pulse.group(1)}" if pulse else link)
        or f"{domain}:{identity.sha256(f'{written_at}{text}')[:24]}"
    )
    return _Written(
        name=name,
        location=link or name,
        category=Category.ARTICLE if is_article else Category.POST,
        text=text if is_article else _unwrapped(text),
        title=title,
        written_at=written_at,
        is_html=is_article and "<" in text,
        metadata=metadata | ({"comment": True} if domain == "ALL_COMMENTS" else {}),
    )


def _of_activity(kind: str, event: Mapping[str, Any], activity: Mapping[str, Any]) -> _Written:
    """An activity of the log, in the shapes of LinkedIn's posts and comments interfaces."""
    content = activity.get("specificContent")
    share = content.get("com.linkedin.ugc.ShareContent") if isinstance(content, Mapping) else None
    commentary = share.get("shareCommentary") if isinstance(share, Mapping) else activity.get("commentary")
    message = activity.get("message")
    said = message if kind in _COMMENTS else commentary
    text = said.get("text") if isinstance(said, Mapping) else said
    if kind in _ARTICLES:
        text = activity.get("content") or activity.get("body") or ""
    stated = activity.get("$URN") or activity.get("commentUrn") if kind in _COMMENTS else activity.get("id")
    identified = str(stated or event.get("resourceId") or event.get("id") or "")
    name = linkedin_urn(identified) or identified
    created = activity.get("created")
    at = activity.get("firstPublishedAt") or (created.get("time") if isinstance(created, Mapping) else None)
    milliseconds = at or event.get("capturedAt")
    article = kind in _ARTICLES
    return _Written(
        name=name,
        location=f"https://www.linkedin.com/feed/update/{name}" if name.startswith("urn:") else name,
        category=Category.ARTICLE if article else Category.POST,
        text=storable(str(text or "")),
        title=short(activity.get("title")) if article else None,
        written_at=datetime.fromtimestamp(milliseconds / 1000, UTC) if isinstance(milliseconds, int) else None,
        is_html=article and "<" in str(text),
        metadata={"comment": True} if kind in _COMMENTS else {},
    )


def _unwrapped(text: str) -> str:
    """Each newline of a commentary comes wrapped in quotes, as in the export's CSV."""
    return text.replace('"\r\n"', "\n").replace('"\n"', "\n")
