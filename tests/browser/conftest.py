"""A real Chromium before the real API: what it may not do while a test looks on, and how a person gets in.

Whatever a test does, its page must not ask another host, break its content-security policy or throw.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.api.conftest import Api, api, app, engine, limits, served, settings  # noqa: F401  fixtures

CHROMIUM = Path(os.environ.get("TWIN_CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
PATIENCE = 90_000
"""Milliseconds, for a machine that is busy with other tests. What a page waits for comes in one or two."""
PHONE = ViewportSize(width=360, height=740)
VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => console.error(`CSP ${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class Watched:
    """A page, and what it did that a page must not do."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)

    def sign_in(self, key: str, to: str = "/write") -> Page:
        """As a person does it: at the door, which opens to the page that was asked for."""
        self.page.goto(f"{self.url}{to}")
        self.page.get_by_label("Key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.url}{to}")
        self.page.get_by_text("Sign out").wait_for(state="attached")
        return self.page

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


Open = Callable[..., Watched]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser. It ends with its module: Playwright holds an event loop, beside which no other test can run one."""
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: install Debian's `chromium`, or name one with TWIN_CHROMIUM")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    """Open a page of a server; at the end, nothing of it may have gone wrong."""
    opened: list[Watched] = []

    def open_at(url: str, *, viewport: ViewportSize | None = None, dark: bool = False) -> Watched:
        context = chromium.new_context(
            viewport=viewport or ViewportSize(width=1280, height=900),
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE)
        context.add_init_script(VIOLATIONS)
        page = context.new_page()
        watched = Watched(page, url)
        opened.append(watched)
        page.on("pageerror", lambda error: watched.wrong.append(f"threw {error}"))
        page.on("console", lambda said: watched.wrong.append(said.text) if "CSP" in said.text else None)
        context.on(
            "request",
            lambda request: (
                watched.wrong.append(f"asked {request.url}")
                if urlsplit(request.url).netloc != urlsplit(url).netloc
                else None
            ),
        )
        return watched

    yield open_at
    for watched in opened:
        watched.page.context.close()
    assert [one.wrong for one in opened] == [[] for _ in opened]
