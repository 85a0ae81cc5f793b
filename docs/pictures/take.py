"""Takes the pictures of the docs from a running twin: `python docs/pictures/take.py KEY`.

Needs `twin up` over the demo's home, a key of the demo author (`twin key create --author mara --name pictures`) and
Chromium (`TWIN_CHROMIUM`, default /usr/bin/chromium). Playwright comes with the `dev` extra.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from twin_core.settings import settings

HERE = Path(__file__).parent
QUESTION = "When another company's service is failing, how do we keep our own retries from making matters worse?"


def main(key: str) -> None:
    here = settings()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("TWIN_CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 2000, "height": 1100})
        graph(page, f"http://{here.host}:{here.dagster_port}")
        page = browser.new_page(viewport={"width": 1000, "height": 1100})
        answer(page, f"http://{here.host}:{here.api_port}", key)
        browser.close()


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


def answer(page: Page, url: str, key: str) -> None:
    """The page, with a question answered."""
    page.goto(f"{url}/ask")
    page.fill("#key", key)
    page.fill("#question", QUESTION)
    page.click("#ask")
    page.locator("#list li").first.wait_for()
    page.locator("#stop").wait_for(state="hidden", timeout=120_000)
    page.wait_for_timeout(500)
    page.screenshot(path=HERE / "page.png", full_page=True)


if __name__ == "__main__":
    main(sys.argv[1])
