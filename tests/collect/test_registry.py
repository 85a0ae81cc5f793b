"""Platforms are found by being there: in this package by a module, from others by an entry point."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest

from twin_core.collect import registry
from twin_core.collect.registry import collector_for, platforms
from twin_core.errors import InvalidInput
from twin_core.settings import Settings


def test_the_built_in_platforms_are_found_by_their_modules() -> None:
    assert {"folder", "git", "web"} <= set(platforms())
    for platform in ("folder", "git", "web"):
        assert collector_for(platform).platform == platform


def test_an_unknown_platform_is_told_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"There is no platform `myspace`\. There are: .*folder, .*git, .*web"):
        collector_for("myspace")


def test_another_package_adds_a_platform_and_cannot_replace_one(monkeypatch: pytest.MonkeyPatch) -> None:
    where = "twin_core.collect.platforms.folder:FolderCollector"
    points = [EntryPoint("lobsters", where, registry.GROUP), EntryPoint("git", where, registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else [])
    assert "lobsters" in platforms()
    assert collector_for("lobsters").platform == "folder"
    assert collector_for("git").platform == "git"


def test_the_locator_decides_whether_a_platform_is_read_live_or_from_its_export(
    make_settings: Callable[..., Settings],
) -> None:
    both = collector_for("medium")
    assert both.platform == "medium"
    assert both.check("@jane", {}, make_settings()) == "https://medium.com/@jane"
    assert both.check("export:jane", {"archive": "/there"}, make_settings()) == "export:jane"
    with pytest.raises(InvalidInput, match="twin import"):
        both.check("export:jane", {}, make_settings())


def test_a_platform_that_is_only_imported_says_so(
    monkeypatch: pytest.MonkeyPatch, make_settings: Callable[..., Settings]
) -> None:
    where = "twin_core.collect.exports.medium:MediumExport"
    points = [EntryPoint("typewriter", where, registry.EXPORTS)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.EXPORTS else [])
    assert "typewriter" in platforms()
    with pytest.raises(InvalidInput, match="official export"):
        collector_for("typewriter").check("https://example.org", {}, make_settings())
