"""A Substack publication on loopback: an archive that pages loosely and lags, its feed, and pieces behind a wall."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.collect.conftest import source_of
from tests.collect.runs import by_id, known_after, listed, until_it_breaks
from tests.collect.site import Answer, Site, feed, prose
from twin_core.collect.platforms import substack
from twin_core.collect.registry import collector_for
from twin_core.errors import InvalidInput, SourceUnavailable
from twin_core.records import Category, Failed, Found, Item, Known, Skipped, Unchanged
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]
JANE = [{"id": 7, "name": "Jane Doe", "handle": "janedoe"}]


def piece(number: int, **changes: Any) -> dict[str, Any]:
    topic = f"letter {number}"
    return {
        "id": 1000 + number, "slug": f"letter-{number}", "title": f"Letter {number}", "subtitle": "From the quay",
        "post_date": f"2024-03-{number:02d}T08:00:00.000Z", "audience": "everyone", "type": "newsletter",
        "canonical_url": f"https://jane.example/p/letter-{number}", "truncated_body_text": topic, "wordcount": 120,
        "postTags": [{"name": "sea"}], "publishedBylines": JANE,
        "body_html": "".join(f"<p>{part}</p>" for part in prose(topic).split("\n\n")), **changes,
    }  # fmt: skip


class Publication:
    """A site whose archive gives `size` pieces a page whatever is asked for."""

    def __init__(self, site: Site, pieces: list[dict[str, Any]], *, size: int = 12, unlisted: int = 0) -> None:
        self.site = site
        self.pieces = pieces
        self.size = size
        self.unlisted = unlisted
        """How many of the newest the archive does not list yet."""
        self.publish()

    def publish(self) -> None:
        told = ("id", "slug", "title", "subtitle", "post_date", "audience", "type", "canonical_url",
                "truncated_body_text", "wordcount", "postTags", "publishedBylines")  # fmt: skip
        newest = sorted(self.pieces, key=lambda one: one["post_date"], reverse=True)
        archive = [{key: one[key] for key in told} for one in newest[self.unlisted :]]
        for name in [name for name in self.site.answers if "/api/v1/" in name]:
            del self.site.answers[name]
        for at in range(len(archive) + self.size + 1):
            page = archive[at : at + self.size]
            self.site.answers[f"/api/v1/archive?sort=new&offset={at}&limit=12"] = as_json(page)
        for one in self.pieces:
            self.site.answers[f"/api/v1/posts/{one['slug']}"] = as_json(one)
        self.site.answers["/feed"] = Answer(
            feed(self.site.url, [(f"/p/{one['slug']}", one["title"], one["body_html"] or "") for one in newest[:20]]),
            media_type="application/xml",
        )


def as_json(value: object) -> Answer:
    return Answer(json.dumps(value).encode(), media_type="application/json")


def collect(
    site: Site, make_settings: MakeSettings, known: dict[str, Known] | None = None, **options: str
) -> list[Item]:
    settings = make_settings(crawl_allow_hosts=[site.host])
    return list(collector_for("substack").collect(source_of("substack", site.url, **options), known or {}, settings))


@pytest.mark.parametrize("size", [12, 5])
def test_the_archive_is_paged_until_nothing_is_new(size: int, site: Site, make_settings: MakeSettings) -> None:
    Publication(site, [piece(number) for number in range(1, 28)], size=size)
    items = collect(site, make_settings)
    found = by_id(items)
    assert len(found) == 27
    assert all(isinstance(item, Found) for item in found.values())
    end = listed(items)
    assert end is not None
    assert end.own_count == 27


def test_a_piece_has_its_id_its_address_its_text_and_what_is_stated_of_it(
    site: Site, make_settings: MakeSettings
) -> None:
    body = f"<p>{prose('wind', 1)}</p><div class='button-wrapper' data-x='1'><a>Subscribe now</a></div><p>The end.</p>"
    Publication(site, [piece(5, body_html=body)])
    found = by_id(collect(site, make_settings))["1005"]
    assert isinstance(found, Found)
    assert found.platform_id == "substack:1005"
    assert found.location == found.canonical_url == "https://jane.example/p/letter-5"
    assert found.written_at == datetime(2024, 3, 5, 8, tzinfo=UTC)
    assert (found.title, found.category) == ("Letter 5", Category.ARTICLE)
    assert b"Subscribe" not in found.body
    assert b"The end." in found.body
    assert found.metadata == {"subtitle": "From the quay", "type": "newsletter", "tags": ["sea"]}


def test_the_second_run_asks_for_no_piece_that_the_archive_says_is_the_same(
    site: Site, make_settings: MakeSettings
) -> None:
    publication = Publication(site, [piece(number) for number in range(1, 4)])
    known = known_after(collect(site, make_settings))
    site.seen.clear()
    publication.pieces[0] |= {"title": "Letter 1, corrected", "body_html": "<p>" + prose("errata", 1) + "</p>"}
    publication.publish()
    items = by_id(collect(site, make_settings, known))
    assert {name: type(item) for name, item in items.items()} == {"1001": Found, "1002": Unchanged, "1003": Unchanged}
    assert [path for path in site.asked() if "/posts/" in path] == ["/api/v1/posts/letter-1"]


def test_an_edit_that_the_archive_does_not_show_is_seen_when_a_month_has_passed(
    site: Site, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publication = Publication(site, [piece(1), piece(2)])
    known = known_after(collect(site, make_settings))
    publication.pieces[0]["body_html"] = "<p>" + prose("a quiet edit", 1) + "</p>"
    publication.publish()
    assert all(isinstance(item, Unchanged) for item in by_id(collect(site, make_settings, known)).values())
    monkeypatch.setattr(substack, "_READ_AGAIN", timedelta(0))
    items = by_id(collect(site, make_settings, known))
    assert {name: type(item) for name, item in items.items()} == {"1001": Found, "1002": Unchanged}
    assert [seen.headers.get("If-None-Match") is not None for seen in site.seen[-2:]] == [True, True]


def test_a_piece_that_only_the_feed_has_yet_gets_its_own_id(site: Site, make_settings: MakeSettings) -> None:
    Publication(site, [piece(1), piece(2), piece(3)], unlisted=1)
    items = collect(site, make_settings)
    newest = by_id(items)["1003"]
    assert isinstance(newest, Found)
    assert newest.platform_id == "substack:1003"
    end = listed(items)
    assert end is not None, "the feed's piece is named, so that nothing is taken for gone"


def test_without_the_archive_the_feed_is_read_and_nothing_is_taken_for_gone(
    site: Site, make_settings: MakeSettings
) -> None:
    publication = Publication(site, [piece(1), piece(2)])
    known = known_after(collect(site, make_settings))
    publication.pieces.append(piece(3))
    publication.publish()
    site.answers["/robots.txt"] = Answer(b"User-agent: *\nDisallow: /api/\n", media_type="text/plain")
    settings = make_settings(crawl_allow_hosts=[site.host])
    items, error = until_it_breaks(collector_for("substack").collect(source_of("substack", site.url), known, settings))
    assert "robots" in str(error)
    assert {name: type(item) for name, item in by_id(items).items()} == {
        "slug:letter-3": Found,
        "1002": Unchanged,
        "1001": Unchanged,
    }


def test_what_is_for_paying_readers_is_marked_or_left_out(site: Site, make_settings: MakeSettings) -> None:
    Publication(site, [piece(1, audience="only_paid"), piece(2, audience="only_paid", body_html=None)])
    items = by_id(collect(site, make_settings))
    start, nothing = items["1001"], items["1002"]
    assert isinstance(start, Found)
    assert "paying readers" in str(start.metadata["cut_short"])
    assert isinstance(nothing, Skipped)
    assert (nothing.empty, "the export has it" in nothing.reason) == (False, True)


def test_a_guests_piece_is_not_the_authors(site: Site, make_settings: MakeSettings) -> None:
    guest = [{"id": 9, "name": "Guest", "handle": "guest"}]
    Publication(site, [piece(1), piece(2, publishedBylines=guest)])
    with pytest.raises(SourceUnavailable, match="option byline=NAME"):
        collect(site, make_settings)
    items = by_id(collect(site, make_settings, byline="@janedoe"))
    assert isinstance(items["1001"], Found)
    assert isinstance(items["1002"], Skipped)


def test_one_bad_piece_fails_alone(site: Site, make_settings: MakeSettings) -> None:
    Publication(site, [piece(1), piece(2), piece(3), piece(4, body_html="<p></p>")])
    site.answers["/api/v1/posts/letter-1"] = Answer(b"<html>not json", media_type="application/json")
    site.answers["/api/v1/posts/letter-2"] = as_json([1])
    items = by_id(collect(site, make_settings))
    assert {name: type(item) for name, item in items.items()} == {
        "1001": Failed, "1002": Failed, "1003": Found, "1004": Skipped,
    }  # fmt: skip
    assert items["1004"].empty  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("locator", "address"),
    [
        ("jane", "https://jane.substack.com"),
        ("https://jane.substack.com/p/letter-1", "https://jane.substack.com"),
        ("letters.example.org/archive", "https://letters.example.org"),
    ],
)
def test_a_publication_has_one_address(locator: str, address: str, make_settings: MakeSettings) -> None:
    assert collector_for("substack").check(locator, {}, make_settings()) == address


def test_the_front_door_of_substack_is_no_publication(make_settings: MakeSettings) -> None:
    with pytest.raises(InvalidInput, match="no publication"):
        collector_for("substack").check("https://substack.com/@jane", {}, make_settings())
