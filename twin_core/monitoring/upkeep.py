"""What is done with traces from time to time: those that are too old by the settings lose their texts, or go; those that
wait for a copy in MLflow get one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from twin_core.monitoring import mlflow_traces
from twin_core.monitoring.mlflow_traces import Copied
from twin_core.runtime.mlflow_store import delete_traces
from twin_core.settings import Settings
from twin_core.store import answer_cache, trace_age, trace_copies
from twin_core.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """What one round did."""

    texts_dropped: int
    deleted: int
    copied: Copied


def due(database: Database, settings: Settings, now: datetime) -> str | None:
    """What there is to do, in words; None when there is nothing."""
    texts, whole = _limits(settings, now)
    old = 0
    if texts is not None or whole is not None:
        with database.transaction() as conn:
            old = trace_age.too_old(conn, texts=texts, whole=whole)
    waiting = mlflow_traces.due(database, settings)
    said = [f"{old} traces are older than the settings keep them"] if old else []
    said += [f"{waiting} traces and verdicts wait to be copied to MLflow"] if waiting else []
    return "; ".join(said) or None


def tidy(database: Database, settings: Settings, now: datetime) -> Tidied:
    """Do it. Again is harmless. Raises ServiceUnavailable when MLflow has something of it and does not answer."""
    texts, whole = _limits(settings, now)
    with database.transaction() as conn:
        copies = trace_copies.older(conn, texts=texts, whole=whole)
    delete_traces(settings, copies)
    with database.transaction() as conn:
        trace_copies.gone(conn, copies)
        deleted = trace_age.delete_traces(conn, whole) if whole is not None else 0
        dropped = trace_age.drop_texts(conn, texts) if texts is not None else 0
        answer_cache.drop_older(conn, than=timedelta(hours=settings.answer_cache_hours))
    return Tidied(texts_dropped=dropped, deleted=deleted, copied=mlflow_traces.copy(database, settings))


def _limits(settings: Settings, now: datetime) -> tuple[datetime | None, datetime | None]:
    texts, whole = settings.trace_texts_days, settings.trace_days
    return (
        None if texts is None else now - timedelta(days=texts),
        None if whole is None else now - timedelta(days=whole),
    )
