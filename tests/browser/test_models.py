"""The page where a person judges an adapter: answers compared blind, and what is shown when those cannot be read."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.api.conftest import Api
from tests.api.scenario import with_report
from tests.browser.conftest import Open
from tests.champion.scenario import Bench
from twin_core.evaluation.samples import Sample
from twin_core.settings import Settings

pytestmark = pytest.mark.browser

PAIRS = [Sample(prompt=f"Write about tide {n}.", challenger=f"mine {n}", other=f"theirs {n}") for n in (1, 2)]


@pytest.fixture
def models(api: Api, settings: Settings, open_page: Open) -> Page:
    """The page of an author with one measured adapter, read with a key that may write."""
    bench = Bench(api.database, settings, slug="ann")
    with_report(bench, settings, PAIRS)
    return open_page(api.url).sign_in(api.new_key(bench.author, "write").secret, "/models")


def test_two_answers_are_judged_blind_and_who_won_is_said_at_the_end(models: Page) -> None:
    models.get_by_role("button", name="Compare").click()
    for prompt in ("Write about tide 1.", "Write about tide 2."):
        expect(models.get_by_text(prompt)).to_be_visible()
        left = models.get_by_role("region", name="The left one").inner_text()
        models.get_by_role("button", name="The left one" if left.startswith("mine") else "The right one").click()
    expect(models.get_by_text("Of 2, you found v1 better in 2, the base model in 0, and neither in 0.")).to_be_visible()
    models.reload()
    models.get_by_role("button", name="Compare").click()
    expect(models.get_by_text("Of 2, you found v1 better in 2")).to_be_visible()


def test_figures_are_shown_where_the_answers_to_compare_cannot_be_read(models: Page) -> None:

    def broken(route: Route) -> None:
        route.fulfill(status=503, json={"detail": "The file store does not answer."})

    models.route("**/samples", broken)
    models.get_by_role("button", name="Compare").click()
    expect(models.get_by_text("Measured on 60 held-out documents")).to_be_visible()
    expect(models.get_by_role("alert").filter(has_text="The file store does not answer.")).to_be_visible()
