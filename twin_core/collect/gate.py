"""What may come in: names that the stores can hold, and nothing that was forgotten.

Checked for each item before anything is written. What becomes of an item that passes is in `placing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from twin_core import identity
from twin_core.records import Failed, Found, Gone, Skipped, Source, Unchanged
from twin_core.store.tombstones import Salt, buried, content_tombstone, location_tombstones

LONGEST_NAME = 2_000
"""Bytes: Postgres indexes no longer key (2,704 bytes a row)."""

StoredItem = Found | Unchanged | Skipped | Failed | Gone


def storable(item: StoredItem) -> StoredItem:
    """The item, or a `Failed` in its place when its name cannot be stored."""
    name, location = _clean(item.native_id), _clean(getattr(item, "location", item.native_id))
    if len(name.encode()) > LONGEST_NAME:
        short = f"{name[:200]}…{identity.sha256(name)[:16]}"
        reason = f"its name is longer than {LONGEST_NAME} bytes and cannot be stored"
        return Failed(native_id=short, location=location[:LONGEST_NAME], reason=reason)
    if name != item.native_id:
        return Failed(native_id=name, location=location, reason="its name is not valid UTF-8 text: rename it")
    if isinstance(item, Skipped | Failed):
        item = replace(item, location=location, reason=_clean(item.reason))
    if isinstance(item, Found | Unchanged | Failed):
        validators = {_clean(key): _clean(value) for key, value in item.validators.items()}
        item = replace(item, validators=validators)
    return replace(item, location=location) if isinstance(item, Found) else item


def forgotten(conn: Connection, source: Source, salt: Salt, items: Sequence[StoredItem]) -> Mapping[str, str]:
    """Native id -> tombstone of the items that must not come back: by where they are, or by what they say."""
    hashes: dict[str, list[str]] = {}
    for item in items:
        location = getattr(item, "location", item.native_id)
        marks = hashes.setdefault(item.native_id, [])
        marks.extend(location_tombstones(salt, source.id, item.native_id, location))
        if isinstance(item, Found):
            marks.append(content_tombstone(salt, item.content_hash))
    tombstones = buried(conn, source.author_id, [mark for marks in hashes.values() for mark in marks])
    return {
        native_id: next(mark for mark in marks if mark in tombstones)
        for native_id, marks in hashes.items()
        if not tombstones.isdisjoint(marks)
    }


def _clean(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
