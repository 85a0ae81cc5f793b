"""Tombstones: salted hashes of what was forgotten, by which it is known when it comes back.

The salt is the author's own and never leaves the database, so that nobody can ask a tombstone "was this page
forgotten?" without it. What forgetting does is in `forgetting.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection, text


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


def add_tombstones(conn: Connection, author_id: UUID, *, locations: Iterable[str], contents: Iterable[str]) -> None:
    """Set tombstones; those that are there stay."""
    kinds = {**dict.fromkeys(locations, "location"), **dict.fromkeys(contents, "content")}
    if not kinds:
        return
    conn.execute(
        text("""
            INSERT INTO warehouse.tombstones (author_id, hash, kind)
            SELECT CAST(:author AS uuid), hash, kind
            FROM unnest(CAST(:hashes AS text[]), CAST(:kinds AS text[])) AS given (hash, kind)
            ON CONFLICT (author_id, hash) DO NOTHING
        """),
        {"author": author_id, "hashes": list(kinds), "kinds": list(kinds.values())},
    )


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
