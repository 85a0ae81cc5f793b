"""Requests to collect a source now: written by the API, acted on by the `due_sources` sensor.

Any collection of the source that begins after the request fulfils it, also one that a person or a schedule started.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from twin_core.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectRequest:
    """What has become of a request. `run_id` is the collection run that fulfilled it."""

    id: UUID
    source_id: UUID
    state: str
    run_id: UUID | None
    requested_at: datetime
    finished_at: datetime | None


_COLUMNS = "id, source_id, state, run_id, requested_at, finished_at"


def request_collection(conn: Connection, *, author_id: UUID, source_id: UUID) -> CollectRequest:
    """Ask for a collection of the source; asking again while one is open is that one."""
    there = conn.execute(
        text(f"""
            SELECT {_COLUMNS} FROM warehouse.collect_requests
             WHERE author_id = :author AND source_id = :source AND state = 'requested' ORDER BY requested_at LIMIT 1
        """),
        {"author": author_id, "source": source_id},
    )
    if (row := there.mappings().one_or_none()) is not None:
        return CollectRequest(**row)
    made = conn.execute(
        text(f"""
            INSERT INTO warehouse.collect_requests (id, author_id, source_id) VALUES (:id, :author, :source)
            RETURNING {_COLUMNS}
        """),
        {"id": uuid4(), "author": author_id, "source": source_id},
    )
    return CollectRequest(**made.mappings().one())


def collect_request(
    conn: Connection, author_id: UUID, request_id: UUID, source_id: UUID | None = None
) -> CollectRequest:
    """One request, of this source where one is named. Raises NotFound."""
    found = conn.execute(
        text(f"""
            SELECT {_COLUMNS} FROM warehouse.collect_requests
             WHERE author_id = :author AND id = :id AND (CAST(:source AS uuid) IS NULL OR source_id = :source)
        """),
        {"author": author_id, "source": source_id, "id": request_id},
    )
    row = found.mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no request {request_id} to collect this source.")
    return CollectRequest(**row)


def page_of_collections(
    conn: Connection,
    author_id: UUID,
    *,
    state: str | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int,
) -> list[CollectRequest]:
    """The author's requests, the latest first, behind the one asked for at that time."""
    rows = conn.execute(
        text(f"""
            SELECT {_COLUMNS} FROM warehouse.collect_requests
             WHERE author_id = :author AND (CAST(:state AS text) IS NULL OR state = :state)
               AND (CAST(:id AS uuid) IS NULL OR (requested_at, id) < (CAST(:at AS timestamptz), CAST(:id AS uuid)))
             ORDER BY requested_at DESC, id DESC LIMIT :limit
        """),
        {"author": author_id, "state": state, "at": after and after[0], "id": after and after[1], "limit": limit},
    )
    return [CollectRequest(**row) for row in rows.mappings()]


def collections_of(conn: Connection, author_id: UUID, request_ids: Sequence[UUID]) -> list[CollectRequest]:
    """The author's requests among these, oldest first."""
    rows = conn.execute(
        text(f"""
            SELECT {_COLUMNS} FROM warehouse.collect_requests
             WHERE author_id = :author AND id = ANY(CAST(:ids AS uuid[])) ORDER BY requested_at, id
        """),
        {"author": author_id, "ids": list(request_ids)},
    )
    return [CollectRequest(**row) for row in rows.mappings()]


def open_collections(conn: Connection) -> dict[UUID, UUID]:
    """Source id -> the oldest request of it that is not fulfilled."""
    rows = conn.execute(
        text("""
            SELECT DISTINCT ON (source_id) source_id, id FROM warehouse.collect_requests
             WHERE state = 'requested' ORDER BY source_id, requested_at, id
        """)
    )
    return {row.source_id: row.id for row in rows}


def fulfil(conn: Connection, run_id: UUID) -> None:
    """Close the requests of the run's source that were open when it began."""
    conn.execute(
        text("""
            UPDATE warehouse.collect_requests q SET state = 'done', finished_at = now(), run_id = r.id
              FROM warehouse.collect_runs r
             WHERE r.id = :run AND q.source_id = r.source_id AND q.state = 'requested'
               AND q.requested_at <= r.started_at
        """),
        {"run": run_id},
    )
