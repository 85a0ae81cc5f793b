"""Sessions of people at the page: begun with a key, looked up by a cookie, ended by signing out.

A session is a key in other clothes: it holds no rights of its own, dies with its key, and only the SHA-256 of what the
cookie holds is stored. The lookup is the question asked before the author is known, so it is a database function too.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from twin_core.store.keys import KeyHolder, key_hash

_SHAPE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session just begun. `secret` is the cookie's value; it is nowhere else."""

    secret: str = field(repr=False)
    expires_at: datetime


def begin_session(conn: Connection, holder: KeyHolder, *, hours: int) -> NewSession:
    """Begin a session of the key, under its author. Those of the author that are over are taken away."""
    secret, expires_at = secrets.token_urlsafe(32), datetime.now(UTC) + timedelta(hours=hours)
    conn.execute(
        text("DELETE FROM serving.sessions WHERE author_id = :author AND expires_at <= now()"),
        {"author": holder.author_id},
    )
    conn.execute(
        text("""
            INSERT INTO serving.sessions (id_hash, author_id, key_id, expires_at) VALUES (:hash, :author, :key, :expires)
        """),
        {"hash": key_hash(secret), "author": holder.author_id, "key": holder.key_id, "expires": expires_at},
    )
    return NewSession(secret=secret, expires_at=expires_at)


def session_holder(conn: Connection, secret: str) -> KeyHolder | None:
    """Whose session this is; None when it is none, is over, or its key opens nothing any more."""
    if not _SHAPE.fullmatch(secret):
        return None
    row = conn.execute(
        text("SELECT key_id, author_id, slug, scopes FROM serving.author_of_session(:hash)"),
        {"hash": key_hash(secret)},
    ).one_or_none()
    if row is None:
        return None
    return KeyHolder(key_id=row.key_id, author_id=row.author_id, slug=row.slug, scopes=frozenset(row.scopes))


def end_session(conn: Connection, holder: KeyHolder, secret: str) -> bool:
    """End a session of the holder's author. False when there was none."""
    ended = conn.execute(
        text("DELETE FROM serving.sessions WHERE author_id = :author AND id_hash = :hash"),
        {"author": holder.author_id, "hash": key_hash(secret)},
    )
    return ended.rowcount > 0
