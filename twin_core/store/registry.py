"""The SQL of the registry: evaluations of adapters, decisions on them, and which one serves.

What may be promoted is decided in `promotion.py`, how an adapter comes to serve in `champion/`; adapters themselves
are in `adapters.py`. Nothing here holds text of anybody: the report of an evaluation is a file (`filed.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, text

from twin_core.errors import NotFound, Refused
from twin_core.records import Difference

Verdict = Literal["approve", "reject"]
LOADED = ("serving", "previous")
"""States of a deployment whose model is kept loaded, so that switching between them takes one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One scorecard, as figures."""

    id: UUID
    author_id: UUID
    adapter_id: str
    version_id: str
    split_id: str
    """Of the held-out documents: equal for two evaluations on the same ones."""
    documents: int
    champion_id: str | None
    """The adapter that served when it was made, and was measured beside it."""
    against: Mapping[str, Mapping[str, Difference]]
    figures: Mapping[str, Mapping[str, float | None]]
    """System -> metric -> mean."""
    notes: tuple[str, ...]
    """What must be known to read the figures: what stood in for what, which models measured, what could not be measured."""
    report_key: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What a person decided, and what became of it."""

    id: UUID
    author_id: UUID
    adapter_id: str
    verdict: Verdict
    by: str
    reason: str | None
    at: datetime
    state: Literal["requested", "done", "refused"]
    attempts: int
    decision: Mapping[str, Any] | None
    """The promotion rule's verdict and reasons when it was acted on."""
    problem: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """An adapter in an LLM server. `since` is when its state began."""

    id: UUID
    author_id: UUID
    adapter_id: str
    engine: str
    served_name: str
    """What a request must say as `model`."""
    url: str | None
    """Of the server, without /v1, where it is one that serves this adapter alone."""
    state: str
    approval_id: UUID | None
    previous_id: UUID | None
    reason: str | None
    at: datetime
    since: datetime


NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What answers for an author now."""

    deployment: Deployment | None
    """None: the base model."""
    tainted: bool
    """A document was forgotten that the adapter learnt. It answers until another one does."""
    changed_at: datetime | None
    """When any adapter of the author was last brought up, switched to, or given up; None: never."""

    @property
    def version(self) -> str:
        """Another one whenever what serves is another, or is tainted."""
        if self.deployment is None:
            return NOTHING
        return self.deployment.adapter_id + (", tainted" if self.tainted else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """How much an adapter, with those it goes on from, was trained on."""

    examples: int
    newest_at: datetime | None
    """When its newest document was written."""


def add_evaluation(
    conn: Connection,
    *,
    author_id: UUID,
    adapter_id: str,
    version_id: str,
    split_id: str,
    documents: int,
    champion_id: str | None,
    against: Mapping[str, Mapping[str, Difference]],
    figures: Mapping[str, Mapping[str, float | None]],
    report_key: str | None,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Store what an evaluation found. The notes outlive the documents, so they hold nobody's text."""
    stored = {rival: {axis: asdict(found) for axis, found in axes.items()} for rival, axes in against.items()}
    row = conn.execute(
        text("""
            INSERT INTO training.evaluations
                (id, author_id, adapter_id, version_id, split_id, documents, champion_id, against, figures, notes,
                 report_key)
            VALUES (:id, :author, :adapter, :version, :split, :documents, :champion, :against, :figures, :notes, :report)
            RETURNING *
        """),
        {
            "id": uuid4(),
            "author": author_id,
            "adapter": adapter_id,
            "version": version_id,
            "split": split_id,
            "documents": documents,
            "champion": champion_id,
            "against": Jsonb(stored),
            "figures": Jsonb({name: dict(one) for name, one in figures.items()}),
            "notes": list(notes),
            "report": report_key,
        },
    )
    return _evaluation(dict(row.mappings().one()))


def set_report(conn: Connection, evaluation_id: UUID, key: str) -> Evaluation:
    """Name the file that shows the evaluation, and return it."""
    row = conn.execute(
        text("UPDATE training.evaluations SET report_key = :key WHERE id = :id RETURNING *"),
        {"id": evaluation_id, "key": key},
    )
    return _evaluation(dict(row.mappings().one()))


def evaluation_by_id(conn: Connection, author_id: UUID, evaluation_id: UUID) -> Evaluation:
    """One evaluation. Raises NotFound."""
    rows = conn.execute(
        text("SELECT * FROM training.evaluations WHERE author_id = :author AND id = :id"),
        {"author": author_id, "id": evaluation_id},
    ).mappings()
    for row in rows:
        return _evaluation(dict(row))
    raise NotFound(f"There is no evaluation {evaluation_id} of this author.")


def documents_learnt(conn: Connection, author_id: UUID, adapter_id: str) -> set[UUID]:
    """The documents that an adapter was trained on, or that its prompts quoted."""
    rows = conn.execute(
        text("SELECT document_id FROM analytics.adapter_documents WHERE author_id = :author AND adapter_id = :adapter"),
        {"author": author_id, "adapter": adapter_id},
    )
    return set(rows.scalars())


def rival_of(conn: Connection, author_id: UUID, base_hash: str) -> tuple[UUID, str] | None:
    """(author, adapter) of the newest adapter of another author on the same base that may be used; None without one."""
    row = conn.execute(
        text("""
            SELECT a.author_id, a.id FROM training.adapters a JOIN analytics.adapters v ON v.adapter_id = a.id
            WHERE a.author_id <> :author AND a.base_hash = :base AND v.tainted_at IS NULL
            ORDER BY a.created_at DESC, a.id LIMIT 1
        """),
        {"author": author_id, "base": base_hash},
    ).first()
    return (row[0], row[1]) if row is not None else None


def latest_evaluation(conn: Connection, author_id: UUID, adapter_id: str) -> Evaluation | None:
    """The last evaluation of an adapter, or None."""
    rows = conn.execute(
        text("""
            SELECT * FROM training.evaluations WHERE author_id = :author AND adapter_id = :adapter
            ORDER BY at DESC, id LIMIT 1
        """),
        {"author": author_id, "adapter": adapter_id},
    ).mappings()
    return next((_evaluation(dict(row)) for row in rows), None)


def split_measured_on(conn: Connection, author_id: UUID, adapter_id: str) -> str | None:
    """The test split that an adapter was measured on last, as a challenger or as the champion beside one."""
    return conn.execute(
        text("""
            SELECT split_id FROM training.evaluations
            WHERE author_id = :author AND :adapter IN (adapter_id, champion_id) ORDER BY at DESC, id LIMIT 1
        """),
        {"author": author_id, "adapter": adapter_id},
    ).scalar()


def learnt(conn: Connection, author_id: UUID, adapter_id: str) -> Learnt:
    """What an adapter was trained on. Zero when all of it was forgotten since."""
    row = conn.execute(
        text("""
            SELECT coalesce(sum(t.examples), 0)::int, max(coalesce(c.written_at, d.created_at))
            FROM analytics.adapter_documents t
            JOIN warehouse.documents d ON d.id = t.document_id
            LEFT JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
            WHERE t.author_id = :author AND t.adapter_id = :adapter AND t.examples > 0
        """),
        {"author": author_id, "adapter": adapter_id},
    ).one()
    return Learnt(examples=row[0], newest_at=row[1])


def examples_newer_than(conn: Connection, author_id: UUID, adapter_id: str, moment: datetime) -> int:
    """Of what an adapter was trained on, the examples from documents written after this moment."""
    found = conn.execute(
        text("""
            SELECT coalesce(sum(t.examples), 0)::int
            FROM analytics.adapter_documents t
            JOIN warehouse.documents d ON d.id = t.document_id
            LEFT JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
            WHERE t.author_id = :author AND t.adapter_id = :adapter AND coalesce(c.written_at, d.created_at) > :moment
        """),
        {"author": author_id, "adapter": adapter_id, "moment": moment},
    ).scalar_one()
    return int(found)


def decide(
    conn: Connection, *, author_id: UUID, adapter_id: str, verdict: Verdict, by: str, reason: str | None
) -> UUID:
    """Record a person's decision; the promotion that follows from an approval is asked for by the same row.

    Approving again what is approved and not yet acted on is that approval.
    """
    values = {"author": author_id, "adapter": adapter_id, "verdict": verdict}
    there = conn.execute(
        text("""
            SELECT id FROM training.approvals WHERE author_id = :author AND adapter_id = :adapter
               AND verdict = :verdict AND state = 'requested' ORDER BY at LIMIT 1
        """),
        values,
    ).scalar()
    if there is not None:
        return UUID(str(there))
    made = uuid4()
    conn.execute(
        text("""
            INSERT INTO training.approvals (id, author_id, adapter_id, verdict, by, reason)
            VALUES (:id, :author, :adapter, :verdict, :by, :reason)
        """),
        values | {"id": made, "by": by, "reason": reason},
    )
    return made


def approval(conn: Connection, author_id: UUID, approval_id: UUID) -> Approval:
    """One decision. Raises NotFound."""
    rows = conn.execute(
        text("SELECT * FROM training.approvals WHERE author_id = :author AND id = :id"),
        {"author": author_id, "id": approval_id},
    ).mappings()
    for row in rows:
        return Approval(**row)
    raise NotFound(f"There is no decision {approval_id} of this author.")


def latest_decision(conn: Connection, author_id: UUID, adapter_id: str) -> Approval | None:
    """What was decided last on an adapter, or None."""
    rows = conn.execute(
        text("""
            SELECT * FROM training.approvals WHERE author_id = :author AND adapter_id = :adapter
            ORDER BY at DESC, id LIMIT 1
        """),
        {"author": author_id, "adapter": adapter_id},
    ).mappings()
    return next((Approval(**row) for row in rows), None)


def open_decisions(conn: Connection, author_id: UUID | None = None) -> list[Approval]:
    """Decisions that were not acted on, the oldest first; of one author, or of all."""
    rows = conn.execute(
        text("""
            SELECT * FROM training.approvals WHERE state = 'requested'
               AND (CAST(:author AS uuid) IS NULL OR author_id = :author) ORDER BY at, id
        """),
        {"author": author_id},
    ).mappings()
    return [Approval(**row) for row in rows]


def decisions_since(conn: Connection, moment: datetime | None) -> list[Approval]:
    """What was decided since then on adapters of all authors, whatever became of it; None: ever. The oldest first."""
    rows = conn.execute(
        text("""
            SELECT * FROM training.approvals WHERE CAST(:moment AS timestamptz) IS NULL OR at >= :moment ORDER BY at, id
        """),
        {"moment": moment},
    ).mappings()
    return [Approval(**row) for row in rows]


def finish_decision(
    conn: Connection,
    approval_id: UUID,
    *,
    state: Literal["done", "refused"],
    decision: Mapping[str, Any] | None,
    problem: str | None = None,
) -> None:
    """Close a decision: it was carried out, or the rule refused it."""
    conn.execute(
        text("""
            UPDATE training.approvals SET state = :state, decision = :decision, problem = :problem, finished_at = now(),
                attempts = attempts + 1
            WHERE id = :id AND state = 'requested'
        """),
        {
            "id": approval_id,
            "state": state,
            "decision": Jsonb(dict(decision)) if decision is not None else None,
            "problem": problem,
        },
    )


def keep_problem(conn: Connection, approval_id: UUID, problem: str) -> None:
    """Say why a decision could not be carried out yet. It stays open."""
    conn.execute(
        text("UPDATE training.approvals SET problem = :problem, attempts = attempts + 1 WHERE id = :id"),
        {"id": approval_id, "problem": problem},
    )


def serving(conn: Connection, author_id: UUID) -> Deployment | None:
    """What answers for the author; None when the base model alone does."""
    return next(iter(deployments(conn, author_id, states=["serving"])), None)


def standing(conn: Connection, author_id: UUID) -> Standing:
    """What answers for the author, in the words of whoever mirrors it."""
    now = serving(conn, author_id)
    changed = conn.execute(
        text("SELECT max(since) FROM serving.deployments WHERE author_id = :author"), {"author": author_id}
    ).scalar()
    tainted = now is not None and _tainted(conn, now.adapter_id)
    return Standing(deployment=now, tainted=tainted, changed_at=changed)


def deployments(
    conn: Connection, author_id: UUID | None = None, *, states: Collection[str] = (), engine: str | None = None
) -> list[Deployment]:
    """Deployments, the latest first: of one author or of all, in any of these states (default: all)."""
    rows = conn.execute(
        text("""
            SELECT * FROM serving.deployments
            WHERE (CAST(:author AS uuid) IS NULL OR author_id = :author)
              AND (cardinality(CAST(:states AS text[])) = 0 OR state = ANY(:states))
              AND (CAST(:engine AS text) IS NULL OR engine = :engine)
            ORDER BY at DESC, id
        """),
        {"author": author_id, "states": list(states), "engine": engine},
    ).mappings()
    return [Deployment(**row) for row in rows]


def begin_deployment(
    conn: Connection, *, author_id: UUID, adapter_id: str, engine: str, served_name: str, approval_id: UUID | None
) -> Deployment:
    """Record that an adapter is being brought up. What did not come up before is given up by this."""
    conn.execute(
        text("""
            UPDATE serving.deployments SET state = 'failed', since = now(), reason = 'another one was begun'
            WHERE author_id = :author AND state = 'starting'
        """),
        {"author": author_id},
    )
    row = conn.execute(
        text("""
            INSERT INTO serving.deployments (id, author_id, adapter_id, engine, served_name, approval_id, previous_id)
            VALUES (:id, :author, :adapter, :engine, :name, :approval,
                    (SELECT id FROM serving.deployments WHERE author_id = :author AND state = 'serving'))
            RETURNING *
        """),
        {
            "id": uuid4(),
            "author": author_id,
            "adapter": adapter_id,
            "engine": engine,
            "name": served_name,
            "approval": approval_id,
        },
    )
    return Deployment(**row.mappings().one())


def set_url(conn: Connection, deployment_id: UUID, url: str | None) -> None:
    """Say where a deployment's own server answers; None while it does not."""
    conn.execute(text("UPDATE serving.deployments SET url = :url WHERE id = :id"), {"id": deployment_id, "url": url})


def fail_deployment(conn: Connection, deployment_id: UUID, reason: str) -> None:
    """Give up an adapter that did not come up."""
    conn.execute(
        text("""
            UPDATE serving.deployments SET state = 'failed', since = now(), reason = :reason
            WHERE id = :id AND state = 'starting'
        """),
        {"id": deployment_id, "reason": reason},
    )


def switch_to(conn: Connection, deployment: Deployment) -> None:
    """Let a deployment that came up serve; what served stays loaded, unless it is tainted; what was kept before that does not.

    Raises Refused when it was given up meanwhile.
    """
    before = serving(conn, deployment.author_id)
    _move(conn, deployment.author_id, "previous", "stopped", "superseded")
    tainted = before is not None and _tainted(conn, before.adapter_id)
    _move(conn, deployment.author_id, "serving", "stopped" if tainted else "previous", "superseded")
    moved = conn.execute(
        text("UPDATE serving.deployments SET state = 'serving', since = now() WHERE id = :id AND state = 'starting'"),
        {"id": deployment.id},
    )
    if moved.rowcount != 1:
        raise Refused("Another adapter was being brought up meanwhile, so this one does not serve. Approve it again.")


def go_back(conn: Connection, author_id: UUID, reason: str) -> Deployment | None:
    """Let the adapter that served before serve again, at once; None when it is the base model that does.

    From one that saw a forgotten document there is always a way back, at least to the base model. Raises NotFound when none
    serves, Refused when the one before is not loaded any more or saw a forgotten document itself.
    """
    now = conn.execute(
        text("SELECT * FROM serving.deployments WHERE author_id = :author AND state = 'serving' FOR UPDATE"),
        {"author": author_id},
    ).mappings()
    current = next((Deployment(**row) for row in now), None)
    if current is None:
        raise NotFound("No adapter serves: the base model answers already.")
    before = next(iter(deployments(conn, author_id, states=["previous"])), None)
    fit = before is not None and not _tainted(conn, before.adapter_id)
    if not fit and _tainted(conn, current.adapter_id):
        before = None  # what may not serve is left for the base model, where nothing better is loaded
    elif before is None and current.previous_id is not None:
        raise Refused(
            "The adapter that served before is not loaded any more: it was left once already, or a document that it learnt was "
            "forgotten. Approve another adapter, or train anew."
        )
    elif before is not None and not fit:
        raise Refused(
            f"{before.served_name} was trained on a document that was forgotten since, so it may not serve. Train anew."
        )
    _move(conn, author_id, "serving", "withdrawn", reason)
    if before is None:
        return None
    conn.execute(
        text("UPDATE serving.deployments SET state = 'serving', since = now(), reason = :reason WHERE id = :id"),
        {"id": before.id, "reason": reason},
    )
    return serving(conn, author_id)


def withdraw_all(conn: Connection, author_id: UUID, reason: str) -> None:
    """Nothing of the author serves, or is loaded to go back to, any more."""
    for state in ("starting", *LOADED):
        _move(conn, author_id, state, "withdrawn", reason)


def _tainted(conn: Connection, adapter_id: str) -> bool:
    found = conn.execute(
        text("SELECT tainted_at IS NOT NULL FROM analytics.adapters WHERE adapter_id = :id"), {"id": adapter_id}
    ).scalar()
    return bool(found)


def _move(conn: Connection, author_id: UUID, state: str, to: str, reason: str) -> None:
    conn.execute(
        text("""
            UPDATE serving.deployments SET state = :to, since = now(), reason = :reason
            WHERE author_id = :author AND state = :state
        """),
        {"author": author_id, "state": state, "to": to, "reason": reason},
    )


def _evaluation(row: dict[str, Any]) -> Evaluation:
    against = {rival: {axis: Difference(**one) for axis, one in axes.items()} for rival, axes in row["against"].items()}
    return Evaluation(**{**row, "against": against, "notes": tuple(row["notes"])})
