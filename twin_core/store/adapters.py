"""The SQL of training: attempts, the adapters they registered, each author's best settings.

How adapters are trained is in `training/`, which one serves in the deployments; the files themselves lie in the file store
under `file_key`. Dataset versions are in `datasets.py`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psutil
from psycopg.types.json import Jsonb
from sqlalchemy import Connection, text
from sqlalchemy.engine import RowMapping

from twin_core.errors import NotFound, Refused

SILENT_SECONDS = 120
"""An attempt on another machine that said nothing for so long is given up. It speaks every few seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of the training process."""

    id: UUID
    author_id: UUID
    kind: str
    job_hash: str
    """Of everything that decides the weights: two attempts that share it may share checkpoints."""
    version_id: str
    job: Mapping[str, Any]
    state: str
    host: str
    pid: int
    progress: Mapping[str, Any]
    """step, steps, loss, tokens_per_second, eta_seconds; `phase` in words before the first step and after the last."""
    reason: str | None
    adapter_id: str | None
    """What it registered. Weights that were registered before keep the attempt that made them first."""
    started_at: datetime
    heartbeat_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A version in the registry."""

    id: str
    """SHA-256 of what decides its answers: kind, base, weights."""
    author_id: UUID
    version: int
    kind: str
    base_model: str
    base_hash: str
    version_id: str
    """The dataset version it was trained on."""
    fraction: float
    parent_id: str | None
    """The SFT adapter that a DPO adapter goes on from."""
    attempt_id: UUID
    file_key: str
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    code_revision: str
    mlflow_run_id: str | None
    created_at: datetime
    tainted_at: datetime | None
    """When a document was forgotten that this adapter, or the one it goes on from, was trained on."""


def open_attempt(
    conn: Connection, *, author_id: UUID, kind: str, job_hash: str, version_id: str, job: Mapping[str, Any]
) -> UUID:
    """Record that this process begins to train, and return the attempt's id.

    An earlier attempt whose process is gone is abandoned by this. Raises Refused when one still runs.
    """
    conn.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('attempts'), hashtext(:author))"), {"author": str(author_id)}
    )
    running = conn.execute(
        text("""
            SELECT id, host, pid, started_at, extract(epoch FROM now() - heartbeat_at) AS silent
            FROM training.attempts WHERE author_id = :author AND state = 'running'
        """),
        {"author": author_id},
    ).first()
    if running is not None:
        if _alive(running.host, running.pid, running.started_at, float(running.silent)):
            raise Refused(
                f"This author is being trained already (process {running.pid} on {running.host}, since "
                f"{running.started_at:%Y-%m-%d %H:%M}). Wait for it, or stop that process."
            )
        abandon(conn, running.id, "its process ended before it was done")
    attempt = uuid4()
    conn.execute(
        text("""
            INSERT INTO training.attempts (id, author_id, kind, job_hash, version_id, job, host, pid)
            VALUES (:id, :author, :kind, :hash, :version, :job, :host, :pid)
        """),
        {
            "id": attempt,
            "author": author_id,
            "kind": kind,
            "hash": job_hash,
            "version": version_id,
            "job": Jsonb(dict(job)),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        },
    )
    return attempt


def _alive(host: str, pid: int, started_at: datetime, silent: float) -> bool:
    """Whether the process that opened an attempt is there: seen where it is on this machine, else by its heartbeat."""
    if host != socket.gethostname():
        return silent < SILENT_SECONDS
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        # A pid is given anew: who has it now may have started later.
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= started_at.timestamp() + 1)
    return False


def beat(conn: Connection, attempt_id: UUID, progress: Mapping[str, Any] | None = None) -> bool:
    """Say that an attempt is alive, and how far. False when it is not running any more: its process must end."""
    found = conn.execute(
        text("""
            UPDATE training.attempts SET heartbeat_at = now(), progress = coalesce(:progress, progress)
            WHERE id = :id AND state = 'running'
        """),
        {"id": attempt_id, "progress": Jsonb(dict(progress)) if progress is not None else None},
    )
    return found.rowcount == 1


def abandon(conn: Connection, attempt_id: UUID, reason: str) -> bool:
    """Give an attempt up: whatever its process still does, it can register nothing. False when it had ended already."""
    return _end(conn, attempt_id, "abandoned", reason)


def fail_attempt(conn: Connection, attempt_id: UUID, reason: str) -> bool:
    """Record why an attempt failed. False when it had ended already."""
    return _end(conn, attempt_id, "failed", reason)


def _end(conn: Connection, attempt_id: UUID, state: str, reason: str) -> bool:
    found = conn.execute(
        text("""
            UPDATE training.attempts SET state = :state, reason = :reason, finished_at = now()
            WHERE id = :id AND state = 'running'
        """),
        {"id": attempt_id, "state": state, "reason": reason},
    )
    return found.rowcount == 1


def register_adapter(
    conn: Connection,
    attempt_id: UUID,
    *,
    adapter_id: str,
    base_model: str,
    base_hash: str,
    fraction: float,
    parent_id: str | None,
    file_key: str,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    code_revision: str,
    mlflow_run_id: str | None = None,
) -> Adapter:
    """Give the weights of a running attempt the author's next version number, and end the attempt.

    The very weights that are registered already stay the version they are. Raises Refused when the attempt is not running.
    """
    row = (
        conn.execute(text("SELECT * FROM training.attempts WHERE id = :id FOR UPDATE"), {"id": attempt_id})
        .mappings()
        .first()
    )
    if row is None or row["state"] != "running":
        state = "unknown" if row is None else row["state"]
        raise Refused(f"The attempt {attempt_id} is {state}, so what it made is not registered. Train anew.")
    conn.execute(
        text("UPDATE training.attempts SET state = 'done', adapter_id = :adapter, finished_at = now() WHERE id = :id"),
        {"id": attempt_id, "adapter": adapter_id},
    )
    known = conn.execute(text("SELECT version FROM training.adapters WHERE id = :id"), {"id": adapter_id}).scalar()
    if known is None:
        conn.execute(
            text("""
                INSERT INTO training.adapters (id, author_id, version, kind, base_model, base_hash, version_id, fraction,
                    parent_id, attempt_id, file_key, config, metrics, code_revision, mlflow_run_id)
                SELECT :id, :author, coalesce(max(version), 0) + 1, :kind, :base, :base_hash, :dataset, :fraction,
                    :parent, :attempt, :file_key, :config, :metrics, :code, :mlflow
                FROM training.adapters WHERE author_id = :author
            """),
            {
                "id": adapter_id,
                "author": row["author_id"],
                "kind": row["kind"],
                "base": base_model,
                "base_hash": base_hash,
                "dataset": row["version_id"],
                "fraction": fraction,
                "parent": parent_id,
                "attempt": attempt_id,
                "file_key": file_key,
                "config": Jsonb(dict(config)),
                "metrics": Jsonb(dict(metrics)),
                "code": code_revision,
                "mlflow": mlflow_run_id,
            },
        )
    return adapter_by_id(conn, row["author_id"], adapter_id)


def end_search(conn: Connection, attempt_id: UUID) -> None:
    """End an attempt that searched for settings: it registers none. Raises Refused when it is not running."""
    if not _end(conn, attempt_id, "done", "a search for settings"):
        raise Refused(f"The attempt {attempt_id} is not running any more, so what it found is not kept. Search again.")


def find_attempt(conn: Connection, attempt_id: UUID) -> Attempt:
    """An attempt. Raises NotFound."""
    row = conn.execute(text("SELECT * FROM training.attempts WHERE id = :id"), {"id": attempt_id}).mappings().first()
    if row is None:
        raise NotFound(f"There is no attempt {attempt_id}.")
    return Attempt(**row)


def last_attempt(conn: Connection, author_id: UUID) -> Attempt | None:
    """The author's newest attempt, or None."""
    row = conn.execute(
        text("SELECT * FROM training.attempts WHERE author_id = :author ORDER BY started_at DESC LIMIT 1"),
        {"author": author_id},
    ).mappings()
    return next((Attempt(**one) for one in row), None)


_ADAPTERS = "SELECT a.*, v.tainted_at FROM training.adapters a JOIN analytics.adapters v ON v.adapter_id = a.id"


def list_adapters(conn: Connection, author_id: UUID, *, before: int | None = None, limit: int = 50) -> list[Adapter]:
    """The author's adapters, the newest version first; only those older than version `before`, where one is given."""
    rows = conn.execute(
        text(
            f"{_ADAPTERS} WHERE a.author_id = :author AND (CAST(:before AS integer) IS NULL OR a.version < :before) "
            "ORDER BY a.version DESC LIMIT :limit"
        ),
        {"author": author_id, "before": before, "limit": limit},
    ).mappings()
    return [_adapter(row) for row in rows]


def newest_adapter(conn: Connection, author_id: UUID, kind: str) -> Adapter | None:
    """The newest adapter of a kind, or None."""
    rows = conn.execute(
        text(f"{_ADAPTERS} WHERE a.author_id = :author AND a.kind = :kind ORDER BY a.version DESC LIMIT 1"),
        {"author": author_id, "kind": kind},
    ).mappings()
    return next((_adapter(row) for row in rows), None)


def adapter_by_id(conn: Connection, author_id: UUID, adapter_id: str) -> Adapter:
    """One of the author's adapters. Raises NotFound."""
    rows = conn.execute(
        text(f"{_ADAPTERS} WHERE a.author_id = :author AND a.id = :id"), {"author": author_id, "id": adapter_id}
    ).mappings()
    for row in rows:
        return _adapter(row)
    raise NotFound(f"This author has no adapter {adapter_id}.")


def resolve_adapter(conn: Connection, author_id: UUID, key: str) -> Adapter:
    """The author's adapter of this version number (`3` or `v3`). Raises NotFound."""
    number = key.strip().lower().removeprefix("v")
    if number.isdigit():
        rows = conn.execute(
            text(f"{_ADAPTERS} WHERE a.author_id = :author AND a.version = :version"),
            {"author": author_id, "version": int(number)},
        ).mappings()
        for row in rows:
            return _adapter(row)
    raise NotFound(f"There is no adapter `{key}`. `twin models` lists those there are, such as v1.")


def _adapter(row: RowMapping) -> Adapter:
    return Adapter(**row)


def adapters_of_document(conn: Connection, author_id: UUID, document_id: UUID) -> list[int]:
    """The versions of the author's adapters that saw an example of this document, themselves or by their parent."""
    rows = conn.execute(
        text("""
            SELECT DISTINCT version FROM analytics.adapter_documents
            WHERE author_id = :author AND document_id = :document ORDER BY version
        """),
        {"author": author_id, "document": document_id},
    )
    return list(rows.scalars())


def keep_defaults(
    conn: Connection,
    author_id: UUID,
    profile: str,
    *,
    changes: Mapping[str, Any],
    score: float,
    trials: int,
    version_id: str,
) -> None:
    """Store what a search found best for an author, in place of what was found before."""
    conn.execute(
        text("""
            INSERT INTO training.author_defaults (author_id, profile, changes, score, trials, version_id)
            VALUES (:author, :profile, :changes, :score, :trials, :version)
            ON CONFLICT (author_id, profile) DO UPDATE SET changes = excluded.changes, score = excluded.score,
                trials = excluded.trials, version_id = excluded.version_id, found_at = now()
        """),
        {
            "author": author_id,
            "profile": profile,
            "changes": Jsonb(dict(changes)),
            "score": score,
            "trials": trials,
            "version": version_id,
        },
    )


def defaults_of(conn: Connection, author_id: UUID, profile: str) -> dict[str, Any]:
    """The changes to a profile that a search found best for this author; empty when none was made."""
    found = conn.execute(
        text("SELECT changes FROM training.author_defaults WHERE author_id = :author AND profile = :profile"),
        {"author": author_id, "profile": profile},
    ).scalar()
    return dict(found or {})
