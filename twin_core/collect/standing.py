"""How each source stands: what it holds of what it counts, when it last succeeded and is next due, and its alarms.

One answer for everyone who shows it: `twin status`, `twin source list`, the graph and the API.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from twin_core.collect.alarms import Alarm, alarms_of
from twin_core.collect.registry import EXPORT
from twin_core.records import Source
from twin_core.store.habits import SourceFacts, source_facts
from twin_core.store.ledger import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One source as a person needs to see it."""

    source: Source
    held: int
    """Items of it that are stored and live."""
    own_count: int | None
    """What the source counts itself, when it last said so; None when it never did."""
    coverage: float | None
    """`held` of `own_count`, at most 1."""
    last_success_at: datetime | None
    last_run: Run | None
    alarms: tuple[Alarm, ...] = ()


def standings(conn: Connection, now: datetime, author_id: UUID | None = None) -> list[Standing]:
    """How every source stands, of one author or of all."""
    return [_standing(facts, now) for facts in source_facts(conn, author_id)]


def _standing(facts: SourceFacts, now: datetime) -> Standing:
    own_count = next((run.own_count for run in facts.runs if run.own_count is not None), None)
    followed = not facts.source.paused and not facts.source.locator.startswith(EXPORT)
    return Standing(
        source=facts.source,
        held=facts.held,
        own_count=own_count,
        coverage=min(1.0, facts.held / own_count) if own_count else None,
        last_success_at=facts.last_success_at,
        last_run=facts.runs[0] if facts.runs else None,
        alarms=tuple(alarms_of(facts.runs, facts.written, now, followed=followed)),
    )
