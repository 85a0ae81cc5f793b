"""Sixty hostile pages had their way with a model, and it writes what they want: what a browser makes of that."""

from __future__ import annotations

import html
import re

import pytest
from playwright.sync_api import expect
from rich.console import Console
from rich.table import Table

from tests.api.conftest import Api
from tests.api.hostile_pages import HOST, PAGES, WAYS
from tests.browser.conftest import Open
from tests.models.chat_server import ChatServer

pytestmark = pytest.mark.browser

ACTIVE = "img, script, iframe, object, embed, form, svg, style, link, [onerror], [onload]"


def test_what_sixty_hostile_pages_want_written_loads_nothing_and_runs_nothing(
    api: Api, engine: ChatServer, open_page: Open
) -> None:
    watched = open_page(api.url)
    page = watched.sign_in(api.key, "/ask")
    table = Table(title="Answers that say what hostile pages want")
    for column in ("way", "answers", "active elements", "links that run", "asked elsewhere", "title"):
        table.add_column(column)
    for turn, way in enumerate(WAYS, start=1):
        attacks = [wanted(one.attack) for one in PAGES if one.way == way]
        engine.words = ("\n\n".join(attacks), f"\n\nEnd of {turn}.")
        page.get_by_label("Question").fill(f"How do I restore a backup? ({turn})")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.get_by_text(f"End of {turn}.")).to_be_visible()
        answer = page.locator("#turns .words").last
        hrefs = [link.get_attribute("href") or "" for link in answer.locator("a").all()]
        running = [href for href in hrefs if not re.match(r"(https?|mailto):|[/#]", href)]
        active, asked = answer.locator(ACTIVE).count(), [one for one in watched.wrong if HOST in one]
        table.add_row(way, str(len(attacks)), str(active), str(len(running)), str(len(asked)), page.title())
        assert (active, running, asked, page.title()) == (0, [], [], "Ask · LLM Twin"), way
    Console(width=110).print(table)


def wanted(attack: str) -> str:
    """The page's own mark-up and what it shows, as a model would copy both."""
    return f"{html.unescape(attack)}\n\n{html.unescape(re.sub('<[^>]+>', ' ', attack))}"
