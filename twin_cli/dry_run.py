"""`twin sync --dry-run`: reads the sources as a collection would and counts what would happen, storing nothing.

The collectors are asked, so a crawl is a real crawl; which document an item would join is not decided here, because
that is decided while storing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twin_cli import output
from twin_cli.terminal import harmless
from twin_core.collect.registry import collector_for
from twin_core.errors import TwinError
from twin_core.records import Author, Failed, Found, Gone, Item, Known, Listed, Skipped, Source, Unchanged
from twin_core.settings import Settings
from twin_core.store.database import Database
from twin_core.store.documents import known_locations


@dataclass(slots=True, kw_only=True)
class Rehearsal:
    """What a collection of one source would do now, in items."""

    platform: str
    locator: str
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    deleted: int = 0
    seconds: float = 0.0
    error: str | None = None


def rehearse(source: Source, known: Mapping[str, Known], settings: Settings) -> Rehearsal:
    """Count the items of one source by what would become of them. `known` maps native ids to what is stored."""
    found = Rehearsal(platform=source.platform, locator=source.locator)
    seen: set[str] = set()
    started = time.monotonic()
    try:
        for item in collector_for(source.platform).collect(source, known, settings):
            if isinstance(item, Listed):
                found.deleted += len(known.keys() - seen)
            else:
                seen.add(item.native_id)
                _count(found, item, known)
    except TwinError as error:
        found.error = str(error)
    found.seconds = time.monotonic() - started
    return found


def show(
    database: Database, meant: Sequence[tuple[Author, Sequence[Source]]], settings: Settings, *, as_json: bool
) -> int:
    """Rehearse every source, print the table, return the exit code: 1 when something would fail."""
    rehearsals: list[tuple[str, Rehearsal]] = []
    for author, sources in meant:
        for source in sources:
            with database.transaction() as conn:
                known = known_locations(conn, source.id)
            rehearsals.append((author.slug, rehearse(source, known, settings)))
    counts = ("new", "changed", "unchanged", "skipped", "failed", "deleted")
    if as_json:
        output.show_json([{"author": slug, "source": one} for slug, one in rehearsals])
    else:
        output.show_rows(
            ["author", "platform", "source", *counts],
            [
                [slug, one.platform, harmless(one.locator), *(getattr(one, name) for name in counts)]
                for slug, one in rehearsals
            ],
            title="What a sync would do now. Nothing was stored.",
            empty="Every source is paused.",
        )
        for _, one in rehearsals:
            if one.error is not None:
                output.warn(f"{harmless(one.locator)} cannot be read: {harmless(one.error)}")
    return output.PARTLY if any(one.failed or one.error is not None for _, one in rehearsals) else output.DONE


def _count(found: Rehearsal, item: Item, known: Mapping[str, Known]) -> None:
    match item:
        case Found():
            before = known.get(item.native_id)
            if before is None:
                found.new += 1
            elif before.content_hash == item.content_hash:
                found.unchanged += 1
            else:
                found.changed += 1
        case Unchanged():
            found.unchanged += 1
        case Skipped():
            if item.withdrawn and item.native_id in known:
                found.deleted += 1
            else:
                found.skipped += 1
        case Failed():
            found.failed += 1
        case Gone():
            found.deleted += item.native_id in known
        case Listed():
            pass
