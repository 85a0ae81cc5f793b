"""Exports, feeds and blogs meet: what is one piece of writing is one document, what is two stays two, and why is recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from tests.collect.scripted import END, Desk, found
from tests.collect.site import Answer, Site, feed, served, sitemap
from twin_core.collect import run
from twin_core.collect.kinship import page_key
from twin_core.collect.platforms.web import WebCollector
from twin_core.collect.run import collect_source, split_location
from twin_core.errors import Refused
from twin_core.records import Category, Found, Gone, Source, Unchanged
from twin_core.settings import Settings
from twin_core.store import authors
from twin_core.store.database import Database
from twin_core.store.merging import merge_documents


@pytest.fixture
def desk(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(database, settings)
    monkeypatch.setattr(run, "collector_for", lambda platform: made.collector)
    return made


@pytest.fixture
def blog(desk: Desk) -> Source:
    return desk.add_source("blog")


@pytest.fixture
def feed_of(desk: Desk) -> Source:
    return desk.add_source("feed")


def essay(subject: str, *, words: int = 300, edits: int = 0) -> str:
    """A text of its own on a subject: no two subjects share a run of five words."""
    made = [f"{subject}{number % 71}" if number % 2 else f"{subject}{number}" for number in range(words)]
    for edit in range(edits):
        made[(edit + 1) * words // (edits + 2)] = f"edited{edit}"
    return " ".join(made)


def places(desk: Desk, document: UUID) -> dict[str, tuple[str, str | None]]:
    """Native id -> (why it is here, whether and why it leads)."""
    return {one.native_id: (one.joined_by, one.leads) for one in desk.lineage(document).locations}


def evidence(desk: Desk, document: UUID, native_id: str) -> str | None:
    return next(one.evidence for one in desk.lineage(document).locations if one.native_id == native_id)


# What joins


def test_a_canonical_address_joins_whatever_the_texts_say(desk: Desk, blog: Source) -> None:
    desk.sync(found("export", essay("tide"), canonical_url="https://www.jane.example/tides/?utm_source=x"), END)
    desk.sync(
        found("page", essay("tide", edits=20), location="http://jane.example/tides"),
        END,
        source=blog,
    )
    document = desk.document_at("export")
    assert desk.document_at("page", blog) == document
    assert places(desk, document) == {"export": ("minted", "first"), "page": ("canonical_url", None)}
    assert evidence(desk, document, "page") == "jane.example/tides"


def test_the_platforms_own_id_joins_where_no_address_does(desk: Desk, feed_of: Source) -> None:
    desk.sync(found("export", "A short note.", platform_id="medium:3f2a"), END)
    desk.sync(found("item", "A short note, cut", platform_id="medium:3f2a"), END, source=feed_of)
    document = desk.document_at("export")
    assert places(desk, document)["item"] == ("platform_id", None)
    assert evidence(desk, document, "item") == "medium:3f2a"


def test_nearly_the_same_text_joins_across_sources(desk: Desk, blog: Source) -> None:
    desk.sync(found("export", essay("tide")), END)
    desk.sync(found("page", essay("tide", edits=3)), END, source=blog)
    document = desk.document_at("export")
    assert desk.document_at("page", blog) == document
    assert places(desk, document)["page"][0] == "near_duplicate"
    assert (evidence(desk, document, "page") or "").startswith("0.")


def test_the_address_decides_before_the_id_and_the_id_before_the_text(desk: Desk, blog: Source) -> None:
    desk.sync(
        found("by-address", essay("tide"), canonical_url="https://jane.example/a"),
        found("by-id", essay("rope"), platform_id="medium:1"),
        found("by-text", essay("lamp")),
        END,
    )
    desk.sync(
        found("one", essay("lamp"), platform_id="medium:1"),
        found("two", "Too short to be a stranger.", canonical_url="https://jane.example/a", platform_id="medium:1"),
        END,
        source=blog,
    )
    assert desk.document_at("one", blog) == desk.document_at("by-id")
    assert desk.document_at("two", blog) == desk.document_at("by-address")


def test_a_document_that_is_gone_comes_back_where_its_address_comes_back(desk: Desk, blog: Source) -> None:
    desk.sync(found("page", essay("tide"), location="https://jane.example/tides"), END, source=blog)
    document = desk.document_at("page", blog)
    desk.sync(Gone(native_id="page"), source=blog)
    desk.sync(found("export", essay("tide", edits=9), canonical_url="https://jane.example/tides"), END)
    assert desk.document_at("export") == document
    assert desk.state(document) == "live"


# What does not


@pytest.mark.parametrize("category", [Category.POST, Category.CODE])
def test_another_category_is_another_document(desk: Desk, blog: Source, category: Category) -> None:
    desk.sync(found("a", essay("tide"), canonical_url="https://jane.example/a", platform_id="m:1"), END)
    desk.sync(
        found("b", essay("tide"), canonical_url="https://jane.example/a", platform_id="m:1", category=category),
        END,
        source=blog,
    )
    assert desk.document_at("a") != desk.document_at("b", blog)


def test_a_front_page_is_nobodys_canonical_address(desk: Desk, blog: Source) -> None:
    desk.sync(found("a", "One.", canonical_url="https://jane.example/"), END)
    desk.sync(found("b", "Two.", canonical_url="https://jane.example/index.html"), END, source=blog)
    assert desk.document_at("a") != desk.document_at("b", blog)


def test_two_articles_that_name_one_address_stay_two(desk: Desk, blog: Source) -> None:
    desk.sync(found("a", essay("tide"), canonical_url="https://jane.example/latest"), END)
    desk.sync(found("b", essay("rope"), canonical_url="https://jane.example/latest"), END, source=blog)
    assert desk.document_at("a") != desk.document_at("b", blog)


def test_an_address_that_leads_to_several_documents_leads_to_none(desk: Desk, blog: Source) -> None:
    address = "https://jane.example/blog"
    desk.sync(found("a", "One.", canonical_url=address), found("b", "Two.", canonical_url=address), END)
    assert desk.document_at("a") != desk.document_at("b"), "one source names each of its items once"
    desk.sync(found("c", "Three.", canonical_url=address), END, source=blog)
    assert len({desk.document_at("a"), desk.document_at("b"), desk.document_at("c", blog)}) == 3


def test_a_second_item_of_a_source_does_not_join_what_it_has_one_of(desk: Desk, blog: Source) -> None:
    desk.sync(found("export", "One.", canonical_url="https://jane.example/x"), END)
    desk.sync(
        found("a", "One, roughly.", canonical_url="https://jane.example/x"),
        found("b", "Another.", canonical_url="https://jane.example/x"),
        END,
        source=blog,
    )
    assert desk.document_at("a", blog) == desk.document_at("export")
    assert desk.document_at("b", blog) != desk.document_at("export")


def test_near_duplicates_within_one_source_stay_two(desk: Desk) -> None:
    desk.sync(found("a", essay("tide")), found("b", essay("tide", edits=1)), END)
    assert desk.document_at("a") != desk.document_at("b")


def test_short_texts_and_code_are_never_near_duplicates(desk: Desk, blog: Source) -> None:
    short, code = essay("tide", words=40), essay("code", words=300)
    desk.sync(found("a", short), found("a.py", code, category=Category.CODE), END)
    desk.sync(found("b", f"{short} more"), found("b.py", f"{code} more", category=Category.CODE), END, source=blog)
    assert desk.document_at("a") != desk.document_at("b", blog)
    assert desk.document_at("a.py") != desk.document_at("b.py", blog)


def test_another_author_has_documents_of_their_own(desk: Desk) -> None:
    desk.sync(found("a", essay("tide"), platform_id="medium:1", canonical_url="https://x.example/a"), END)
    with desk.database.transaction() as conn:
        bob = authors.add_author(conn, slug="bob", name="Bob")
        his = authors.add_source(
            conn, author_id=bob.id, platform="scripted", locator="his", consent=desk.source.consent
        )
    desk.sync(found("b", essay("tide"), platform_id="medium:1", canonical_url="https://x.example/a"), END, source=his)
    assert desk.document_at("a") != desk.document_at("b", his)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://www.Jane.example:443/a/b/?utm_medium=rss&b=2&a=1#top", "jane.example/a/b?a=1&b=2"),
        ("http://jane.example:8080/a", "jane.example:8080/a"),
        ("https://jane.example", None),
        ("https://jane.example/index.php", None),
        ("https://jane.example/?p=12", "jane.example?p=12"),
        ("/notes/a.md", None),
        ("mailto:jane@jane.example", None),
        ("https://[broken", None),
        ("https://jane.example/" + "x" * 3000, None),
    ],
)
def test_an_address_is_reduced_to_what_identifies_a_page(url: str, key: str | None) -> None:
    assert page_key(url) == key


def test_items_told_apart_by_their_fragment_stay_apart() -> None:
    assert page_key("https://git.example/r#a.py", keep_fragment=True) != page_key(
        "https://git.example/r#b.py", keep_fragment=True
    )


# Which text leads


def test_a_feed_cut_short_does_not_lead_though_it_was_first(desk: Desk, feed_of: Source) -> None:
    whole = essay("tide")
    desk.sync(found("item", " ".join(whole.split()[:90]), platform_id="medium:1"), END, source=feed_of)
    document = desk.document_at("item", feed_of)
    desk.sync(found("export", whole, platform_id="medium:1"), END)
    assert desk.document_at("export") == document
    assert desk.text(document) == whole
    assert places(desk, document) == {"item": ("minted", None), "export": ("platform_id", "fullest")}


def test_the_text_that_was_changed_last_leads(desk: Desk, blog: Source) -> None:
    old, new = datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
    desk.sync(found("export", essay("tide"), platform_id="m:1", modified_at=old), END)
    desk.sync(found("page", essay("tide", edits=2), platform_id="m:1", modified_at=new), END, source=blog)
    document = desk.document_at("export")
    assert desk.text(document) == essay("tide", edits=2)
    assert places(desk, document)["page"] == ("platform_id", "newest")


def test_a_blog_read_before_an_older_export_keeps_leading(desk: Desk, blog: Source) -> None:
    desk.sync(found("page", essay("tide", edits=2), platform_id="m:1"), END, source=blog)
    desk.sync(found("export", essay("tide"), platform_id="m:1"), END)
    document = desk.document_at("export")
    assert desk.text(document) == essay("tide", edits=2)
    assert places(desk, document)["page"] == ("minted", "first")


def test_an_edit_at_any_one_place_is_the_next_revision_of_the_one_document(desk: Desk, blog: Source) -> None:
    desk.sync(found("export", essay("tide"), platform_id="m:1"), END)
    desk.sync(found("page", essay("tide"), platform_id="m:1"), END, source=blog)
    document = desk.document_at("export")
    desk.sync(found("page", essay("tide", edits=2), platform_id="m:1"), END, source=blog)
    assert desk.text(document) == essay("tide", edits=2)
    desk.sync(found("export", essay("tide", edits=4), platform_id="m:1"), END)
    assert desk.text(document) == essay("tide", edits=4)
    assert set(places(desk, document)) == {"export", "page"}
    assert len(desk.history(document)) == 3


def test_the_other_place_leads_when_the_leading_one_is_gone(desk: Desk, blog: Source) -> None:
    desk.sync(found("export", essay("tide"), platform_id="m:1"), END)
    desk.sync(found("page", essay("tide", edits=2), platform_id="m:1"), END, source=blog)
    document = desk.document_at("export")
    desk.sync(Gone(native_id="export"))
    assert desk.text(document) == essay("tide", edits=2)
    assert places(desk, document) == {"export": ("minted", None), "page": ("platform_id", "only")}


# What becomes of it later


def test_a_cross_post_that_is_edited_a_little_stays_and_one_that_is_rewritten_leaves(desk: Desk, blog: Source) -> None:
    desk.sync(found("export", essay("tide")), END)
    desk.sync(found("page", essay("tide", edits=2)), END, source=blog)
    document = desk.document_at("export")
    desk.sync(found("page", essay("tide", edits=12)), END, source=blog)
    assert desk.document_at("page", blog) == document
    # The edit made it the newest text, which the document now has; so another one's rewriting is what parts them.
    desk.sync(found("export", essay("rope")), END)
    assert desk.document_at("export") != desk.document_at("page", blog)
    assert desk.live() == {"export": essay("rope"), "page": essay("tide", edits=12)}


def test_what_an_address_holds_stays_through_a_rewriting(desk: Desk, blog: Source) -> None:
    desk.sync(found("export", essay("tide"), canonical_url="https://jane.example/a"), END)
    desk.sync(found("page", essay("tide"), location="https://jane.example/a"), END, source=blog)
    document = desk.document_at("export")
    desk.sync(found("page", essay("rope"), location="https://jane.example/a"), END, source=blog)
    desk.sync(Unchanged(native_id="export"), END)
    assert desk.document_at("page", blog) == desk.document_at("export") == document
    assert desk.text(document) == essay("rope")


# What a person says


def test_a_location_that_a_person_split_off_stays_a_document_of_its_own(desk: Desk, blog: Source) -> None:
    desk.sync(found("export", essay("tide"), platform_id="m:1"), END)
    desk.sync(found("page", essay("tide", edits=2), platform_id="m:1"), END, source=blog)
    document = desk.document_at("export")
    own = split_location(desk.database, desk.warehouse, blog, "page")
    assert own != document
    assert places(desk, own) == {"page": ("by_hand", "only")}
    for text in (essay("tide"), essay("tide", edits=1), essay("rope")):
        desk.sync(found("page", text, platform_id="m:1"), END, source=blog)
        desk.sync(found("export", essay("tide"), platform_id="m:1"), END)
        assert desk.document_at("page", blog) == own
        assert desk.document_at("export") == document
    desk.sync(Gone(native_id="page"), source=blog)
    desk.sync(found("page", essay("tide"), platform_id="m:1"), END, source=blog)
    assert desk.document_at("page", blog) == own
    assert desk.state(own) == "live"


def test_the_first_place_too_can_be_split_off_and_the_other_keeps_the_document(desk: Desk, blog: Source) -> None:
    desk.sync(found("export", essay("tide"), platform_id="m:1"), END)
    desk.sync(found("page", essay("tide", edits=2), platform_id="m:1"), END, source=blog)
    document = desk.document_at("export")
    own = split_location(desk.database, desk.warehouse, desk.source, "export")
    assert desk.document_at("page", blog) == document
    assert desk.text(document) == essay("tide", edits=2)
    assert desk.text(own) == essay("tide")


def test_the_only_location_and_one_that_is_gone_cannot_be_split_off(desk: Desk) -> None:
    desk.sync(found("a", "One."), END)
    with pytest.raises(Refused, match="only location"):
        split_location(desk.database, desk.warehouse, desk.source, "a")
    desk.sync(Gone(native_id="a"))
    with pytest.raises(Refused, match="not there"):
        split_location(desk.database, desk.warehouse, desk.source, "a")


def test_what_a_person_merged_stays_merged_whatever_its_address_and_text_become(desk: Desk, blog: Source) -> None:
    desk.sync(found("a", essay("tide"), canonical_url="https://jane.example/a"), END)
    desk.sync(found("b", essay("rope"), canonical_url="https://jane.example/b"), END, source=blog)
    document = desk.document_at("a")
    with desk.database.transaction() as conn:
        merge_documents(conn, desk.author.id, kept=document, merged=desk.document_at("b", blog))
    for text in (essay("lamp", words=900), essay("tide"), essay("rope")):
        desk.sync(found("b", text, canonical_url="https://jane.example/c"), END, source=blog)
        assert desk.document_at("b", blog) == document
        assert desk.text(document) == essay("tide"), "the text of the kept document counts, however full or new"


def test_a_split_can_be_merged_again(desk: Desk, blog: Source) -> None:
    desk.sync(found("export", essay("tide"), platform_id="m:1"), END)
    desk.sync(found("page", essay("tide"), platform_id="m:1"), END, source=blog)
    document = desk.document_at("export")
    own = split_location(desk.database, desk.warehouse, blog, "page")
    with desk.database.transaction() as conn:
        merge_documents(conn, desk.author.id, kept=document, merged=own)
    desk.sync(found("page", essay("tide", edits=1), platform_id="m:1"), END, source=blog)
    assert desk.document_at("page", blog) == document


# The whole of it


COUNT = 100


def article(number: int) -> str:
    return "".join(
        f"<p>Part {part} of piece {number} says that topic{number}x{part} needs care{number * 7 + part}, since "
        f"habit{number + part * 131} and note{number * part} outlive every plan{number * 3 + part * 17} I made.</p>"
        for part in range(12)
    )


def page(site: str, number: int) -> bytes:
    return (
        f"<html><head><title>Piece {number}</title><link rel='canonical' href='{site}/pieces/{number}'></head><body>"
        f"<nav><a href='/'>home</a></nav><article><h1>Piece {number}</h1>{article(number)}</article></body></html>"
    ).encode()


@pytest.mark.parametrize(
    "order",
    [
        (0, 1, 2),
        pytest.param((2, 0, 1), marks=pytest.mark.slow),
        pytest.param((1, 2, 0), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_hundred_articles_by_export_feed_and_blog_are_a_hundred_documents_at_three_hundred_locations(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    with served(Site()) as medium, served(Site()) as own:
        hosts = [url.removeprefix("http://") for url in (medium.url, own.url)]
        here = settings.model_copy(update={"crawl_allow_hosts": hosts, "crawl_requests_per_second": 1000.0})
        desk = Desk(database, here)
        collectors = {"scripted": desk.collector, "web": WebCollector()}
        monkeypatch.setattr(run, "collector_for", lambda platform: collectors[platform])

        export = [
            Found(
                native_id=f"posts/{number}.html",
                location=f"posts/{number}.html",
                category=Category.ARTICLE,
                media_type="text/html",
                body=f"<article><h1>Piece {number}</h1>{article(number)}</article>".encode(),
                content_hash=f"export {number}",
                # Half of them name the blog as their canonical address, the other half where they stand themselves.
                canonical_url=f"{own.url}/pieces/{number}" if number % 2 else f"{medium.url}/@jane/piece-{number}",
                platform_id=f"medium:{number:x}",
            )
            for number in range(COUNT)
        ]
        listed = [
            (f"/@jane/piece-{number}?source=rss-1", f"Piece {number}", article(number)) for number in range(COUNT)
        ]
        medium.answers["/feed/@jane"] = Answer(feed(medium.url, listed), media_type="application/rss+xml")
        paths = [f"/pieces/{number}" for number in range(COUNT)]
        own.answers["/sitemap.xml"] = Answer(sitemap(own.url, paths), media_type="text/xml")
        own.answers |= {path: Answer(page(own.url, number)) for number, path in enumerate(paths)}
        with database.transaction() as conn:
            web = [
                authors.add_source(
                    conn, author_id=desk.author.id, platform="web", locator=locator, options=options,
                    consent=desk.source.consent,
                )
                for locator, options in (
                    (f"{medium.url}/feed/@jane", {"kind": "feed"}), (f"{own.url}/sitemap.xml", {"kind": "sitemap"}),
                )
            ]  # fmt: skip
        for _ in range(2):  # the second time nothing changes
            desk.collector.items = [*export, END]
            for which in order:
                source = [desk.source, *web][which]
                report = collect_source(database, desk.warehouse, source, settings=here)
                assert (report.error, report.failed) == (None, 0)
        assert desk.rows("SELECT count(*) FROM warehouse.documents WHERE state = 'live'") == [(COUNT,)]
        assert desk.rows("SELECT count(*) FROM warehouse.document_locations WHERE state = 'live'") == [(3 * COUNT,)]
        per_document = desk.rows("SELECT DISTINCT count(*) FROM warehouse.document_locations GROUP BY document_id")
        assert per_document == [(3,)]
        grounds = dict(desk.rows("SELECT joined_by, count(*) FROM warehouse.document_locations GROUP BY joined_by"))
        assert grounds["minted"] == COUNT
        assert grounds["canonical_url"] + grounds.get("near_duplicate", 0) == 2 * COUNT
