"""Takes the pictures of the docs from a running twin: `python docs/pictures/take.py KEY [graph] [PAGE ...]`.

Needs `twin up` over the demo's home with `quoting_engine.py` as its model, a key of the demo author with the scope `admin`
(`twin key create --author mara --name "Mara's laptop" --scope admin`) and Chromium (`TWIN_CHROMIUM`, default
/usr/bin/chromium). For the pictures of models, an adapter that was trained and evaluated. Playwright comes with `dev`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from twin_core.settings import settings

HERE = Path(__file__).parent
QUESTION = "When another company's service is failing, how do we keep our own retries from making matters worse?"
BRIEF = "Why I restore a backup every month, and what it has taught me about the ones that only report success"
DESKTOP, PHONE = ViewportSize(width=1280, height=860), ViewportSize(width=390, height=780)
COLOURS = 128
"""Of a picture's palette: the pages have few."""
GRAPH = "graph"


def main(key: str, wanted: list[str]) -> None:
    here = settings()
    api = f"http://{here.host}:{here.api_port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("TWIN_CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        if GRAPH in wanted:
            graph(browser.new_page(viewport={"width": 2000, "height": 1100}), f"http://{here.host}:{here.dagster_port}")
        for name in [name for name in PAGES if name in wanted] or (PAGES if wanted == [] else []):
            take(browser, api, key, name)
        browser.close()


def take(browser: Browser, api: str, key: str, name: str) -> None:
    """One page on a desk by day, and on a phone by night."""
    for size, viewport in (("desk", DESKTOP), ("phone", PHONE)):
        context = browser.new_context(
            viewport=viewport,
            color_scheme="light" if size == "desk" else "dark",
            device_scale_factor=1.5 if size == "phone" else 1,
            reduced_motion="reduce",
        )
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.goto(api)
        if name != "sign-in":
            page.get_by_label("Key").fill(key)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url("**/write")
            page.goto(f"{api}/{name}")
            page.wait_for_load_state("networkidle")
        PAGES[name](page, size)
        page.wait_for_timeout(600)
        page.evaluate("document.getElementById('says').classList.remove('shown')")
        saved(page, f"{name}-{size}")
        context.close()


def saved(page: Page, name: str) -> None:
    """The window as a PNG of few colours, which is a third of its size."""
    path = HERE / f"{name}.png"
    page.screenshot(path=path)
    Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def as_it_is(_page: Page, _size: str) -> None:
    """Nothing is done."""


def write(page: Page, size: str) -> None:
    page.get_by_label("Brief").fill(BRIEF)
    page.get_by_role("button", name="Write", exact=True).click()
    page.get_by_role("button", name="Edit and keep").wait_for()
    page.get_by_role("button", name="Passage 1").first.click()
    page.locator(".sheet").evaluate(
        "sheet => sheet.scrollIntoView({block: 'start'})" if size == "phone" else "() => scrollTo(0, 0)"
    )


def ask(page: Page, _size: str) -> None:
    page.get_by_label("Question").fill(QUESTION)
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_role("button", name="Edit and keep").wait_for()
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("button", name="Passage 1").first.click()


def sources(page: Page, size: str) -> None:
    page.locator("#list .card").first.wait_for()
    if size == "phone":
        page.locator(".head").evaluate("head => head.scrollIntoView({block: 'start'})")


def documents(page: Page, size: str) -> None:
    page.get_by_label("Search").fill("how would I know that a backup can be restored?")
    page.get_by_label("In", exact=True).select_option("texts")
    page.keyboard.press("Enter")
    page.locator(".extract").first.wait_for()
    if size == "desk":
        page.locator(".row-link").first.click()
        page.locator("#reader mark").wait_for()


def models(page: Page, _size: str) -> None:
    page.get_by_role("button", name="Compare").first.click()
    page.locator("#detail .chart").first.wait_for()


def monitor(page: Page, _size: str) -> None:
    page.get_by_label("Over").select_option("7")
    page.wait_for_timeout(1000)
    page.locator("#charts .chart").first.wait_for()


def keys(page: Page, _size: str) -> None:
    page.locator("#list li").first.wait_for()


PAGES: dict[str, Callable[[Page, str], None]] = {
    "sign-in": as_it_is,
    "write": write,
    "ask": ask,
    "sources": sources,
    "documents": documents,
    "models": models,
    "monitor": monitor,
    "keys": keys,
}


def graph(page: Page, url: str) -> None:
    """The asset graph with every group open but the platforms, of which there are many."""
    page.goto(f"{url}/asset-groups")
    for group in ("collection", "features", "datasets", "training", "promotion", "stores", "serving"):
        node = page.locator("foreignObject").get_by_text(group, exact=True)
        node.last.wait_for(timeout=30_000)
        node.last.click(force=True)
        page.wait_for_timeout(800)
        page.reload()  # which fits the graph into the window again
        page.wait_for_timeout(3000)
    page.screenshot(path=HERE / "graph.png")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
