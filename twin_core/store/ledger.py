"""The ledger: every run of every source, and how each item of it ended.

Written by collection, read by people (`twin items`, the analytics views). Which document an item became is decided
in `collect/placing.py`; counts of a run are counted here from its items, never kept beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.records import Outcome
from twin_core.store import collect_requests
from twin_core.store.collect_requests import CollectRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerItem:
    """How one item of one run ended."""

    native_id: str
    location: str
    outcome: Outcome
    reason: str | None = None
    document_id: UUID | None = None
    at: datetime
    empty: bool = False
    """It came without any text of its own."""


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
    empty: int = 0
    """Items that came empty and in no earlier run had: known once the run is over."""


def start_run(conn: Connection, *, run_id: UUID, author_id: UUID, source_id: UUID) -> None:
    """Open a run. One of the same source that never finished was killed: it is closed as `interrupted`."""
    conn.execute(
        text(
            f"""
            UPDATE warehouse.collect_runs r
               SET finished_at = now(), error = 'interrupted', empty = {_NEWLY_EMPTY},
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
                (run_id, author_id, source_id, native_id, location, outcome, reason, document_id, at, empty)
            SELECT CAST(:run AS uuid), CAST(:author AS uuid), CAST(:source AS uuid), native_id, location, outcome,
                   reason, document_id, at, empty
            FROM unnest(CAST(:natives AS text[]), CAST(:locations AS text[]), CAST(:outcomes AS text[]),
                        CAST(:reasons AS text[]), CAST(:documents AS uuid[]), CAST(:times AS timestamptz[]),
                        CAST(:empties AS boolean[]))
                 AS given (native_id, location, outcome, reason, document_id, at, empty)
            ON CONFLICT (run_id, native_id) DO UPDATE
               SET location = excluded.location, outcome = excluded.outcome, reason = excluded.reason,
                   document_id = excluded.document_id, at = excluded.at, empty = excluded.empty
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
            "empties": [row.empty for row in rows],
        },
    )


def finish_run(conn: Connection, run_id: UUID, *, own_count: int | None, seconds: float, error: str | None) -> Run:
    """Close a run with the counts of its items; without an error, note the source's success.

    Who had asked for the collection is told by their request, which is fulfilled either way.
    """
    collect_requests.fulfil(conn, run_id)
    conn.execute(
        text(
            f"""
            UPDATE warehouse.collect_runs r
               SET finished_at = now(), own_count = :own, seconds = :seconds, error = :error, empty = {_NEWLY_EMPTY},
                   (fetched, unchanged, skipped, failed, deleted) = (SELECT {_COUNTS} FROM warehouse.ledger i
                                                                      WHERE i.run_id = r.id)
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
    conn: Connection,
    run_id: UUID,
    *,
    outcomes: Sequence[Outcome] = (),
    limit: int = 1000,
    offset: int = 0,
    after: LedgerItem | None = None,
) -> list[LedgerItem]:
    """How the items of a run ended, what failed first; narrowed to some outcomes where any are named.

    `after`: only those behind this one in that order; of it, outcome and native id count.
    """
    rows = conn.execute(
        text(f"""
            SELECT native_id, location, outcome, reason, document_id, at, empty FROM warehouse.ledger
             WHERE run_id = :run AND (CAST(:all AS boolean) OR outcome = ANY(CAST(:outcomes AS text[])))
               AND (CAST(:after AS text) IS NULL OR ({_RANK}, native_id) >
                    (array_position({_ORDER}, CAST(:after AS text)), CAST(:after_id AS text)))
             ORDER BY {_RANK}, native_id
             LIMIT :limit OFFSET :offset
        """),
        {
            "run": run_id,
            "all": not outcomes,
            "outcomes": [outcome.value for outcome in outcomes],
            "after": None if after is None else after.outcome.value,
            "after_id": None if after is None else after.native_id,
            "limit": limit,
            "offset": offset,
        },
    )
    return [LedgerItem(**{**row, "outcome": Outcome(row["outcome"])}) for row in rows.mappings()]


def runs_for(conn: Connection, author_id: UUID, requests: Sequence[CollectRequest]) -> dict[UUID, Run]:
    """Request id -> the run that fulfilled it, or the one at work on it, counted up to now. None has begun: no entry."""
    rows = conn.execute(
        text(f"""
            SELECT DISTINCT ON (q.id) q.id AS request_id, {", ".join(f"r.{name.strip()}" for name in _COLUMNS.split(","))}
              FROM warehouse.collect_requests q
              JOIN warehouse.collect_runs r ON r.source_id = q.source_id AND r.author_id = q.author_id
                   AND CASE WHEN q.run_id IS NULL THEN r.started_at >= q.requested_at ELSE r.id = q.run_id END
             WHERE q.author_id = :author AND q.id = ANY(CAST(:ids AS uuid[])) ORDER BY q.id, r.started_at DESC, r.id
        """),
        {"author": author_id, "ids": [one.id for one in requests]},
    )
    found = {}
    for row in rows.mappings():
        values = dict(row)
        request_id = values.pop("request_id")
        found[request_id] = _counted(conn, Run(**values))
    return found


def items_since(
    conn: Connection, author_id: UUID, run_id: UUID, *, after: tuple[datetime, str] | None, limit: int
) -> list[LedgerItem]:
    """What a run has written so far, in the order of writing, behind the item of that time and native id."""
    rows = conn.execute(
        text("""
            SELECT native_id, location, outcome, reason, document_id, at, empty FROM warehouse.ledger
             WHERE author_id = :author AND run_id = :run AND (CAST(:native AS text) IS NULL
                   OR (at, native_id) > (CAST(:at AS timestamptz), CAST(:native AS text)))
             ORDER BY at, native_id LIMIT :limit
        """),
        {
            "author": author_id,
            "run": run_id,
            "at": after and after[0],
            "native": after and after[1],
            "limit": limit,
        },
    )
    return [LedgerItem(**{**row, "outcome": Outcome(row["outcome"])}) for row in rows.mappings()]


def latest_items(conn: Connection, author_id: UUID, run_id: UUID, *, limit: int) -> list[LedgerItem]:
    """What a run wrote last, the latest first."""
    rows = conn.execute(
        text("""
            SELECT native_id, location, outcome, reason, document_id, at, empty FROM warehouse.ledger
             WHERE author_id = :author AND run_id = :run ORDER BY at DESC, native_id DESC LIMIT :limit
        """),
        {"author": author_id, "run": run_id, "limit": limit},
    )
    return [LedgerItem(**{**row, "outcome": Outcome(row["outcome"])}) for row in rows.mappings()]


def _counted(conn: Connection, run: Run) -> Run:
    """A run that is still going, with its items so far: its own counts are written when it ends."""
    if run.finished_at is not None:
        return run
    row = conn.execute(text(f"SELECT {_COUNTS} FROM warehouse.ledger i WHERE i.run_id = :run"), {"run": run.id}).one()
    fetched, unchanged, skipped, failed, deleted = row
    return replace(run, fetched=fetched, unchanged=unchanged, skipped=skipped, failed=failed, deleted=deleted)


def recent_runs(conn: Connection, author_id: UUID | None, each: int) -> dict[UUID, list[Run]]:
    """The latest `each` runs of every source, of one author or of all, newest first."""
    rows = conn.execute(
        text(f"""
            SELECT {_COLUMNS} FROM (
                SELECT *, row_number() OVER (PARTITION BY source_id ORDER BY started_at DESC, id) AS place
                FROM warehouse.collect_runs WHERE CAST(:author AS uuid) IS NULL OR author_id = :author
            ) r WHERE place <= :each ORDER BY source_id, place
        """),
        {"author": author_id, "each": each},
    )
    found: dict[UUID, list[Run]] = {}
    for row in rows.mappings():
        found.setdefault(row["source_id"], []).append(Run(**row))
    return found


def reason_of(conn: Connection, run_id: UUID, native_id: str) -> str | None:
    """Why one item of a run ended as it did; None when there is no such item, or nothing to say of it."""
    found = conn.execute(
        text("SELECT reason FROM warehouse.ledger WHERE run_id = :run AND native_id = :native"),
        {"run": run_id, "native": native_id},
    )
    return found.scalar_one_or_none()


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


_COLUMNS = "id, source_id, started_at, finished_at, fetched, unchanged, skipped, failed, deleted, own_count, seconds, error, empty"
_ORDER = "ARRAY['failed', 'skipped', 'deleted', 'fetched', 'unchanged']"
_RANK = f"array_position({_ORDER}, outcome)"
_NEWLY_EMPTY = """(
    SELECT count(*) FROM warehouse.ledger i WHERE i.run_id = r.id AND i.empty AND NOT EXISTS
           (SELECT FROM warehouse.ledger e
             WHERE e.source_id = r.source_id AND e.native_id = i.native_id AND e.empty AND e.run_id <> r.id))"""
_COUNTS = ", ".join(
    f"count(*) FILTER (WHERE i.outcome = '{outcome}')"
    for outcome in ("fetched", "unchanged", "skipped", "failed", "deleted")
)


def _run(conn: Connection, condition: str, values: dict[str, object], limit: int = 1) -> list[Run]:
    rows = conn.execute(
        text(f"""
            SELECT {_COLUMNS}
            FROM warehouse.collect_runs WHERE {condition} ORDER BY started_at DESC, id LIMIT :limit
        """),
        {**values, "limit": limit},
    )
    return [Run(**row) for row in rows.mappings()]


def count_items(conn: Connection, run_id: UUID) -> int:
    """How many items the run has had so far."""
    found = conn.execute(text("SELECT count(*) FROM warehouse.ledger WHERE run_id = :run"), {"run": run_id})
    return int(found.scalar_one())
