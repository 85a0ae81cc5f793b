"""Platforms are found by being there: in this package by a module, from others by an entry point."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from twin_core.collect import registry
from twin_core.collect.registry import collector_for, platforms
from twin_core.errors import InvalidInput


def test_the_built_in_platforms_are_found_by_their_modules() -> None:
    assert {"folder", "git", "web"} <= set(platforms())
    for platform in ("folder", "git", "web"):
        assert collector_for(platform).platform == platform


def test_an_unknown_platform_is_told_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"There is no platform `myspace`\. There are: .*folder, .*git, .*web"):
        collector_for("myspace")


def test_another_package_adds_a_platform_and_cannot_replace_one(monkeypatch: pytest.MonkeyPatch) -> None:
    where = "twin_core.collect.platforms.folder:FolderCollector"
    points = [EntryPoint("mastodon", where, registry.GROUP), EntryPoint("git", where, registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    assert "mastodon" in platforms()
    assert collector_for("mastodon").platform == "folder"
    assert collector_for("git").platform == "git"
