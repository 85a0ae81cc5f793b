"""Which platforms there are, and what each of them must be able to do.

A platform is one module of `twin_core.collect.platforms`, named as the platform and holding a `COLLECTOR`; adding
one touches no other file. Packages outside add theirs through the entry-point group `llm_twin.collectors`. A platform
may also, or only, be read from its official export (`exports/`, found by `formats.py`): its sources then have
locators that begin with `export:`, and the locator decides who serves it. What is done with the items is in `run.py`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from twin_core.collect import exports as built_in_exports
from twin_core.collect import platforms as built_in
from twin_core.errors import InvalidInput
from twin_core.records import Item, Known, Source
from twin_core.settings import Settings

GROUP = "llm_twin.collectors"
EXPORTS = "llm_twin.exports"
"""The entry-point group of export formats from other packages."""
EXPORT = "export:"
"""How the locator of a source begins that was imported from an official export."""

Options = Mapping[str, str | list[str]]


class Collector(Protocol):
    """One platform: knows its locators and how to list and read what an author wrote there."""

    @property
    def platform(self) -> str: ...

    def check(self, locator: str, options: Options, settings: Settings) -> str:
        """The canonical locator. Raises InvalidInput (or Refused) for what can never work, saying what would."""
        ...

    def collect(self, source: Source, known: Mapping[str, Known], settings: Settings) -> Iterator[Item]:
        """Each item of the source once, then `Listed` where the listing was complete and trustworthy.

        `known` maps native ids to what is stored. One bad item is a `Failed` and the rest goes on. Raises
        SourceUnavailable when the source as a whole cannot be read; what was yielded before stays valid.
        """
        ...


def platforms() -> list[str]:
    """The names of all platforms, live or imported, sorted."""
    return sorted({*_modules(built_in), *(point.name for point in _installed(GROUP)), *export_names()})


def export_names() -> list[str]:
    """The names of the platforms whose official exports can be read, sorted."""
    return sorted({*_modules(built_in_exports), *(point.name for point in _installed(EXPORTS))})


def collector_for(platform: str) -> Collector:
    """The collector of a platform. Raises InvalidInput naming the platforms there are."""
    live = _live(platform)
    if platform in export_names():
        from twin_core.collect.formats import ExportCollector

        return _Routed(platform=platform, live=live, export=ExportCollector(platform))
    if live is None:
        raise InvalidInput(f"There is no platform `{platform}`. There are: {', '.join(platforms())}.")
    return live


def find(name: str, package: object, attribute: str, group: str) -> object | None:
    """What a module of ours, or else an entry point of another package, offers under a name."""
    if name in _modules(package):  # a package cannot silently replace what this one does
        return _made(getattr(import_module(f"{package.__name__}.{name}"), attribute))  # type: ignore[attr-defined]
    for point in _installed(group):
        if point.name == name:
            return _made(point.load())
    return None


@dataclass(frozen=True, slots=True)
class _Routed:
    """A platform that has an export: the locator says which of its two collectors serves a source."""

    platform: str
    live: Collector | None
    export: Collector

    def check(self, locator: str, options: Options, settings: Settings) -> str:
        return self._serving(locator).check(locator, options, settings)

    def collect(self, source: Source, known: Mapping[str, Known], settings: Settings) -> Iterator[Item]:
        return self._serving(source.locator).collect(source, known, settings)

    def _serving(self, locator: str) -> Collector:
        if locator.startswith(EXPORT):
            return self.export
        if self.live is None:
            raise InvalidInput(
                f"`{self.platform}` is read from its official export: `twin import --author SLUG PATH`. "
                f"docs/collect.md says where to get it."
            )
        return self.live


def _live(platform: str) -> Collector | None:
    return find(platform, built_in, "COLLECTOR", GROUP)  # type: ignore[return-value]


def _modules(package: object) -> list[str]:
    found = pkgutil.iter_modules(package.__path__)  # type: ignore[attr-defined]
    return [module.name for module in found if not module.name.startswith("_")]


def _installed(group: str) -> list[EntryPoint]:
    return sorted(entry_points(group=group), key=lambda point: (point.name, point.value))


def _made(found: object) -> object:
    """An entry point may name an object or its class."""
    return found() if isinstance(found, type) else found
