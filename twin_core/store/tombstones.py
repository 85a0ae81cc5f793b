"""Tombstones: salted hashes of what was forgotten, by which it is known when it comes back.

The salt is the author's own and never leaves the database, so that nobody can ask a tombstone "was this page
forgotten?" without it. What forgetting does is in `forgetting.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

COMMON_BANDS = 8
"""Of 32. A text at Jaccard 0.8 to a forgotten one shares 13 on average (8 or more in 97 of 100 cases), one at 0.5 two."""
_BAND_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """One tombstone, as the journal beside the database keeps it too."""

    author_id: UUID
    kind: str
    hash: str
    bands: tuple[str, ...] = ()
    at: datetime | None = None
    """When it was set, where that is known."""


class Salt(str):
    """An author's salt. A type of its own, so that it is not printed or passed on by mistake."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Nothing of it."""
        return "Salt(...)"


def salt_of(conn: Connection, author_id: UUID) -> Salt:
    """The author's salt."""
    found = conn.execute(text("SELECT tombstone_salt FROM warehouse.authors WHERE id = :id"), {"id": author_id})
    return Salt(found.scalar_one())


def content_tombstone(salt: Salt, content_hash: str) -> str:
    """The tombstone of a text."""
    return _hash(salt, "content", content_hash)


def location_tombstones(salt: Salt, source_id: UUID, native_id: str, location: str) -> tuple[str, str]:
    """The tombstones of a location: as this source's item, and as the place itself.

    A URL or an absolute path is the same place in every source; a relative path means something only in its own.
    """
    absolute = "://" in location or location.startswith("/")
    place = location if absolute else f"{source_id}\x1f{location}"
    return _hash(salt, "item", f"{source_id}\x1f{native_id}"), _hash(salt, "place", place)


def mark_tombstones(salt: Salt, addresses: Iterable[str], platform_id: str | None) -> list[str]:
    """The tombstones of addresses and of a platform's id: the same in every source."""
    marks = [_hash(salt, "address", address) for address in sorted(addresses)]
    return marks if platform_id is None else [*marks, _hash(salt, "platform", platform_id)]


def text_tombstone(salt: Salt, bands: Iterable[int]) -> list[str]:
    """The tombstone of a text by which near-identical ones are known: the salted bands of its MinHash signature."""
    return sorted(_hash(salt, "band", str(band))[:_BAND_DIGITS] for band in bands)


def source_tombstone(salt: Salt, source_id: UUID) -> str:
    """The tombstone of a whole source: it blocks nothing, and takes the source out of a backup that is restored."""
    return _hash(salt, "source", str(source_id))


def add_tombstones(
    conn: Connection,
    author_id: UUID,
    *,
    locations: Iterable[str] = (),
    contents: Iterable[str] = (),
    sources: Iterable[str] = (),
    texts: Iterable[Sequence[str]] = (),
) -> list[Tombstone]:
    """Set tombstones; those that are there stay. Returns the new ones."""
    kinds = {
        **dict.fromkeys(locations, "location"),
        **dict.fromkeys(contents, "content"),
        **dict.fromkeys(sources, "source"),
    }
    added = []
    if kinds:
        rows = conn.execute(
            text("""
                INSERT INTO warehouse.tombstones (author_id, hash, kind)
                SELECT CAST(:author AS uuid), hash, kind
                FROM unnest(CAST(:hashes AS text[]), CAST(:kinds AS text[])) AS given (hash, kind)
                ON CONFLICT (author_id, hash) DO NOTHING RETURNING hash, kind, forgotten_at
            """),
            {"author": author_id, "hashes": list(kinds), "kinds": list(kinds.values())},
        )
        added += [Tombstone(author_id=author_id, kind=row.kind, hash=row.hash, at=row.forgotten_at) for row in rows]
    for bands in texts:
        row = conn.execute(
            text("""
                INSERT INTO warehouse.tombstone_texts (author_id, hash, bands)
                VALUES (:author, :hash, CAST(:bands AS text[]))
                ON CONFLICT (author_id, hash) DO NOTHING RETURNING hash, forgotten_at
            """),
            {"author": author_id, "hash": hashlib.sha256("".join(bands).encode()).hexdigest(), "bands": list(bands)},
        ).first()
        if row is not None:
            added.append(
                Tombstone(author_id=author_id, kind="text", hash=row.hash, bands=tuple(bands), at=row.forgotten_at)
            )
    return added


def all_tombstones(conn: Connection) -> list[Tombstone]:
    """Every tombstone of every author."""
    rows = conn.execute(
        text("""
            SELECT author_id, kind, hash, NULL::text[] AS bands, forgotten_at FROM warehouse.tombstones UNION ALL
            SELECT author_id, 'text', hash, bands, forgotten_at FROM warehouse.tombstone_texts
        """)
    )
    return [
        Tombstone(
            author_id=row.author_id,
            kind=row.kind,
            hash=row.hash,
            bands=tuple(row.bands or ()),
            at=row.forgotten_at,
        )
        for row in rows
    ]


def buried_texts(conn: Connection, author_id: UUID, texts: Sequence[Sequence[str]]) -> list[str | None]:
    """For each text (its `text_tombstone`) the hash of a forgotten one that it is nearly identical to, or None."""
    asked = sorted({band for bands in texts for band in bands})
    if not asked:
        return [None] * len(texts)
    rows = conn.execute(
        text("""
            SELECT hash, bands FROM warehouse.tombstone_texts
             WHERE author_id = :author AND bands && CAST(:asked AS text[])
        """),
        {"author": author_id, "asked": asked},
    )
    graves = [(str(row.hash), frozenset(row.bands)) for row in rows]
    return [
        next((grave for grave, its in graves if len(its.intersection(bands)) >= COMMON_BANDS), None) for bands in texts
    ]


def buried(conn: Connection, author_id: UUID, hashes: Sequence[str]) -> set[str]:
    """Which of these hashes are tombstones of the author."""
    if not hashes:
        return set()
    found = conn.execute(
        text("""
            SELECT hash FROM warehouse.tombstones
             WHERE author_id = :author AND hash = ANY(CAST(:hashes AS text[]))
        """),
        {"author": author_id, "hashes": list(hashes)},
    )
    return set(found.scalars())


def _hash(salt: Salt, kind: str, value: str) -> str:
    return hashlib.sha256(f"{salt}\x1f{kind}\x1f{value}".encode("utf-8", "surrogatepass")).hexdigest()
