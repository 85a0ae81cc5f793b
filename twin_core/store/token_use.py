"""Tokens that keys have used, by the minute: what their limits are held against, in every process alike."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

KEPT_DAYS = 35
"""Older minutes serve no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensUsed:
    """Of one key, in the minute and the day (UTC) that are now."""

    minute: int
    day: int
    seconds_left: float
    """Of the minute."""
    seconds_left_of_day: float


def tokens_used(conn: Connection, author_id: UUID, key_id: UUID) -> TokensUsed:
    """What a key has used."""
    row = conn.execute(
        text("""
            SELECT coalesce(sum(tokens) FILTER (WHERE minute = date_trunc('minute', now())), 0)::bigint AS minute,
                   coalesce(sum(tokens), 0)::bigint AS day,
                   60 - extract(second FROM now()) AS seconds_left,
                   extract(epoch FROM date_trunc('day', now(), 'UTC') + interval '1 day' - now()) AS seconds_left_of_day
              FROM serving.token_use
             WHERE author_id = :author AND key_id = :key AND minute >= date_trunc('day', now(), 'UTC')
        """),
        {"author": author_id, "key": key_id},
    ).one()
    return TokensUsed(
        minute=row.minute,
        day=row.day,
        seconds_left=float(row.seconds_left),
        seconds_left_of_day=float(row.seconds_left_of_day),
    )


def use_tokens(conn: Connection, author_id: UUID, key_id: UUID, tokens: int) -> None:
    """Count tokens against a key, now. The author's minutes of long ago go."""
    conn.execute(
        text("""
            INSERT INTO serving.token_use (key_id, minute, author_id, tokens)
            VALUES (:key, date_trunc('minute', now()), :author, :tokens)
            ON CONFLICT (key_id, minute) DO UPDATE SET tokens = serving.token_use.tokens + excluded.tokens
        """),
        {"author": author_id, "key": key_id, "tokens": tokens},
    )
    conn.execute(
        text("""
            DELETE FROM serving.token_use
             WHERE author_id = :author AND minute < now() - make_interval(days => :days)
        """),
        {"author": author_id, "days": KEPT_DAYS},
    )
