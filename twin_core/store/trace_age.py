"""What goes of traces with time: their texts first, then they themselves. How long is said by the settings."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text


def drop_texts(conn: Connection, before: datetime) -> int:
    """Take the texts out of traces from before that time, and out of what was said of them. Returns how many traces.

    Ids, figures, outcome and verdict stay; feedback that was an edited text alone goes.
    """
    before_then = {"before": before}
    conn.execute(
        text("""
            DELETE FROM serving.feedback f USING serving.traces t
             WHERE t.id = f.trace_id AND t.at < :before AND f.edited IS NOT NULL AND f.verdict IS NULL
        """),
        before_then,
    )
    conn.execute(
        text("""
            UPDATE serving.feedback f SET edited = NULL FROM serving.traces t
             WHERE t.id = f.trace_id AND t.at < :before AND f.edited IS NOT NULL
        """),
        before_then,
    )
    conn.execute(
        text("""
            UPDATE serving.trace_passages p SET text = '' FROM serving.traces t
             WHERE t.id = p.trace_id AND t.at < :before AND t.texts <> 'dropped'
        """),
        before_then,
    )
    return conn.execute(
        text("""
            UPDATE serving.traces SET question = '', answer = '', instruction = NULL, error = NULL, queries = '{}',
                   links = '[]', texts = 'dropped'
             WHERE at < :before AND texts <> 'dropped'
        """),
        before_then,
    ).rowcount


def delete_traces(conn: Connection, before: datetime) -> int:
    """Delete traces from before that time with their passages, candidates and feedback. Returns how many.

    A later revision of an old draft stays, and no longer says what it goes on from.
    """
    before_then = {"before": before}
    conn.execute(
        text("""
            UPDATE serving.traces t SET parent_id = NULL FROM serving.traces p
             WHERE p.id = t.parent_id AND p.at < :before AND t.at >= :before
        """),
        before_then,
    )
    return conn.execute(text("DELETE FROM serving.traces WHERE at < :before"), before_then).rowcount


def too_old(conn: Connection, *, texts: datetime | None, whole: datetime | None) -> int:
    """Traces that have something to lose at these ages."""
    found = conn.execute(
        text("""
            SELECT count(*) FROM serving.traces
             WHERE at < CAST(:whole AS timestamptz) OR at < CAST(:texts AS timestamptz) AND texts <> 'dropped'
        """),
        {"texts": texts, "whole": whole},
    )
    return int(found.scalar_one())
