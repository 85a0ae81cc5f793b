"""LinkedIn's interface for members' own data on loopback: snapshot, change log, versions, and a token that stays secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.collect.conftest import source_of
from tests.collect.runs import by_id, known_after, listed, until_it_breaks
from tests.collect.site import Answer, Site
from twin_core.collect.registry import collector_for
from twin_core.collect.urls import linkedin_urn
from twin_core.errors import InvalidInput, SourceUnavailable
from twin_core.records import Category, Found, Gone, Item, Known, Skipped, Unchanged
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]
TOKEN = "AQV-very-secret-token"
PROFILE = "https://www.linkedin.com/in/jane-doe"
SHARES = [
    {"Date": "2024-03-05 10:00:00", "ShareLink": "https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A7001",
     "ShareCommentary": 'The tide waits."\n""\n"Nobody else does.', "SharedUrl": "https://example.org/tides",
     "MediaUrl": "", "Visibility": "MEMBER_NETWORK"},
    {"Date": "2024-03-06 10:00:00", "ShareLink": "https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A7002",
     "ShareCommentary": "", "SharedUrl": "", "MediaUrl": "", "Visibility": "MEMBER_NETWORK"},
]  # fmt: skip
COMMENTS = [
    {"Date": "2024-03-07 10:00:00", "Message": "Reef early, I say.",
     "Link": "https://www.linkedin.com/feed/update/urn%3Ali%3Aactivity%3A6001?commentUrn="
             "urn%3Ali%3Acomment%3A%28activity%3A6001%2C6002%29"},
]  # fmt: skip


class Portability:
    """The two interfaces as LinkedIn has them: token and version header required, pages of `size`, 404 for nothing."""

    def __init__(self, site: Site, size: int = 10) -> None:
        self.site = site
        self.size = size
        self.domains: dict[str, list[dict[str, str]]] = {"MEMBER_SHARE_INFO": SHARES, "ALL_COMMENTS": COMMENTS}
        self.events: list[dict[str, Any]] = []
        self.broken: set[str] = set()
        site.fallback = self.answer

    def answer(self, path: str, headers: dict[str, str]) -> Answer:
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return as_json({"status": 401, "message": "Invalid access token"}, 401)
        if headers.get("LinkedIn-Version") != "202312":
            return as_json({"status": 400, "code": "VERSION_MISSING"}, 400)
        parts = urlsplit(path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/rest/memberChangeLogs":
            assert asked["q"] == "memberAndApplication"
            return self.page(path, [one for one in self.events if one["processedAt"] > int(asked["startTime"])], asked)
        if parts.path != "/rest/memberSnapshotData" or asked.get("q") != "criteria":
            return as_json({"status": 404}, 404)
        if asked["domain"] in self.broken:
            return as_json({"status": 500}, 500)
        data = self.domains.get(asked["domain"], [])
        start = int(asked.get("start", 0))
        chunks = [data[at : at + self.size] for at in range(0, len(data), self.size)]
        if start >= len(chunks):
            return as_json({"status": 404, "message": "No data found for this memberSnapshotData"}, 404)
        element = {"snapshotDomain": asked["domain"], "snapshotData": chunks[start]}
        return self.told(path, [element], start, len(chunks) + 1)  # it offers one page more than there are

    def page(self, path: str, data: list[dict[str, Any]], asked: dict[str, str]) -> Answer:
        start = int(asked.get("start", 0))
        return self.told(path, data[start : start + 2], start, len(data), step=2)

    def told(self, path: str, elements: list[Any], start: int, total: int, step: int = 1) -> Answer:
        base = path.split("&start=", maxsplit=1)[0]
        more = start + step < total
        links = [{"type": "application/json", "rel": "next", "href": f"{base}&start={start + step}"}] if more else []
        return as_json({"paging": {"start": start, "count": 10, "total": total, "links": links}, "elements": elements})


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status=status, media_type="application/json", etag=False)


def event(name: str, method: str, minutes: int, text: str = "", kind: str = "ugcPosts") -> dict[str, Any]:
    at = int((datetime.now(UTC) + timedelta(minutes=minutes)).timestamp() * 1000)
    content = {"com.linkedin.ugc.ShareContent": {"shareCommentary": {"text": text}}}
    activity: dict[str, Any] = {"id": name, "specificContent": content, "firstPublishedAt": at - 1000}
    if kind != "ugcPosts":
        activity = {"$URN": name, "message": {"text": text}, "created": {"time": at - 1000}}
    return {
        "id": at, "owner": "urn:li:person:abc", "resourceId": name, "resourceName": kind, "method": method,
        "activity": activity, "processedActivity": activity, "capturedAt": at, "processedAt": at,
    }  # fmt: skip


def settings_of(site: Site, make_settings: MakeSettings, token: str = TOKEN) -> Settings:
    return make_settings(crawl_allow_hosts=[site.host], linkedin_api_url=site.url, linkedin_tokens={"Jane-Doe": token})


def collect(site: Site, make_settings: MakeSettings, known: dict[str, Known] | None = None) -> list[Item]:
    settings = settings_of(site, make_settings)
    return list(collector_for("linkedin").collect(source_of("linkedin", PROFILE), known or {}, settings))


def test_the_snapshot_gives_shares_and_comments_with_the_ids_of_the_export(
    site: Site, make_settings: MakeSettings
) -> None:
    Portability(site)
    items = collect(site, make_settings)
    found = by_id(items)
    share, reshare = found["urn:li:share:7001"], found["urn:li:share:7002"]
    comment = found["urn:li:comment:(activity:6001,6002)"]
    assert isinstance(share, Found)
    assert share.body == b"The tide waits.\n\nNobody else does."
    assert share.platform_id == "linkedin:urn:li:share:7001"
    assert (share.category, share.written_at) == (Category.POST, datetime(2024, 3, 5, 10, tzinfo=UTC))
    assert share.metadata["shared_url"] == "https://example.org/tides"
    assert isinstance(reshare, Skipped)
    assert "bare reshare" in reshare.reason
    assert isinstance(comment, Found)
    assert comment.body == b"Reef early, I say."
    end = listed(items)
    assert end is not None
    assert end.own_count == 3


def test_every_page_of_a_domain_is_read(site: Site, make_settings: MakeSettings) -> None:
    service = Portability(site, size=2)
    service.domains = {
        "MEMBER_SHARE_INFO": [
            {
                **SHARES[0],
                "ShareLink": f"https://www.linkedin.com/feed/update/urn:li:share:{number}",
                "ShareCommentary": f"Number {number}",
            }
            for number in range(5)
        ]
    }
    assert len(by_id(collect(site, make_settings))) == 5


def test_later_runs_read_the_change_log_alone(site: Site, make_settings: MakeSettings) -> None:
    service = Portability(site)
    known = known_after(collect(site, make_settings))
    site.seen.clear()
    service.events = [
        event("urn:li:share:7003", "CREATE", 1, "A new thought."),
        event("urn:li:share:7003", "PARTIAL_UPDATE", 2, "A new thought, corrected."),
        event("urn:li:share:7001", "DELETE", 3),
        event("urn:li:comment:(urn:li:activity:6001,6005)", "CREATE", 4, "Well said.", "socialActions/comments"),
        event("urn:li:reaction:1", "CREATE", 5, kind="socialActions/likes"),
    ]
    items = collect(site, make_settings, known)
    found = by_id(items)
    assert {name: type(item) for name, item in found.items()} == {
        "urn:li:share:7003": Found,
        "urn:li:share:7001": Gone,
        "urn:li:comment:(activity:6001,6005)": Found,
        "urn:li:comment:(activity:6001,6002)": Unchanged,
    }
    assert found["urn:li:share:7003"].body == b"A new thought, corrected."  # type: ignore[union-attr]
    assert listed(items) is None
    assert all("memberChangeLogs" in path for path in site.asked())
    site.seen.clear()
    again = collect(site, make_settings, known_after(items, known))
    assert {type(item) for item in again} == {Unchanged}


def test_a_gap_longer_than_the_log_starts_again_from_the_snapshot(site: Site, make_settings: MakeSettings) -> None:
    Portability(site)
    known = known_after(collect(site, make_settings))
    old = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    known = {
        name: Known(native_id=name, location=one.location, content_hash=one.content_hash, validators={**one.validators, "read_to": old})
        for name, one in known.items()
    }  # fmt: skip
    site.seen.clear()
    assert listed(collect(site, make_settings, known)) is not None
    assert not any("memberChangeLogs" in path for path in site.asked())


def test_a_domain_that_fails_leaves_the_others_stored_and_nothing_deleted(
    site: Site, make_settings: MakeSettings
) -> None:
    Portability(site).broken = {"MEMBER_SHARE_INFO"}
    settings = settings_of(site, make_settings)
    items, error = until_it_breaks(collector_for("linkedin").collect(source_of("linkedin", PROFILE), {}, settings))
    assert set(by_id(items)) == {"urn:li:comment:(activity:6001,6002)"}
    assert "MEMBER_SHARE_INFO" in str(error)


def test_the_token_is_in_no_message_no_log_and_no_item(
    site: Site, make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    Portability(site)
    good = repr(collect(site, make_settings))
    settings = settings_of(site, make_settings, "expired-secret")
    with pytest.raises(SourceUnavailable, match="does not accept the token") as refused:
        list(collector_for("linkedin").collect(source_of("linkedin", PROFILE), {}, settings))
    for secret in (TOKEN, "expired-secret"):
        assert secret not in good + str(refused.value) + caplog.text + repr(settings)


def test_a_token_does_not_follow_a_redirect_to_another_host(site: Site, make_settings: MakeSettings) -> None:
    port = site.host.rsplit(":", 1)[1]
    site.fallback = lambda path, _headers: Answer(
        status=302, headers={"Location": f"http://localhost:{port}/elsewhere"}
    ) if "elsewhere" not in path else as_json({"elements": []})  # fmt: skip
    settings = make_settings(
        crawl_allow_hosts=[site.host, f"localhost:{port}"],
        linkedin_api_url=site.url,
        linkedin_tokens={"jane-doe": TOKEN},
    )
    list(collector_for("linkedin").collect(source_of("linkedin", PROFILE), {}, settings))
    sent = {seen.path: seen.headers.get("Authorization") for seen in site.seen}
    assert sent.pop("/elsewhere") is None
    assert set(sent.values()) == {f"Bearer {TOKEN}"}


def test_a_member_without_a_token_is_told_which_setting(site: Site, make_settings: MakeSettings) -> None:
    collector = collector_for("linkedin")
    assert collector.check("jane-doe", {}, settings_of(site, make_settings)) == PROFILE
    assert collector.check(f"{PROFILE}/", {}, settings_of(site, make_settings)) == PROFILE
    with pytest.raises(InvalidInput, match="TWIN_LINKEDIN_TOKENS"):
        collector.check("ben-roe", {}, settings_of(site, make_settings))
    with pytest.raises(InvalidInput, match="no member"):
        collector.check("https://www.linkedin.com/company/acme", {}, settings_of(site, make_settings))


@pytest.mark.parametrize(
    ("link", "urn"),
    [
        ("https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A7001", "urn:li:share:7001"),
        ("https://www.linkedin.com/feed/update/urn%253Ali%253AugcPost%253A71", "urn:li:ugcPost:71"),
        ("https://x/urn:li:activity:1?commentUrn=urn%3Ali%3Acomment%3A%28urn%3Ali%3Aactivity%3A1%2C2%29",
         "urn:li:comment:(activity:1,2)"),
        ("https://www.linkedin.com/pulse/on-tides-jane-doe", None),
    ],
)  # fmt: skip
def test_a_link_names_what_it_points_to(link: str, urn: str | None) -> None:
    assert linkedin_urn(link) == urn
