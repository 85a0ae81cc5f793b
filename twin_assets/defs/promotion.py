"""Evaluation, approval, champion: from a trained adapter to the one that serves. A person stands between the last two.

The approval is an external asset: a row that a person wrote, which the `approvals` sensor reports. `champion` reads that row and
the evaluation again; what serves is in `serving.deployments`, and what is shown here is a mirror of it.

Annotations are evaluated: Dagster does not understand the ones that `from __future__` leaves as text.
"""

import time
from typing import Any
from uuid import UUID

import dagster as dg
from pydantic import Field

from twin_assets.automation import transient_errors, when_inputs_change
from twin_assets.failing import permanent_errors_are_final
from twin_assets.partitions import author_check, authors
from twin_assets.reports import markdown_table
from twin_assets.resources import Twin
from twin_core.champion.judging import judge
from twin_core.champion.mirror import mirror
from twin_core.champion.promoting import carry_out
from twin_core.errors import TwinError
from twin_core.evaluation.launch import ANSWERS, run_evaluation
from twin_core.models import copies
from twin_core.records import Author
from twin_core.store import adapters, registry
from twin_core.store.authors import author_by_slug
from twin_core.store.files import file_store

PROMOTE = "promote"
LEARN = "learn"
LOOK_SECONDS = 2.0
UNTAINTED, IN_MLFLOW, AS_DECIDED = "untainted", "shown_in_mlflow", "as_decided"

_shared: dict[str, Any] = {
    "partitions_def": authors,
    "group_name": "promotion",
    "owners": ["team:twin"],
    "tags": {"pipeline": "promotion"},
    "retry_policy": transient_errors,
}


class Measuring(dg.Config):
    """What a person may ask of a scorecard."""

    prompts: int = Field(default=ANSWERS, ge=1)
    """Answers to measure, of each system, as `twin evaluate --prompts`: fewer are quicker and say less."""


@dg.asset(  # type: ignore[untyped-decorator]
    **_shared,
    deps=["sft_adapter", "dpo_adapter"],
    kinds={"python", "transformers"},
    code_version="1",
    pool="gpu",
    automation_condition=when_inputs_change,
    description="The scorecard of the author's newest adapter beside the base, the champion and another author's adapter.",
)
def evaluation(context: dg.AssetExecutionContext, config: Measuring, twin: Twin) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Measure the newest adapter, unless it was measured beside the present champion already."""
    with permanent_errors_are_final():
        database = twin.stores.database
        with database.transaction() as conn:
            author = author_by_slug(conn, context.partition_key)
            newest = next(iter(adapters.list_adapters(conn, author.id, limit=1)), None)
            if newest is None:
                return dg.MaterializeResult(metadata={"adapters": 0}, data_version=dg.DataVersion(registry.NOTHING))
            current = registry.serving(conn, author.id)
            made = registry.latest_evaluation(conn, author.id, newest.id)
            beside = current.adapter_id if current is not None and current.adapter_id != newest.id else None
        if made is None or (beside is not None and made.champion_id != beside):
            made = run_evaluation(database, author, newest, settings=twin.settings(), prompts=config.prompts)
        with database.transaction() as conn:
            decision = judge(conn, author.id, newest)
        problem = _mirrored(context, author, twin)
        figures = [
            [rival, axis, f"{one.mean:+.3f}", f"{one.low:+.3f} to {one.high:+.3f}"]
            for rival, axes in made.against.items()
            for axis, one in axes.items()
        ]
        report = file_store(twin.settings()).address(made.report_key) if made.report_key else None
        return dg.MaterializeResult(
            metadata={
                "adapter": f"v{newest.version}",
                "verdict": decision.verdict.value,
                "reasons": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in decision.reasons)),
                "held_out_documents": made.documents,
                "differences": dg.MetadataValue.md(
                    markdown_table(["against", "axis", "difference", "95 % interval"], figures)
                ),
                **({"mlflow": problem} if problem is not None else {}),
                **({"report": dg.MetadataValue.url(report)} if report else {}),
            },
            data_version=dg.DataVersion(str(made.id)),
        )


adapter_approval = dg.AssetSpec(
    "adapter_approval",
    deps=["evaluation"],
    partitions_def=authors,
    group_name="promotion",
    kinds={"person"},
    description="What a person decided on an adapter: `twin approve`, `twin reject`, POST /v1/adapters/{id}/approve.",
)


class Patience(dg.Config):
    """What a person may ask of the last step of a whole run."""

    wait_minutes: float = 0.0
    """For a person's decision on the newest adapter: `twin approve`, `twin reject`, the API. Then the run ends without one."""


@dg.asset(  # type: ignore[untyped-decorator]
    **_shared,
    deps=["adapter_approval", "evaluation"],
    kinds={"python", "postgres"},
    check_specs=[
        author_check(UNTAINTED, "champion", "What serves learnt nothing that was forgotten since."),
        author_check(IN_MLFLOW, "champion", "MLflow's aliases say what serves."),
        author_check(AS_DECIDED, "champion", "The promotion rule let through what a person approved."),
    ],
    code_version="1",
    description="The adapter that serves: approved by a person, judged again, tried, switched to.",
)
def champion(context: dg.AssetExecutionContext, config: Patience, twin: Twin) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Carry out the author's open decisions, the oldest first. One that cannot be carried out does not hold up the rest."""
    with permanent_errors_are_final():
        database = twin.stores.database
        with database.transaction() as conn:
            author = author_by_slug(conn, context.partition_key)
        _await_decision(context, author, twin, minutes=config.wait_minutes)
        with database.transaction() as conn:
            wanted = registry.open_decisions(conn, author.id)
        outcomes, refused, failed = [], [], []
        for one in wanted:
            try:
                done = carry_out(database, author, one.id, settings=twin.settings())
            except TwinError as error:
                failed.append(error)
                continue
            outcomes.append([one.verdict, one.adapter_id[:12], done.state, done.problem or ""])
            if done.state == "refused":
                refused.append(done.problem or "")
        copies.purge(database, twin.settings(), author.id)  # of what was kept only because it served
        if failed:
            raise failed[0]
        problem = _mirrored(context, author, twin)
        with database.transaction() as conn:
            now = registry.standing(conn, author.id)
    return dg.MaterializeResult(
        metadata={
            "serving": now.deployment.served_name if now.deployment is not None else "the base model",
            "tainted": now.tainted,
            "decisions": dg.MetadataValue.md(markdown_table(["verdict", "adapter", "became", "why"], outcomes)),
        },
        data_version=dg.DataVersion(now.version),
        check_results=[
            _warning(
                UNTAINTED,
                None if not now.tainted else "It answers until another one does: train anew, and approve that.",
            ),
            _warning(IN_MLFLOW, problem),
            _warning(AS_DECIDED, " ".join(refused) or None),
        ],
    )


def _warning(name: str, problem: str | None) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name, passed=problem is None, severity=dg.AssetCheckSeverity.WARN, description=problem
    )


def _await_decision(context: dg.AssetExecutionContext, author: Author, twin: Twin, *, minutes: float) -> None:
    """Wait until somebody decided on the newest adapter, or the time is over.

    An approval that the rule refused before decided nothing: the same weights may be measured anew and approved again.
    """
    until = time.monotonic() + minutes * 60
    told = False
    refused_before: UUID | None = None
    while time.monotonic() < until:
        with twin.stores.database.transaction() as conn:
            newest = next(iter(adapters.list_adapters(conn, author.id, limit=1)), None)
            latest = registry.latest_decision(conn, author.id, newest.id) if newest is not None else None
        if not told and latest is not None and latest.state == "refused":
            refused_before = latest.id
        if newest is None or (latest is not None and latest.id != refused_before):
            return
        if not told:
            context.log.info(
                "Waiting up to %g minutes for a decision: twin approve v%d --author %s",
                minutes,
                newest.version,
                author.slug,
            )
            told = True
        time.sleep(LOOK_SECONDS)


def _mirrored(context: dg.AssetExecutionContext, author: Author, twin: Twin) -> str | None:
    """Have MLflow show what the registry says. Why it could not be done is told and stops nothing."""
    problem = mirror(author, twin.settings())
    if problem is not None:
        context.log.warning(problem)
    return problem
