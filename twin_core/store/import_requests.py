"""Uploaded exports and what has become of them: written by the API, carried out by the run that imports them.

The files are under HOME (`collect/importing.py` knows where); here is the row of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """One uploaded file."""

    id: UUID
    author_id: UUID
    name: str
    """The file's name as it was given, made harmless."""
    bytes: int
    sha256: str
    own: Sequence[str]
    """Whose writing it is, where the export does not say."""
    mine: bool
    claimed_by: str
    state: str
    attempts: int
    source_ids: Sequence[UUID]
    """What it became, once it was recognised."""
    collect_ids: Sequence[UUID]
    """The requests to collect these: the ledger of each is the import's."""
    problem: str | None
    requested_at: datetime
    finished_at: datetime | None


_COLUMNS = (
    "id, author_id, name, bytes, sha256, own, mine, claimed_by, state, attempts, source_ids, collect_ids, problem, "
    "requested_at, finished_at"
)


def request_import(
    conn: Connection,
    *,
    request_id: UUID,
    author_id: UUID,
    name: str,
    size: int,
    sha256: str,
    own: Sequence[str],
    mine: bool,
    claimed_by: str,
) -> ImportRequest:
    """Ask that an uploaded file be imported."""
    made = conn.execute(
        text(f"""
            INSERT INTO warehouse.import_requests (id, author_id, name, bytes, sha256, own, mine, claimed_by)
            VALUES (:id, :author, :name, :bytes, :sha256, :own, :mine, :claimed_by) RETURNING {_COLUMNS}
        """),
        {
            "id": request_id,
            "author": author_id,
            "name": name,
            "bytes": size,
            "sha256": sha256,
            "own": list(own),
            "mine": mine,
            "claimed_by": claimed_by,
        },
    )
    return ImportRequest(**made.mappings().one())


def import_request(conn: Connection, author_id: UUID, request_id: UUID) -> ImportRequest:
    """One request. Raises NotFound."""
    found = conn.execute(
        text(f"SELECT {_COLUMNS} FROM warehouse.import_requests WHERE author_id = :author AND id = :id"),
        {"author": author_id, "id": request_id},
    )
    row = found.mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no import {request_id} of this author.")
    return ImportRequest(**row)


def page_of_imports(
    conn: Connection, author_id: UUID, *, after: tuple[datetime, UUID] | None, limit: int
) -> list[ImportRequest]:
    """The author's imports, the latest first, behind the one asked for at that time."""
    rows = conn.execute(
        text(f"""
            SELECT {_COLUMNS} FROM warehouse.import_requests
             WHERE author_id = :author AND (CAST(:id AS uuid) IS NULL
                   OR (requested_at, id) < (CAST(:at AS timestamptz), CAST(:id AS uuid)))
             ORDER BY requested_at DESC, id DESC LIMIT :limit
        """),
        {"author": author_id, "at": after and after[0], "id": after and after[1], "limit": limit},
    )
    return [ImportRequest(**row) for row in rows.mappings()]


def open_imports(conn: Connection, author_id: UUID | None = None) -> dict[UUID, list[UUID]]:
    """Author id -> their uploads that are not imported yet, oldest first; of one author, or of all."""
    rows = conn.execute(
        text("""
            SELECT author_id, id FROM warehouse.import_requests
             WHERE finished_at IS NULL AND (CAST(:author AS uuid) IS NULL OR author_id = :author)
             ORDER BY requested_at, id
        """),
        {"author": author_id},
    )
    found: dict[UUID, list[UUID]] = {}
    for row in rows:
        found.setdefault(row.author_id, []).append(row.id)
    return found


def begin(conn: Connection, request_id: UUID) -> int:
    """Count an attempt to import it, and return which it is."""
    counted = conn.execute(
        text("UPDATE warehouse.import_requests SET attempts = attempts + 1 WHERE id = :id RETURNING attempts"),
        {"id": request_id},
    )
    return int(counted.scalar_one())


def note_sources(conn: Connection, request_id: UUID, source_ids: Sequence[UUID], collect_ids: Sequence[UUID]) -> None:
    """Note what it became, beside what is noted already: from now on it is being collected."""
    conn.execute(
        text("""
            UPDATE warehouse.import_requests SET state = 'collecting',
                   source_ids = ARRAY(SELECT DISTINCT unnest(source_ids || CAST(:sources AS uuid[]))),
                   collect_ids = ARRAY(SELECT DISTINCT unnest(collect_ids || CAST(:collects AS uuid[])))
             WHERE id = :id
        """),
        {"id": request_id, "sources": list(source_ids), "collects": list(collect_ids)},
    )


def finish(conn: Connection, request_id: UUID, problem: str | None = None) -> None:
    """Close a request: done, or refused for this reason."""
    conn.execute(
        text("""
            UPDATE warehouse.import_requests SET finished_at = now(), problem = :problem,
                   state = CASE WHEN CAST(:problem AS text) IS NULL THEN 'done' ELSE 'refused' END
             WHERE id = :id
        """),
        {"id": request_id, "problem": problem},
    )
