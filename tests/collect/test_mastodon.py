"""A Mastodon server on loopback: pages linked by header, boosts, threads, edits, and an allowance that is used up."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.collect.conftest import source_of
from tests.collect.runs import by_id, known_after, listed, until_it_breaks
from tests.collect.site import Answer, Site
from twin_core.collect.registry import collector_for
from twin_core.errors import InvalidInput, SourceUnavailable
from twin_core.records import Category, Found, Item, Known, Skipped, Unchanged
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]
ME = "109000000000000001"
LOOKUP = "/api/v1/accounts/lookup?acct=jane"
PAGE = f"/api/v1/accounts/{ME}/statuses?limit=40&exclude_reblogs=true"


def status(number: int, content: str = "", **changes: Any) -> dict[str, Any]:
    return {
        "id": f"1120000000000000{number:02d}", "created_at": f"2024-03-05T10:{number:02d}:00.000Z", "edited_at": None,
        "in_reply_to_id": None, "in_reply_to_account_id": None, "sensitive": False, "spoiler_text": "",
        "visibility": "public", "language": "en", "uri": f"https://sea.example/users/jane/statuses/{number}",
        "url": f"https://sea.example/@jane/{number}", "content": content or f"<p>Note number {number} from the quay.</p>",
        "reblog": None, "media_attachments": [], "tags": [], "poll": None, "account": {"id": ME, "acct": "jane"},
        **changes,
    }  # fmt: skip


def reply(number: int, to: int, content: str = "", account: str = ME) -> dict[str, Any]:
    return status(number, content, in_reply_to_id=f"1120000000000000{to:02d}", in_reply_to_account_id=account)


def as_json(value: object, **headers: str) -> Answer:
    return Answer(json.dumps(value).encode(), media_type="application/json", headers=headers)


def serve(site: Site, statuses: list[dict[str, Any]], size: int = 40) -> None:
    """The account with these posts, newest first, `size` a page."""
    site.answers[LOOKUP] = as_json({"id": ME, "acct": "jane", "statuses_count": len(statuses)})
    newest = sorted(statuses, key=lambda one: one["id"], reverse=True)
    path = PAGE
    for at in range(0, max(len(newest), 1), size):
        following = f"{PAGE}&max_id={newest[min(at + size, len(newest)) - 1]['id']}" if newest else ""
        more = at + size < len(newest)
        link = {"Link": f'<{site.url}{following}>; rel="next", <{site.url}{PAGE}&min_id=1>; rel="prev"'} if more else {}
        site.answers[path] = as_json(newest[at : at + size], **link)
        path = following


def collect(
    site: Site, make_settings: MakeSettings, known: dict[str, Known] | None = None, **changes: object
) -> list[Item]:
    settings = make_settings(crawl_allow_hosts=[site.host], **changes)
    source = source_of("mastodon", f"{site.url}/@jane")
    return list(collector_for("mastodon").collect(source, known or {}, settings))


def texts(items: list[Item]) -> dict[str, str]:
    return {
        name.rsplit("/", 1)[1]: item.body.decode() for name, item in by_id(items).items() if isinstance(item, Found)
    }


def test_every_page_is_read_and_boosts_are_dropped(site: Site, make_settings: MakeSettings) -> None:
    boost = status(7, "<p>Theirs</p>", reblog=status(8, "<p>Theirs</p>", account={"id": "5"}))
    serve(site, [*(status(number) for number in range(1, 6)), boost], size=2)
    items = collect(site, make_settings)
    assert set(texts(items)) == {"1", "2", "3", "4", "5"}
    end = listed(items)
    assert end is not None
    assert end.own_count == 5
    assert "/robots.txt" not in site.asked(), "an interface for programs is not a page to crawl"


def test_a_post_keeps_what_the_server_says_of_it(site: Site, make_settings: MakeSettings) -> None:
    serve(site, [status(3, spoiler_text="On <knots>", tags=[{"name": "sea"}], edited_at="2024-03-06T09:00:00.000Z")])
    (found, _) = collect(site, make_settings)
    assert isinstance(found, Found)
    assert found.native_id == "https://sea.example/users/jane/statuses/3"
    assert found.platform_id == f"mastodon:{found.native_id}"
    assert found.location == found.canonical_url == "https://sea.example/@jane/3"
    assert found.category is Category.POST
    assert found.body == b"<p>On &lt;knots&gt;</p>\n<p>Note number 3 from the quay.</p>"
    assert found.written_at == datetime(2024, 3, 5, 10, 3, tzinfo=UTC)
    assert found.modified_at == datetime(2024, 3, 6, 9, tzinfo=UTC)
    assert found.metadata == {"charset": "utf-8", "language": "en", "tags": ["sea"]}


def test_answers_to_oneself_are_one_post_and_answers_to_others_their_own(
    site: Site, make_settings: MakeSettings
) -> None:
    serve(site, [
        status(1, "<p>One.</p>"), reply(2, 1, "<p>Two.</p>"), reply(4, 2, "<p>Three.</p>"),
        reply(5, 99, "<p>I agree.</p>", account="5"), reply(6, 77, "<p>Its beginning was deleted.</p>"),
    ], size=2)  # fmt: skip
    assert texts(collect(site, make_settings)) == {
        "1": "<p>One.</p>\n<p>Two.</p>\n<p>Three.</p>",
        "5": "<p>I agree.</p>",
        "6": "<p>Its beginning was deleted.</p>",
    }


def test_a_second_run_sees_what_was_added_edited_and_deleted(site: Site, make_settings: MakeSettings) -> None:
    serve(site, [status(1, "<p>One.</p>"), status(2), status(3)])
    known = known_after(collect(site, make_settings))
    serve(site, [status(1, "<p>One.</p>"), reply(4, 1, "<p>And more.</p>"), status(2)])
    items = collect(site, make_settings, known)
    assert {name.rsplit("/", 1)[1]: type(item) for name, item in by_id(items).items()} == {"1": Found, "2": Unchanged}
    assert len(known_after(items, known)) == 2, "what is not listed any more is gone"


def test_a_picture_without_words_is_skipped_and_an_empty_post_is_an_empty_one(
    site: Site, make_settings: MakeSettings
) -> None:
    serve(site, [status(1, "<p></p>", media_attachments=[{"id": "1"}]), status(2, "<p> </p>")])
    items = by_id(collect(site, make_settings))
    assert [item.empty for item in items.values() if isinstance(item, Skipped)] == [False, True]


def test_an_account_that_breaks_off_gives_what_was_read_but_no_half_thread(
    site: Site, make_settings: MakeSettings
) -> None:
    serve(site, [status(1, "<p>One.</p>"), reply(2, 1, "<p>Two.</p>"), status(3), status(4)], size=3)
    (rest,) = [path for path in site.answers if "max_id" in path]
    site.answers[rest] = Answer(b"oops", status=500)
    settings = make_settings(crawl_allow_hosts=[site.host])
    reading = collector_for("mastodon").collect(source_of("mastodon", f"{site.url}/@jane"), {}, settings)
    items, error = until_it_breaks(reading)
    assert "HTTP 500" in str(error)
    assert texts(items).keys() == {"3", "4"}


def test_no_request_is_made_when_the_allowance_is_used_up_in_this_run_and_the_next(
    site: Site, make_settings: MakeSettings
) -> None:
    serve(site, [status(number) for number in range(1, 6)], size=2)
    reset = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    answer = site.answers[PAGE]
    assert isinstance(answer, Answer)
    answer.headers |= {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    for _ in range(2):
        with pytest.raises(SourceUnavailable, match=r"asks for (?:29\d|300) s"):
            collect(site, make_settings)
    assert site.asked() == [LOOKUP, PAGE]


def test_a_listing_that_goes_on_elsewhere_is_not_followed(site: Site, make_settings: MakeSettings) -> None:
    serve(site, [status(1)])
    site.answers[PAGE] = as_json([status(1)], Link='<https://elsewhere.example/x>; rel="next"')
    with pytest.raises(SourceUnavailable, match="another host"):
        collect(site, make_settings)


def test_an_account_that_is_not_there_deletes_nothing(site: Site, make_settings: MakeSettings) -> None:
    with pytest.raises(SourceUnavailable, match=r"404 .*check the name"):
        collect(site, make_settings)


@pytest.mark.parametrize("locator", ["@jane@sea.example", "jane@sea.example", "https://sea.example/@jane/1"])
def test_an_account_has_one_address(locator: str, make_settings: MakeSettings) -> None:
    assert collector_for("mastodon").check(locator, {}, make_settings()) == "https://sea.example/@jane"


@pytest.mark.parametrize("locator", ["jane", "https://sea.example/", "https://sea.example/@jane@other.example"])
def test_what_is_no_account_is_refused_in_words(locator: str, make_settings: MakeSettings) -> None:
    with pytest.raises(InvalidInput, match="@name@server"):
        collector_for("mastodon").check(locator, {}, make_settings())
