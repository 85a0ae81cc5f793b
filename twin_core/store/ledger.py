"""The ledger: every run of every source, and how each item of it ended.

Written by collection, read by people (`twin items`, the analytics views). Which document an item became is decided
in `collect/placing.py`; counts of a run are counted here from its items, never kept beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.records import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerItem:
    """How one item of one run ended."""

    native_id: str
    location: str
    outcome: Outcome
    reason: str | None = None
    document_id: UUID | None = None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One collection run of one source, in items."""

    id: UUID
    source_id: UUID
    started_at: datetime
    finished_at: datetime | None
    fetched: int
    unchanged: int
    skipped: int
    failed: int
    deleted: int
    own_count: int | None
    seconds: float | None
    error: str | None


def start_run(conn: Connection, *, run_id: UUID, author_id: UUID, source_id: UUID) -> None:
    """Open a run. One of the same source that never finished was killed: it is closed as `interrupted`."""
    conn.execute(
        text(
            f"""
            UPDATE warehouse.collect_runs r
               SET finished_at = now(), error = 'interrupted',
                   (fetched, unchanged, skipped, failed, deleted) = (SELECT {_COUNTS} FROM warehouse.ledger i
                                                                      WHERE i.run_id = r.id)
             WHERE source_id = :source AND finished_at IS NULL
        """
        ),
        {"source": source_id},
    )
    conn.execute(
        text("INSERT INTO warehouse.collect_runs (id, author_id, source_id) VALUES (:id, :author, :source)"),
        {"id": run_id, "author": author_id, "source": source_id},
    )


def write_items(
    conn: Connection, items: Sequence[LedgerItem], *, run_id: UUID, author_id: UUID, source_id: UUID
) -> None:
    """Record how items ended; a later word on the same item replaces the earlier one. One statement."""
    last = {item.native_id: item for item in items}
    if not last:
        return
    rows = list(last.values())
    conn.execute(
        text("""
            INSERT INTO warehouse.ledger
                (run_id, author_id, source_id, native_id, location, outcome, reason, document_id, at)
            SELECT CAST(:run AS uuid), CAST(:author AS uuid), CAST(:source AS uuid), native_id, location, outcome,
                   reason, document_id, at
            FROM unnest(CAST(:natives AS text[]), CAST(:locations AS text[]), CAST(:outcomes AS text[]),
                        CAST(:reasons AS text[]), CAST(:documents AS uuid[]), CAST(:times AS timestamptz[]))
                 AS given (native_id, location, outcome, reason, document_id, at)
            ON CONFLICT (run_id, native_id) DO UPDATE
               SET location = excluded.location, outcome = excluded.outcome, reason = excluded.reason,
                   document_id = excluded.document_id, at = excluded.at
        """),
        {
            "run": run_id,
            "author": author_id,
            "source": source_id,
            "natives": [row.native_id for row in rows],
            "locations": [row.location for row in rows],
            "outcomes": [row.outcome.value for row in rows],
            "reasons": [row.reason for row in rows],
            "documents": [row.document_id for row in rows],
            "times": [row.at for row in rows],
        },
    )


def finish_run(conn: Connection, run_id: UUID, *, own_count: int | None, seconds: float, error: str | None) -> Run:
    """Close a run with the counts of its items; without an error, note the source's success."""
    conn.execute(
        text(
            f"""
            UPDATE warehouse.collect_runs
               SET finished_at = now(), own_count = :own, seconds = :seconds, error = :error,
                   (fetched, unchanged, skipped, failed, deleted) = (SELECT {_COUNTS} FROM warehouse.ledger i
                                                                      WHERE i.run_id = :run)
             WHERE id = :run
        """
        ),
        {"run": run_id, "own": own_count, "seconds": seconds, "error": error},
    )
    if error is None:
        conn.execute(
            text("""
                UPDATE warehouse.sources SET last_success_at = now()
                 WHERE id = (SELECT source_id FROM warehouse.collect_runs WHERE id = :run)
            """),
            {"run": run_id},
        )
    return _run(conn, "id = :id", {"id": run_id})[0]


def latest_runs(conn: Connection, source_id: UUID, limit: int = 1) -> list[Run]:
    """The latest runs of a source, newest first."""
    return _run(conn, "source_id = :id", {"id": source_id}, limit)


def items_of_run(
    conn: Connection, run_id: UUID, *, outcomes: Sequence[Outcome] = (), limit: int = 1000, offset: int = 0
) -> list[LedgerItem]:
    """How the items of a run ended, what failed first; narrowed to some outcomes where any are named."""
    rows = conn.execute(
        text("""
            SELECT native_id, location, outcome, reason, document_id, at FROM warehouse.ledger
             WHERE run_id = :run AND (CAST(:all AS boolean) OR outcome = ANY(CAST(:outcomes AS text[])))
             ORDER BY array_position(ARRAY['failed', 'skipped', 'deleted', 'fetched', 'unchanged'], outcome), native_id
             LIMIT :limit OFFSET :offset
        """),
        {
            "run": run_id,
            "all": not outcomes,
            "outcomes": [outcome.value for outcome in outcomes],
            "limit": limit,
            "offset": offset,
        },
    )
    return [
        LedgerItem(
            native_id=row.native_id,
            location=row.location,
            outcome=Outcome(row.outcome),
            reason=row.reason,
            document_id=row.document_id,
            at=row.at,
        )
        for row in rows
    ]


def seen_items(conn: Connection, run_id: UUID, native_ids: Sequence[str]) -> set[str]:
    """Which of these items the run has a word on already."""
    rows = conn.execute(
        text("""
            SELECT native_id FROM warehouse.ledger
             WHERE run_id = :run AND native_id = ANY(CAST(:natives AS text[]))
        """),
        {"run": run_id, "natives": list(native_ids)},
    )
    return set(rows.scalars())


_COUNTS = ", ".join(
    f"count(*) FILTER (WHERE i.outcome = '{outcome}')"
    for outcome in ("fetched", "unchanged", "skipped", "failed", "deleted")
)


def _run(conn: Connection, condition: str, values: dict[str, object], limit: int = 1) -> list[Run]:
    rows = conn.execute(
        text(f"""
            SELECT id, source_id, started_at, finished_at, fetched, unchanged, skipped, failed, deleted, own_count,
                   seconds, error
            FROM warehouse.collect_runs WHERE {condition} ORDER BY started_at DESC, id LIMIT :limit
        """),
        {**values, "limit": limit},
    )
    return [Run(**row) for row in rows.mappings()]


def count_items(conn: Connection, run_id: UUID) -> int:
    """How many items the run has had so far."""
    found = conn.execute(text("SELECT count(*) FROM warehouse.ledger WHERE run_id = :run"), {"run": run_id})
    return int(found.scalar_one())
