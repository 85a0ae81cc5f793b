"""Figures over traces: per day how many, how they ended, how long each step took, tokens, cost, what people said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long one step took, in seconds from the beginning of the answer."""

    p50: float
    p95: float
    answers: int
    """In which the step happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The answers and drafts of one day, in UTC."""

    day: date
    answers: int
    drafts: int
    outcomes: Mapping[str, int]
    cached: int
    """Answers that were given again from the cache."""
    prompt_tokens: int
    completion_tokens: int
    cost: float
    up: int
    down: int
    edited: int
    """Of the last word on each."""
    steps: Mapping[str, Latency]

    @property
    def feedback_rate(self) -> float:
        """The share that anything was said of."""
        return (self.up + self.down + self.edited) / max(1, self.answers + self.drafts)


def days(conn: Connection, author_id: UUID, *, since: datetime, until: datetime) -> list[Day]:
    """Every day on which anything was answered, the earliest first. `until` is exclusive."""
    period = {"author": author_id, "since": since, "until": until}
    counted = conn.execute(
        text("""
            WITH told AS (
                SELECT (at AT TIME ZONE 'UTC')::date AS day, * FROM analytics.answers
                WHERE author_id = :author AND at >= :since AND at < :until
            ), ended AS (
                SELECT day, jsonb_object_agg(outcome, n) AS outcomes
                FROM (SELECT day, outcome, count(*) AS n FROM told GROUP BY day, outcome) o GROUP BY day
            )
            SELECT t.day, count(*) FILTER (WHERE kind = 'answer') AS answers,
                   count(*) FILTER (WHERE kind <> 'answer') AS drafts, e.outcomes,
                   count(*) FILTER (WHERE cached_from IS NOT NULL) AS cached,
                   coalesce(sum(prompt_tokens), 0)::bigint AS prompt_tokens,
                   coalesce(sum(completion_tokens), 0)::bigint AS completion_tokens, coalesce(sum(cost), 0.0) AS cost,
                   count(*) FILTER (WHERE edited IS NULL AND verdict = 'up') AS up,
                   count(*) FILTER (WHERE edited IS NULL AND verdict = 'down') AS down,
                   count(*) FILTER (WHERE edited IS NOT NULL) AS edited
            FROM told t JOIN ended e ON e.day = t.day GROUP BY t.day, e.outcomes ORDER BY t.day
        """),
        period,
    ).mappings()
    steps: dict[date, dict[str, Latency]] = {}
    for row in conn.execute(
        text("""
            SELECT (t.at AT TIME ZONE 'UTC')::date AS day, s.key AS step, count(*) AS answers,
                   percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY s.value::double precision) AS seconds
            FROM serving.traces t CROSS JOIN LATERAL jsonb_each_text(t.timings) AS s
            WHERE t.author_id = :author AND t.at >= :since AND t.at < :until
            GROUP BY day, s.key ORDER BY day, s.key
        """),
        period,
    ):
        steps.setdefault(row.day, {})[row.step] = Latency(p50=row.seconds[0], p95=row.seconds[1], answers=row.answers)
    return [Day(**row, steps=steps.get(row["day"], {})) for row in counted]
