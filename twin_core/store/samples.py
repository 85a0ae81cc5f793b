"""The SQL of blind comparisons: where an evaluation's samples are, and what people thought of each.

How samples are chosen and read is in `evaluation/samples.py`. Of two votes on one sample the later one counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.errors import InvalidInput

Better = Literal["challenger", "other", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """The samples of one evaluation."""

    evaluation_id: UUID
    other: Literal["champion", "base"]
    """Whose answers stand beside the challenger's."""
    count: int
    file_key: str


def keep_samples(
    conn: Connection, author_id: UUID, evaluation_id: UUID, *, other: str, count: int, file_key: str
) -> None:
    """Say where an evaluation's samples are."""
    conn.execute(
        text("""
            INSERT INTO training.samples (evaluation_id, author_id, other, count, file_key)
            VALUES (:evaluation, :author, :other, :count, :key)
        """),
        {"evaluation": evaluation_id, "author": author_id, "other": other, "count": count, "key": file_key},
    )


def samples_of(conn: Connection, author_id: UUID, evaluation_id: UUID) -> Filed | None:
    """The samples of an evaluation; None when it has none."""
    row = conn.execute(
        text("""
            SELECT evaluation_id, other, count, file_key FROM training.samples
            WHERE author_id = :author AND evaluation_id = :evaluation
        """),
        {"author": author_id, "evaluation": evaluation_id},
    ).one_or_none()
    return None if row is None else Filed(**row._mapping)  # noqa: SLF001  SQLAlchemy's public name


def vote(
    conn: Connection, author_id: UUID, filed: Filed, sample: int, better: Better, *, key_id: UUID | None = None
) -> None:
    """Record which answer of a sample a person found better. Raises InvalidInput for a sample that is not there."""
    if not 1 <= sample <= filed.count:
        raise InvalidInput(f"There is no sample {sample}: they are numbered from 1 to {filed.count}.")
    conn.execute(
        text("""
            INSERT INTO training.sample_votes (evaluation_id, sample, author_id, better, key_id)
            VALUES (:evaluation, :sample, :author, :better, :key)
            ON CONFLICT (evaluation_id, sample)
                DO UPDATE SET better = excluded.better, key_id = excluded.key_id, at = clock_timestamp()
        """),
        {"evaluation": filed.evaluation_id, "sample": sample, "author": author_id, "better": better, "key": key_id},
    )


def votes(conn: Connection, author_id: UUID, evaluation_id: UUID) -> Mapping[int, Better]:
    """Sample -> which answer was found better."""
    rows = conn.execute(
        text("""
            SELECT sample, better FROM training.sample_votes
            WHERE author_id = :author AND evaluation_id = :evaluation ORDER BY sample
        """),
        {"author": author_id, "evaluation": evaluation_id},
    )
    return {row.sample: row.better for row in rows}


def tally(found: Mapping[int, Better]) -> dict[Better, int]:
    """How often each was found better."""
    counted = Counter(found.values())
    return {"challenger": counted["challenger"], "other": counted["other"], "neither": counted["neither"]}
