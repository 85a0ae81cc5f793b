"""What may come in: names that the stores can hold, and nothing that was forgotten.

Checked for each item before anything is written. What becomes of an item that passes is in `placing.py`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from twin_core import identity
from twin_core.records import Failed, Found, Gone, Skipped, Source, Unchanged
from twin_core.store.placement import Marks
from twin_core.store.tombstones import (
    buried,
    buried_texts,
    content_tombstone,
    location_tombstones,
    mark_tombstones,
    salt_of,
    text_tombstone,
)

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


def forgotten(
    conn: Connection,
    source: Source,
    items: Sequence[StoredItem],
    *,
    marks: Mapping[str, Marks],
    known: Container[str],
) -> Mapping[str, str]:
    """Native id -> tombstone of the items that must not come back: by where they are, or by what they say.

    One that is not stored yet is also known by its address, its platform's id, and a text that is nearly identical:
    so a forgotten article does not return through another source. One that is stored passes by these three: a person
    let it stay when the other was forgotten.
    """
    salt = salt_of(conn, source.author_id)
    hashes: dict[str, list[str]] = {}
    texts: dict[str, list[str]] = {}
    for item in items:
        location = getattr(item, "location", item.native_id)
        its = hashes.setdefault(item.native_id, [])
        its.extend(location_tombstones(salt, source.id, item.native_id, location))
        if isinstance(item, Found):
            its.append(content_tombstone(salt, item.content_hash))
            if item.native_id not in known:
                mark = marks[item.native_id]
                its.extend(mark_tombstones(salt, mark.addresses, mark.platform_id))
                texts[item.native_id] = text_tombstone(salt, mark.bands)
    tombstones = buried(conn, source.author_id, [mark for its in hashes.values() for mark in its])
    alike = buried_texts(conn, source.author_id, list(texts.values()))
    found = {native_id: grave for native_id, grave in zip(texts, alike, strict=True) if grave is not None}
    return found | {
        native_id: next(mark for mark in its if mark in tombstones)
        for native_id, its in hashes.items()
        if not tombstones.isdisjoint(its)
    }


def _clean(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
