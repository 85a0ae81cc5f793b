"""A source that fails in the middle, over real stores: the rest is stored, the run says so, the next run goes on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.collect.scripted import CONSENT
from tests.collect.site import Answer, Site
from tests.collect.test_mastodon import LOOKUP, PAGE, serve, status
from tests.collect.test_substack import Publication, as_json, piece
from twin_core.collect.run import collect_source
from twin_core.records import SourceReport
from twin_core.settings import Settings
from twin_core.store import authors, documents
from twin_core.store.database import Database
from twin_core.warehouse.postgres import PostgresWarehouse

RATE = 4.0
"""Requests a second. The burst is as many."""


@pytest.fixture
def sync(site: Site, database: Database, settings: Settings) -> Callable[[str, str], SourceReport]:
    """Collect a source of Jane's, added when it is not there."""
    polite = settings.model_copy(update={"crawl_allow_hosts": [site.host], "crawl_requests_per_second": RATE})

    def run(platform: str, locator: str) -> SourceReport:
        with database.transaction() as conn:
            author = authors.add_author(conn, slug="jane", name="Jane Doe")
            source = authors.add_source(conn, author_id=author.id, platform=platform, locator=locator, consent=CONSENT)
        return collect_source(database, PostgresWarehouse(database), source, settings=polite)

    return run


def stored(database: Database, report: SourceReport) -> set[str]:
    with database.transaction() as conn:
        return set(documents.known_locations(conn, report.source_id))


def beyond_the_limit(site: Site) -> float:
    """By how many requests any stretch of the server's own log goes beyond burst + rate * its seconds."""
    times = [seen.at for seen in site.seen]
    return max(
        last - first + 1 - RATE - RATE * (times[last] - times[first])
        for first in range(len(times))
        for last in range(first, len(times))
    )


ON_THE_WAY = 0.5
"""Of a request: 125 ms at this rate, which one may take longer than another from the client to the server's log."""


BROKEN = {
    "reset": Answer(reset=True),
    "500": Answer(b"oops", status=500),
    "429": Answer(b"", status=429, headers={"Retry-After": "1"}),
    "invalid": Answer(b"<html>Just a moment...", media_type="text/html"),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", BROKEN)
def test_one_piece_that_breaks_leaves_the_others_stored_and_comes_with_the_next_run(
    how: str, site: Site, sync: Callable[[str, str], SourceReport], database: Database
) -> None:
    publication = Publication(site, [piece(number) for number in range(1, 5)])
    site.answers["/api/v1/posts/letter-2"] = BROKEN[how]

    first = sync("substack", site.url)

    assert (first.fetched, first.failed, first.complete) == (3, 1, False)
    assert stored(database, first) == {"1001", "1003", "1004"}
    tries = site.asked().count("/api/v1/posts/letter-2")
    assert tries == (1 if how == "invalid" else 3)
    if how == "429":
        at = [seen.at for seen in site.seen if seen.path == "/api/v1/posts/letter-2"]
        assert all(later - earlier >= 1.0 for earlier, later in pairwise(at))
    assert beyond_the_limit(site) < ON_THE_WAY

    publication.publish()
    site.seen.clear()
    second = sync("substack", site.url)
    assert (second.fetched, second.unchanged, second.failed, second.complete) == (1, 3, 0, True)
    assert [path for path in site.asked() if "/posts/" in path] == ["/api/v1/posts/letter-2"]
    assert beyond_the_limit(site) < ON_THE_WAY


@pytest.mark.slow
@pytest.mark.parametrize("how", BROKEN)
def test_a_listing_that_breaks_off_keeps_what_was_read_and_takes_nothing_for_gone(
    how: str, site: Site, sync: Callable[[str, str], SourceReport], database: Database
) -> None:
    statuses = [status(number) for number in range(1, 7)]
    serve(site, statuses, size=2)
    whole = sync("mastodon", f"{site.url}/@jane")
    assert (whole.fetched, whole.complete) == (6, True)
    second_page = next(path for path in site.answers if "max_id" in path)

    serve(site, [*statuses, status(8, "<p>New since.</p>")], size=2)
    site.answers[second_page] = BROKEN[how]
    following = [path for path in site.answers if "max_id" in path]
    for path in following:
        site.answers[path] = BROKEN[how]
    site.seen.clear()
    broken = sync("mastodon", f"{site.url}/@jane")

    assert not broken.complete
    assert broken.error is not None
    assert (broken.fetched, broken.deleted) == (1, 0)
    assert len(stored(database, broken)) == 7
    assert beyond_the_limit(site) < ON_THE_WAY

    serve(site, [*statuses[1:], status(8, "<p>New since.</p>")], size=2)
    again = sync("mastodon", f"{site.url}/@jane")
    assert (again.unchanged, again.deleted, again.complete) == (6, 1, True)


@pytest.mark.slow
def test_a_host_that_asks_for_an_hour_is_not_asked_again_by_the_next_run(
    site: Site, sync: Callable[[str, str], SourceReport]
) -> None:
    serve(site, [status(number) for number in range(1, 5)], size=2)
    rest = next(path for path in site.answers if "max_id" in path)
    site.answers[rest] = Answer(b"", status=429, headers={"Retry-After": "3600"})
    first = sync("mastodon", f"{site.url}/@jane")
    assert first.fetched == 2
    assert "the next run goes on" in str(first.error)
    assert site.asked() == [LOOKUP, PAGE, rest]
    second = sync("mastodon", f"{site.url}/@jane")
    assert second.error is not None
    assert site.asked() == [LOOKUP, PAGE, rest], "the host asked to be left alone"


def test_an_item_that_is_no_object_is_left_out_and_the_rest_is_stored(
    site: Site, sync: Callable[[str, str], SourceReport], database: Database
) -> None:
    serve(site, [status(1), status(2)])
    answer = site.answers[PAGE]
    assert isinstance(answer, Answer)
    site.answers[PAGE] = as_json(["nonsense", None, status(1), {"id": "5", "content": None, "reblog": None}])
    report = sync("mastodon", f"{site.url}/@jane")
    assert (report.fetched, report.skipped, report.error) == (1, 1, None)
