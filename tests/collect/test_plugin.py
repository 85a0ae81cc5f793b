"""A platform from another package: nothing of ours names it, an entry point in its metadata does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.collect.conftest import source_of
from twin_core.collect.registry import collector_for, platforms
from twin_core.records import Found, Listed
from twin_core.settings import Settings

MODULE = """
from twin_core import identity
from twin_core.records import Category, Found, Listed


class Guestbook:
    platform = "guestbook"

    def check(self, locator, options, settings):
        return locator.strip().lower()

    def collect(self, source, known, settings):
        text = f"Signed in the book of {source.locator}."
        yield Found(
            native_id="1", location=source.locator, category=Category.POST, media_type="text/plain",
            body=text.encode(), content_hash=identity.content_hash(text),
        )
        yield Listed(own_count=1)
"""


def test_a_collector_of_an_installed_package_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_settings: Callable[..., Settings]
) -> None:
    """The files are those that an installer writes into site-packages."""
    (tmp_path / "guestbook_for_twins.py").write_text(MODULE)
    metadata = tmp_path / "guestbook_for_twins-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: guestbook-for-twins\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[llm_twin.collectors]\nguestbook = guestbook_for_twins:Guestbook\n")
    assert "guestbook" not in platforms()

    monkeypatch.syspath_prepend(str(tmp_path))

    assert "guestbook" in platforms()
    collector = collector_for("guestbook")
    assert collector.check(" The-Inn ", {}, make_settings()) == "the-inn"
    first, end = collector.collect(source_of("guestbook", "the-inn"), {}, make_settings())
    assert isinstance(first, Found)
    assert first.body == b"Signed in the book of the-inn."
    assert end == Listed(own_count=1)
