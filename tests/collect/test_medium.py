"""Medium's feed on loopback: whole pieces, pieces for members, comments, and a feed that did not change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.collect.conftest import source_of
from tests.collect.runs import by_id, known_after, listed
from tests.collect.site import Answer, Site, prose
from twin_core.collect.registry import collector_for
from twin_core.errors import InvalidInput, SourceUnavailable
from twin_core.records import Category, Found, Item, Known, Skipped, Unchanged
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]
TIDES = f"<h3>How tides are told</h3>{''.join(f'<p>{part}</p>' for part in prose('tides').split(chr(10) * 2))}"
MEMBERS = (
    '<div class="medium-feed-item"><p class="medium-feed-image"><a href="https://medium.com/@jane/ropes-1a2b3c4d5e6f">'
    '<img src="x.png" width="600"></a></p><p class="medium-feed-snippet">A rope remembers every knot that was in it, and '
    'mine remember the winter.</p><p class="medium-feed-link"><a href="https://medium.com/@jane/ropes-1a2b3c4d5e6f">'
    "Continue reading on Medium »</a></p></div>"
)


def entry(name: str, title: str, *, content: str = "", description: str = "", tags: tuple[str, ...] = ("sea",)) -> str:
    return (
        f"<item><title><![CDATA[{title}]]></title>"
        f"<link>https://medium.com/@jane/{title.lower().replace(' ', '-')[:30]}-{name}?source=rss-abc------2</link>"
        f'<guid isPermaLink="false">https://medium.com/p/{name}</guid>'
        + "".join(f"<category><![CDATA[{tag}]]></category>" for tag in tags)
        + "<dc:creator><![CDATA[Jane Doe]]></dc:creator><pubDate>Tue, 05 Mar 2024 10:00:00 GMT</pubDate>"
        "<atom:updated>2024-03-06T11:00:00.000Z</atom:updated>"
        + (f"<content:encoded><![CDATA[{content}]]></content:encoded>" if content else "")
        + (f"<description><![CDATA[{description}]]></description>" if description else "")
        + "</item>"
    )


def feed(*entries: str) -> Answer:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><rss xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:content='
        '"http://purl.org/rss/1.0/modules/content/" xmlns:atom="http://www.w3.org/2005/Atom" version="2.0"><channel>'
        f"<title>Stories by Jane Doe on Medium</title><link>https://medium.com/@jane</link>{''.join(entries)}</channel></rss>"
    )
    return Answer(body.encode(), media_type="text/xml; charset=UTF-8")


def collect(site: Site, make_settings: MakeSettings, known: dict[str, Known] | None = None) -> list[Item]:
    settings = make_settings(crawl_allow_hosts=[site.host], medium_url=site.url)
    return list(collector_for("medium").collect(source_of("medium", "https://medium.com/@jane"), known or {}, settings))


def test_a_piece_comes_whole_with_its_id_its_address_and_its_dates(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/feed/@jane"] = feed(entry("9f8e7d6c5b4a", "How tides are told", content=TIDES, tags=("sea", "maps")))
    items = collect(site, make_settings)
    found = by_id(items)["9f8e7d6c5b4a"]
    assert isinstance(found, Found)
    assert found.platform_id == "medium:9f8e7d6c5b4a"
    assert found.location == found.canonical_url == "https://medium.com/@jane/how-tides-are-told-9f8e7d6c5b4a"
    assert (found.title, found.category, found.body) == ("How tides are told", Category.ARTICLE, TIDES.encode())
    assert found.written_at == datetime(2024, 3, 5, 10, tzinfo=UTC)
    assert found.modified_at == datetime(2024, 3, 6, 11, tzinfo=UTC)
    assert found.metadata == {"tags": ["sea", "maps"]}
    assert listed(items) is None, "ten entries say nothing about what is not among them"


def test_a_piece_for_members_is_kept_as_far_as_the_feed_shows_it_and_says_so(
    site: Site, make_settings: MakeSettings
) -> None:
    site.answers["/feed/@jane"] = feed(entry("1a2b3c4d5e6f", "Ropes", description=MEMBERS))
    found = by_id(collect(site, make_settings))["1a2b3c4d5e6f"]
    assert isinstance(found, Found)
    assert found.body == (b"<p>A rope remembers every knot that was in it, and mine remember the winter.</p>")
    assert str(found.metadata["cut_short"]).startswith("member-only")


def test_a_piece_that_was_read_whole_is_not_replaced_by_its_beginning(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/feed/@jane"] = feed(entry("1a2b3c4d5e6f", "Ropes", content=TIDES))
    known = known_after(collect(site, make_settings))
    site.answers["/feed/@jane"] = feed(entry("1a2b3c4d5e6f", "Ropes", description=MEMBERS))
    (item,) = collect(site, make_settings, known)
    assert isinstance(item, Unchanged)
    assert known_after([item], known)["1a2b3c4d5e6f"].validators["cut"] == "no"


def test_an_answer_to_someone_is_a_post(site: Site, make_settings: MakeSettings) -> None:
    said = "I could not agree more, and the harbour master says the same."
    site.answers["/feed/@jane"] = feed(entry("aaaabbbbcccc", said[:40] + "…", content=f"<p>{said}</p>", tags=()))
    found = by_id(collect(site, make_settings))["aaaabbbbcccc"]
    assert isinstance(found, Found)
    assert found.category is Category.POST


def test_an_entry_without_text_is_skipped_as_empty(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/feed/@jane"] = feed(entry("aaaabbbbcccc", "Picture", content="<figure><img src='x'></figure>"))
    (item,) = collect(site, make_settings)
    assert isinstance(item, Skipped)
    assert item.empty


def test_a_feed_that_did_not_change_is_a_304_and_every_item_of_it_unchanged(
    site: Site, make_settings: MakeSettings
) -> None:
    site.answers["/feed/@jane"] = feed(
        entry("9f8e7d6c5b4a", "Tides", content=TIDES), entry("1a2b3c4d5e6f", "Ropes", description=MEMBERS)
    )
    known = known_after(collect(site, make_settings))
    items = collect(site, make_settings, known)
    assert {name: type(item) for name, item in by_id(items).items()} == {
        "9f8e7d6c5b4a": Unchanged,
        "1a2b3c4d5e6f": Unchanged,
    }
    assert site.seen[-1].headers["If-None-Match"]
    site.answers["/feed/@jane"] = feed(entry("9f8e7d6c5b4a", "Tides", content=TIDES + "<p>An afterthought.</p>"))
    (edited,) = collect(site, make_settings, known_after(items, known))
    assert isinstance(edited, Found)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(b"", status=404), "HTTP 404"),
        (Answer(b"<html><body>Just a moment...</body></html>"), "not a feed"),
        (Answer(b"", status=429, headers={"Retry-After": "3600"}), "asks for 3[56]"),
    ],
)
def test_a_feed_that_cannot_be_had_is_told_and_nothing_is_taken_for_gone(
    answer: Answer, message: str, site: Site, make_settings: MakeSettings
) -> None:
    site.answers["/feed/@jane"] = answer
    with pytest.raises(SourceUnavailable, match=message):
        collect(site, make_settings)


@pytest.mark.parametrize(
    "locator",
    ["@jane", "medium.com/@jane", "https://medium.com/@jane/how-tides-9f8e7d6c5b4a", "https://jane.medium.com/",
     "https://medium.com/feed/@jane"],
)  # fmt: skip
def test_a_person_has_one_address(locator: str, make_settings: MakeSettings) -> None:
    assert collector_for("medium").check(locator, {}, make_settings()) == "https://medium.com/@jane"


@pytest.mark.parametrize("locator", ["", "jane doe", "https://medium.com/publication", "https://example.org/@jane"])
def test_what_is_no_person_is_refused_in_words(locator: str, make_settings: MakeSettings) -> None:
    with pytest.raises(InvalidInput, match=r"`@name`|is not a URL"):
        collector_for("medium").check(locator, {}, make_settings())
