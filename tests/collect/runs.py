"""Collecting twice: what the second run knows of the first one, as the store would hand it over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pytest

from twin_core.errors import SourceUnavailable
from twin_core.records import Failed, Found, Gone, Item, Known, Listed, Skipped, Unchanged


def by_id(items: Iterable[Item]) -> dict[str, Item]:
    """Items by native id; holds every collector to one item per native id."""
    found: dict[str, Item] = {}
    for item in items:
        if isinstance(item, Listed):
            continue
        assert item.native_id not in found, f"two outcomes for {item.native_id}"
        found[item.native_id] = item
    return found


def listed(items: Iterable[Item]) -> Listed | None:
    """The `Listed` of a run, which must come last; None when there was none."""
    everything = list(items)
    assert not any(isinstance(item, Listed) for item in everything[:-1])
    return everything[-1] if everything and isinstance(everything[-1], Listed) else None


def until_it_breaks(reading: Iterator[Item]) -> tuple[list[Item], SourceUnavailable]:
    """What a run gave before it ended with an error, and the error."""
    items: list[Item] = []
    with pytest.raises(SourceUnavailable) as broken:
        while True:
            items.append(next(reading))
    return items, broken.value


def known_after(items: Iterable[Item], before: Mapping[str, Known] | None = None) -> dict[str, Known]:
    """What is known after a run."""
    known = dict(before or {})
    everything = list(items)
    for item in everything:
        if isinstance(item, Found):
            known[item.native_id] = Known(
                native_id=item.native_id,
                location=item.location,
                content_hash=item.content_hash,
                validators=item.validators,
            )
        elif isinstance(item, (Unchanged, Failed)) and item.native_id in known and item.validators:
            old = known[item.native_id]
            known[item.native_id] = Known(
                native_id=old.native_id,
                location=old.location,
                content_hash=old.content_hash,
                validators=item.validators,
            )
        elif isinstance(item, Gone) or (isinstance(item, Skipped) and item.withdrawn):
            known.pop(item.native_id, None)
    if listed(everything):
        seen = {item.native_id for item in everything if not isinstance(item, Listed)}
        known = {name: entry for name, entry in known.items() if name in seen}
    return known
