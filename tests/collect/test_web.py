"""A blog served on loopback: found by feed, sitemap or page, and what becomes of each of its pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from tests.collect.conftest import source_of
from tests.collect.runs import by_id, known_after, listed
from tests.collect.site import Answer, Site, article, feed, prose, sitemap
from twin_core.collect.guarded import GuardedClient
from twin_core.collect.platforms.web import collect_with
from twin_core.collect.polite import PoliteClient
from twin_core.collect.registry import collector_for
from twin_core.errors import InvalidInput, Refused, SourceUnavailable
from twin_core.records import Category, Failed, Found, Gone, Item, Known, Skipped, Unchanged
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]
Collect = Callable[..., list[Item]]


@pytest.fixture
def collect(site: Site, make_settings: MakeSettings) -> Collect:
    def run(
        path: str = "/", known: dict[str, Known] | None = None, limit: int = 2_000, **options: str | list[str]
    ) -> list[Item]:
        settings = make_settings(crawl_allow_hosts=[site.host], crawl_max_pages=limit)
        with GuardedClient(settings) as client:
            polite = PoliteClient(client, settings, backoff=0.001)
            return list(collect_with(polite, source_of("web", site.url + path, **options), known or {}, settings))

    return run


@pytest.fixture
def blog(site: Site) -> Site:
    """A front page naming a feed of summaries, and a sitemap of three articles."""
    link = '<link rel="alternate" type="application/rss+xml" href="/feed.xml">'
    site.page("/", "Welcome.", title="Blog", head=link)
    for name in ("tides", "harbours", "lighthouses"):
        site.page(f"/{name}", prose(name), title=f"On {name}")
    site.answers["/feed.xml"] = Answer(
        feed(site.url, [("/tides?utm_source=rss", "On tides", "")]), media_type="application/rss+xml"
    )
    site.answers["/sitemap.xml"] = Answer(
        sitemap(site.url, ["/", "/tides", "/harbours", "/lighthouses"]), media_type="application/xml"
    )
    return site


def keep(items: Iterator[Item], found: list[Item]) -> None:
    """What came before an exception is kept."""
    for item in items:
        found.append(item)


def kinds(site: Site, items: list[Item]) -> dict[str, type]:
    return {name.removeprefix(site.url): type(item) for name, item in by_id(items).items()}


def test_a_site_is_found_by_its_feed_and_its_sitemap(blog: Site, collect: Collect) -> None:
    items = collect()
    assert kinds(blog, items) == {"/tides": Found, "/harbours": Found, "/lighthouses": Found, "/": Skipped}
    tides = by_id(items)[f"{blog.url}/tides"]
    assert isinstance(tides, Found)
    assert (tides.title, tides.category, tides.media_type) == ("On tides", Category.ARTICLE, "text/html")
    assert tides.written_at == datetime(2024, 3, 5, 10, tzinfo=UTC)
    assert tides.body == article("On tides", prose("tides")).encode()
    end = listed(items)
    assert end is not None
    assert end.own_count == 4


def test_a_second_run_asks_with_validators_and_finds_nothing_new(blog: Site, collect: Collect) -> None:
    known = known_after(collect())
    blog.seen.clear()
    assert kinds(blog, collect("/", known)) == {
        "/tides": Unchanged, "/harbours": Unchanged, "/lighthouses": Unchanged, "/": Skipped,
    }  # fmt: skip
    assert sum("If-None-Match" in seen.headers for seen in blog.seen) == 3


def test_an_edited_page_is_found_and_changed_furniture_is_not(blog: Site, collect: Collect) -> None:
    known = known_after(collect())
    blog.page("/tides", prose("tides") + "\n\nAnd one more paragraph that was added later on.", title="On tides")
    text = article("On harbours", prose("harbours")).replace("Copyright", "New year, new copyright")
    blog.answers["/harbours"] = Answer(text.encode())
    assert kinds(blog, collect("/", known)) == {
        "/tides": Found, "/harbours": Unchanged, "/lighthouses": Unchanged, "/": Skipped,
    }  # fmt: skip


def test_a_page_is_gone_at_the_second_404_and_not_before(blog: Site, collect: Collect) -> None:
    known = known_after(collect())
    del blog.answers["/tides"]
    first = collect("/", known)
    gone = by_id(first)[f"{blog.url}/tides"]
    assert isinstance(gone, Failed)
    assert "HTTP 404; kept" in gone.reason
    known = known_after(first, known)
    assert f"{blog.url}/tides" in known
    second = by_id(collect("/", known))[f"{blog.url}/tides"]
    assert isinstance(second, Gone)


def test_a_page_that_comes_back_after_one_404_starts_afresh(blog: Site, collect: Collect) -> None:
    known = known_after(collect())
    page = blog.answers.pop("/tides")
    known = known_after(collect("/", known), known)
    blog.answers["/tides"] = page
    known = known_after(collect("/", known), known)
    del blog.answers["/tides"]
    assert isinstance(by_id(collect("/", known))[f"{blog.url}/tides"], Failed)


def test_a_410_is_believed_at_once(blog: Site, collect: Collect) -> None:
    known = known_after(collect())
    blog.answers["/tides"] = Answer(status=410)
    assert isinstance(by_id(collect("/", known))[f"{blog.url}/tides"], Gone)


def test_a_page_that_left_the_listings_is_asked_for_and_stays_while_it_answers(blog: Site, collect: Collect) -> None:
    known = known_after(collect())
    blog.answers["/sitemap.xml"] = Answer(sitemap(blog.url, ["/tides"]))
    assert kinds(blog, collect("/", known)) == {"/tides": Unchanged, "/harbours": Unchanged, "/lighthouses": Unchanged}


def test_a_redirect_to_the_front_page_counts_as_a_missing_page(blog: Site, collect: Collect) -> None:
    known = known_after(collect())
    blog.answers["/tides"] = Answer(status=302, headers={"Location": "/"})
    item = by_id(collect("/", known))[f"{blog.url}/tides"]
    assert isinstance(item, Failed)
    assert "front page" in item.reason


def test_robots_empty_bodies_and_other_files_are_told_apart(blog: Site, collect: Collect) -> None:
    blog.answers["/robots.txt"] = Answer(b"User-agent: *\nDisallow: /harbours\n", media_type="text/plain")
    blog.page("/lighthouses", "")
    blog.answers["/tides"] = Answer(b"%PDF-1.7", media_type="application/pdf")
    reasons = {name.removeprefix(blog.url): getattr(item, "reason", "") for name, item in by_id(collect()).items()}
    assert reasons["/harbours"] == "robots.txt forbids /harbours"
    assert reasons["/lighthouses"] == "empty body after extraction"
    assert reasons["/tides"] == "no page of text: application/pdf"
    assert "/harbours" not in blog.asked()


def test_one_failing_page_does_not_stop_the_rest(blog: Site, collect: Collect) -> None:
    blog.answers["/tides"] = Answer(status=500)
    blog.answers["/harbours"] = Answer(reset=True)
    assert kinds(blog, collect()) == {"/tides": Failed, "/harbours": Failed, "/lighthouses": Found, "/": Skipped}


def test_a_feed_with_whole_articles_is_read_without_asking_for_the_pages(site: Site, collect: Collect) -> None:
    html = "".join(f"<p>{part}</p>" for part in prose("knots").split("\n\n"))
    stub = "<p>This is only the beginning of it […]</p>"
    site.answers["/feed.xml"] = Answer(
        feed(site.url, [("/knots", "On knots", html), ("/ropes", "On ropes", stub)]), media_type="application/rss+xml"
    )
    site.page("/ropes", prose("ropes"))
    items = collect("/feed.xml")
    assert kinds(site, items) == {"/knots": Found, "/ropes": Found}
    knots = by_id(items)[f"{site.url}/knots"]
    assert isinstance(knots, Found)
    assert b"careful notes" in knots.body
    assert "/knots" not in site.asked()
    assert "/ropes" in site.asked()
    assert kinds(site, collect("/feed.xml", known_after(items))) == {"/knots": Unchanged, "/ropes": Unchanged}


def test_a_feed_alone_never_proves_that_something_is_gone(site: Site, collect: Collect) -> None:
    site.answers["/feed.xml"] = Answer(feed(site.url, [("/a", "A", "")]))
    site.page("/a", prose("anchors"))
    site.page("/b", prose("buoys"))
    known = known_after(collect("/feed.xml"))
    site.answers["/feed.xml"] = Answer(feed(site.url, [("/b", "B", "")]))
    items = collect("/feed.xml", known)
    assert kinds(site, items) == {"/b": Found, "/a": Unchanged}
    assert listed(items) is None


def test_a_feed_that_is_not_xml_is_an_error_in_words(site: Site, collect: Collect) -> None:
    site.page("/feed.xml", prose("nothing"))
    with pytest.raises(SourceUnavailable, match="is not a feed"):
        collect("/feed.xml")
    site.answers["/feed.xml"] = Answer(b"\x00\x01 garbage", media_type="application/rss+xml")
    with pytest.raises(SourceUnavailable, match="is not a feed"):
        collect("/feed.xml")


def test_a_broken_feed_of_a_site_is_told_after_what_its_sitemap_gave(blog: Site, make_settings: MakeSettings) -> None:
    blog.answers["/feed.xml"] = Answer(b"<html><body>Sorry</body></html>")
    settings = make_settings(crawl_allow_hosts=[blog.host])
    found: list[Item] = []
    with GuardedClient(settings) as client:
        items = collect_with(PoliteClient(client, settings), source_of("web", blog.url + "/"), {}, settings)
        with pytest.raises(SourceUnavailable, match="is not a feed"):
            keep(items, found)
    assert kinds(blog, found) == {"/tides": Found, "/harbours": Found, "/lighthouses": Found, "/": Skipped}


def test_sitemaps_named_in_robots_txt_are_followed_through_an_index(site: Site, collect: Collect) -> None:
    site.answers["/robots.txt"] = Answer(f"Sitemap: {site.url}/maps.xml\n".encode(), media_type="text/plain")
    site.answers["/maps.xml"] = Answer(
        f"<sitemapindex><sitemap><loc>{site.url}/one.xml</loc></sitemap><sitemap><loc>{site.url}/maps.xml</loc></sitemap>"
        f"<sitemap><loc>http://elsewhere.example/x.xml</loc></sitemap></sitemapindex>".encode()
    )
    site.answers["/one.xml"] = Answer(sitemap(site.url, ["/a", "/b"]))
    site.page("/", "Welcome")
    site.page("/a", prose("anchors"))
    site.page("/b", prose("buoys"))
    items = collect()
    assert kinds(site, items) == {"/a": Found, "/b": Found}
    assert listed(items) is not None


def test_a_sitemap_with_an_external_entity_reads_no_file(site: Site, collect: Collect) -> None:
    site.answers["/sitemap.xml"] = Answer(
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]><urlset><url><loc>&f;</loc></url></urlset>'
    )
    assert kinds(site, collect("/sitemap.xml")) == {}


def test_only_what_lies_below_the_given_address_is_taken_from_a_sitemap(site: Site, collect: Collect) -> None:
    site.page("/~jane/", "Jane's notes")
    site.page("/~jane/a", prose("anchors"))
    site.page("/~john/b", prose("buoys"))
    site.answers["/sitemap.xml"] = Answer(sitemap(site.url, ["/~jane/a", "/~john/b"]))
    assert kinds(site, collect("/~jane/")) == {"/~jane/a": Found}


def test_a_site_without_feed_and_sitemap_gives_what_its_page_links_to(site: Site, collect: Collect) -> None:
    links = "".join(f"<a href='{where}'>x</a>" for where in ("/a", "b", "http://elsewhere.example/c", "mailto:x@y.z"))
    site.answers["/"] = Answer(f"<html><body>{links}</body></html>".encode())
    site.page("/a", prose("anchors"))
    site.page("/b", prose("buoys"))
    items = collect()
    assert kinds(site, items) == {"/a": Found, "/b": Found}
    assert listed(items) is None


def test_one_article_given_by_its_address_is_taken_alone(blog: Site, collect: Collect) -> None:
    blog.page("/tides", prose("tides"), head='<meta property="og:type" content="article">')
    assert kinds(blog, collect("/tides")) == {"/tides": Found}
    assert kinds(blog, collect("/harbours", kind="page")) == {"/harbours": Found}


def test_one_page_under_two_addresses_is_one_item(site: Site, collect: Collect) -> None:
    head = '<link rel="canonical" href="/tides">'
    for path in ("/tides", "/2024/tides"):
        site.page(path, prose("tides"), head=head)
    site.answers["/moved"] = Answer(status=301, headers={"Location": "/tides"})
    site.answers["/sitemap.xml"] = Answer(
        sitemap(site.url, ["/2024/tides", "/moved", "/tides#top", "/tides?utm_medium=x"])
    )
    items = collect("/sitemap.xml")
    assert kinds(site, items) == {"/tides": Found, "/moved": Skipped}
    again = collect("/sitemap.xml", known_after(items))
    assert kinds(site, again)["/tides"] is Unchanged


def test_a_run_takes_new_pages_first_and_says_what_it_left(blog: Site, collect: Collect) -> None:
    first = collect("/", limit=2)
    assert kinds(blog, first) == {"/tides": Found, "/": Skipped, "/harbours": Skipped, "/lighthouses": Skipped}
    assert listed(first) is None
    second = kinds(blog, collect("/", known_after(first), limit=3, exclude=["/"]))
    assert second["/harbours"] is Found


def test_a_site_that_is_down_stops_the_run_after_a_few_pages(site: Site, collect: Collect) -> None:
    paths = [f"/{number}" for number in range(30)]
    site.answers["/sitemap.xml"] = Answer(sitemap(site.url, paths))
    for path in paths:
        site.answers[path] = Answer(status=503)
    with pytest.raises(SourceUnavailable, match="in a row"):
        collect("/sitemap.xml")
    assert len(set(site.asked())) < 10


@pytest.mark.parametrize("status", [404, 500])
def test_an_address_that_does_not_answer_deletes_nothing(status: int, site: Site, collect: Collect) -> None:
    site.answers["/"] = Answer(status=status)
    with pytest.raises(SourceUnavailable, match=f"HTTP {status}"):
        collect()


def test_a_site_that_forbids_everything_is_told_in_words(site: Site, collect: Collect) -> None:
    site.answers["/robots.txt"] = Answer(b"User-agent: *\nDisallow: /\n")
    with pytest.raises(SourceUnavailable, match=r"robots.txt forbids /"):
        collect()


def test_the_charset_of_the_header_is_heeded(site: Site, collect: Collect) -> None:
    text = article("Über Köln", prose("Köln"))
    site.answers["/"] = Answer(text.encode("latin-1"), media_type="text/html; charset=iso-8859-1")
    page = by_id(collect("/", kind="page"))[f"{site.url}/"]
    assert isinstance(page, Found)
    assert page.title == "Über Köln"
    assert page.metadata["charset"] == "iso-8859-1"


def test_options_choose_pages_and_categories(blog: Site, collect: Collect) -> None:
    items = by_id(collect("/", include=["/tides", "/harbours"], posts="/harbours"))
    assert {name.removeprefix(blog.url): getattr(item, "category", None) for name, item in items.items()} == {
        "/tides": Category.ARTICLE,
        "/harbours": Category.POST,
    }


def test_the_check_gives_the_canonical_address_or_says_what_is_wrong(make_settings: MakeSettings) -> None:
    web, settings = collector_for("web"), make_settings(crawl_allow_hosts=["127.0.0.1:8899"])
    assert web.check("HTTP://127.0.0.1:8899?utm_source=x#top", {}, settings) == "http://127.0.0.1:8899/"
    with pytest.raises(Refused, match="loopback"):
        web.check("http://127.0.0.1:22/", {}, settings)
    with pytest.raises(Refused):
        web.check("http://[::ffff:10.0.0.1]/", {}, settings)
    with pytest.raises(InvalidInput, match="does not start with"):
        web.check("ftp://127.0.0.1/", {}, settings)
    with pytest.raises(InvalidInput, match="no kind of web source"):
        web.check("http://127.0.0.1:8899/", {"kind": "wiki"}, settings)
