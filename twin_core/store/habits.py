"""What is known of a source over time: its runs, what it holds, and when its items were written.

Facts only; what they mean is decided in `collect/alarms.py`. All of it is derived from the ledger and the documents,
so that there is nothing to keep in step.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.records import Source
from twin_core.store import authors, ledger
from twin_core.store.ledger import Run

RUNS = 20
"""How far back the habit of a source reaches: three weeks of a daily one."""
WRITTEN = 50
"""Days of writing that its rhythm is taken from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """One source over time."""

    source: Source
    last_success_at: datetime | None
    held: int
    """Items of it that are stored and live."""
    runs: tuple[Run, ...] = ()
    """Newest first."""
    written: tuple[datetime, ...] = ()
    """The days on which its items were written, newest first, each once."""


def source_facts(conn: Connection, author_id: UUID | None = None) -> list[SourceFacts]:
    """The facts of every source, of one author or of all, oldest source first. Four statements, however many there are."""
    sources = authors.list_sources(conn, author_id)
    runs = ledger.recent_runs(conn, author_id, RUNS)
    about = {"author": author_id, "most": WRITTEN}
    stored = {
        row.id: (row.last_success_at, row.held)
        for row in conn.execute(
            text("""
                SELECT s.id, s.last_success_at, (SELECT count(*) FROM warehouse.document_locations l
                                                  WHERE l.source_id = s.id AND l.state = 'live') AS held
                FROM warehouse.sources s WHERE CAST(:author AS uuid) IS NULL OR s.author_id = :author
            """),
            about,
        )
    }
    written: dict[UUID, list[datetime]] = {}
    rows = conn.execute(
        text("""
            SELECT source_id, day FROM (
                SELECT source_id, day, row_number() OVER (PARTITION BY source_id ORDER BY day DESC) AS place
                FROM (SELECT DISTINCT l.source_id, date_trunc('day', c.written_at, 'UTC') AS day
                      FROM warehouse.document_locations l
                      JOIN warehouse.documents d ON d.id = l.document_id AND d.state = 'live'
                      JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
                      WHERE l.state = 'live' AND c.written_at IS NOT NULL
                        AND (CAST(:author AS uuid) IS NULL OR l.author_id = :author)) days
            ) placed WHERE place <= :most ORDER BY source_id, place
        """),
        about,
    )
    for row in rows:
        written.setdefault(row.source_id, []).append(row.day)
    return [
        SourceFacts(
            source=source,
            last_success_at=stored[source.id][0],
            held=stored[source.id][1],
            runs=tuple(runs.get(source.id, ())),
            written=tuple(written.get(source.id, ())),
        )
        for source in sources
    ]
