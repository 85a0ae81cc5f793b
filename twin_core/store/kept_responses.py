"""Responses kept for who sends the same request again: claimed before the work, kept after it, gone when they expire.

A key may be used once: the first request with it claims it, and until that one has ended nobody else does its work. A
process that died leaves a claim, which lasts as long as the longest work may.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A response as it was sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Claim(StrEnum):
    """What came of claiming a key, when there is no response yet."""

    OURS = "ours"
    IN_FLIGHT = "in flight"
    ANOTHER = "another"
    """The key was used for another request."""


def claim(
    conn: Connection, *, author_id: UUID, key_id: UUID, key: str, fingerprint: str, lease_seconds: int
) -> Kept | Claim:
    """Claim a key for a request, or say what is there. What has expired of the author goes."""
    conn.execute(
        text("DELETE FROM serving.kept_responses WHERE author_id = :author AND expires_at <= now()"),
        {"author": author_id},
    )
    values = {"author": author_id, "key_id": key_id, "key": key, "fingerprint": fingerprint, "lease": lease_seconds}
    made = conn.execute(
        text("""
            INSERT INTO serving.kept_responses (key_id, key, author_id, fingerprint, expires_at)
            VALUES (:key_id, :key, :author, :fingerprint, now() + make_interval(secs => :lease))
            ON CONFLICT DO NOTHING RETURNING 1
        """),
        values,
    )
    if made.scalar_one_or_none() is not None:
        return Claim.OURS
    there = conn.execute(
        text("""
            SELECT fingerprint, status, headers, body FROM serving.kept_responses
             WHERE author_id = :author AND key_id = :key_id AND key = :key
        """),
        values,
    ).one_or_none()
    if there is None:  # released since
        return Claim.IN_FLIGHT
    if there.fingerprint != fingerprint:
        return Claim.ANOTHER
    if there.status is None:
        return Claim.IN_FLIGHT
    return Kept(status=there.status, headers=there.headers, body=there.body)


def keep(conn: Connection, *, author_id: UUID, key_id: UUID, key: str, response: Kept, hours: int) -> None:
    """Keep the response of a claimed key."""
    conn.execute(
        text("""
            UPDATE serving.kept_responses SET status = :status, headers = :headers, body = :body,
                   expires_at = now() + make_interval(hours => :hours)
             WHERE author_id = :author AND key_id = :key_id AND key = :key
        """),
        {
            "author": author_id,
            "key_id": key_id,
            "key": key,
            "status": response.status,
            "headers": Jsonb(dict(response.headers)),
            "body": response.body,
            "hours": hours,
        },
    )


def release(conn: Connection, *, author_id: UUID, key_id: UUID, key: str) -> None:
    """Give a claimed key back: what was asked was not done."""
    conn.execute(
        text("""
            DELETE FROM serving.kept_responses
             WHERE author_id = :author AND key_id = :key_id AND key = :key AND status IS NULL
        """),
        {"author": author_id, "key_id": key_id, "key": key},
    )
