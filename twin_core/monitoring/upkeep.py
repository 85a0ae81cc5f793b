"""What is done with traces from time to time: those that are too old by the settings lose their texts, or go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from twin_core.settings import Settings
from twin_core.store import trace_age
from twin_core.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """What one round did."""

    texts_dropped: int = 0
    deleted: int = 0


def due(database: Database, settings: Settings, now: datetime) -> str | None:
    """What there is to do, in words; None when there is nothing."""
    texts, whole = _limits(settings, now)
    if texts is None and whole is None:
        return None
    with database.transaction() as conn:
        count = trace_age.too_old(conn, texts=texts, whole=whole)
    return f"{count} traces are older than the settings keep them" if count else None


def tidy(database: Database, settings: Settings, now: datetime) -> Tidied:
    """Do it. Again is harmless."""
    texts, whole = _limits(settings, now)
    with database.transaction() as conn:
        deleted = trace_age.delete_traces(conn, whole) if whole is not None else 0
        dropped = trace_age.drop_texts(conn, texts) if texts is not None else 0
    return Tidied(texts_dropped=dropped, deleted=deleted)


def _limits(settings: Settings, now: datetime) -> tuple[datetime | None, datetime | None]:
    texts, whole = settings.trace_texts_days, settings.trace_days
    return (
        None if texts is None else now - timedelta(days=texts),
        None if whole is None else now - timedelta(days=whole),
    )
