"""Which platforms there are, and what each of them must be able to do.

A platform is one module of `twin_core.collect.platforms`, named as the platform and holding a `COLLECTOR`; adding
one touches no other file. Packages outside add theirs through the entry-point group `llm_twin.collectors`. What is
done with the items is in `run.py`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from twin_core.collect import platforms as built_in
from twin_core.errors import InvalidInput
from twin_core.records import Item, Known, Source
from twin_core.settings import Settings

GROUP = "llm_twin.collectors"

Options = Mapping[str, str | list[str]]


class Collector(Protocol):
    """One platform: knows its locators and how to list and read what an author wrote there."""

    platform: str

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
    """The names of all platforms, sorted."""
    return sorted({*_built_in(), *(point.name for point in _installed())})


def collector_for(platform: str) -> Collector:
    """The collector of a platform. Raises InvalidInput naming the platforms there are."""
    if platform in _built_in():  # a package cannot silently replace what this one does
        return _made(import_module(f"{built_in.__name__}.{platform}").COLLECTOR)
    for point in _installed():
        if point.name == platform:
            return _made(point.load())
    raise InvalidInput(f"There is no platform `{platform}`. There are: {', '.join(platforms())}.")


def _built_in() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(built_in.__path__) if not module.name.startswith("_")]


def _installed() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))


def _made(found: object) -> Collector:
    """An entry point may name a collector or its class."""
    collector: Collector = found() if isinstance(found, type) else found  # type: ignore[assignment]
    return collector
