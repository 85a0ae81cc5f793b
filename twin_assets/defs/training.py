"""Training: adapters from dataset versions, each trained in a process of its own through Dagster Pipes.

An asset here opens an attempt, starts the process and tells what it registered. What the process does is in
`twin_core.training`; that it ends when this worker does, and that an attempt which was given up registers nothing, too.
Torch and MLflow are never imported by the code location: the first lives in that process, the second is loaded when a run trains.

Annotations are evaluated: Dagster does not understand the ones that `from __future__` leaves as text.
"""

from typing import Any

import dagster as dg
from dagster._core.errors import DagsterPipesExecutionError

from twin_assets.failing import permanent_errors_are_final
from twin_assets.mlflow_parent import MlflowParent, close_mlflow_run
from twin_assets.partitions import authors
from twin_assets.plots import curve
from twin_assets.resources import Twin
from twin_core.records import Author, ExampleKind
from twin_core.store import datasets
from twin_core.store.adapters import Adapter
from twin_core.store.authors import author_by_slug
from twin_core.training import launch
from twin_core.training.job import TRAINING_VERSION, Kind, Tracking

GPU = "gpu"
"""The pool that training holds: one at a time on a machine, until `dagster.yaml` says that there is room for more."""
TEACH = "teach"
"""The job that makes the pairs itself: where there are none to be made, it leaves DPO out and goes on with the SFT adapter."""
NOTHING = "nothing"
"""Data version of an adapter that was left out."""

_shared: dict[str, Any] = {
    "partitions_def": authors,
    "group_name": "training",
    "owners": ["team:twin"],
    "tags": {"pipeline": "training"},
    "kinds": {"python", "pytorch", "mlflow"},
    "pool": GPU,
    "code_version": TRAINING_VERSION,
    "hooks": {close_mlflow_run},
}


class TrainingOptions(dg.Config):
    """What a person, or a sensor, may ask of a training."""

    profile: str | None = None
    """A profile's name or a YAML file. Default: TWIN_TRAINING_PROFILE."""
    changes: dict[str, Any] = {}  # noqa: RUF012  Dagster's configuration classes copy their defaults
    """Settings on top of the profile and of what a search found."""
    dataset: str | None = None
    """A dataset version. Default: the current one."""
    fraction: float = 1.0
    parent: str | None = None
    """For DPO: the SFT adapter to go on from. Default: the newest."""
    resume: bool = True


@dg.asset(  # type: ignore[untyped-decorator]
    **_shared,
    deps=["instruct_dataset"],
    description="An adapter fine-tuned on the author's own passages: a version in the registry, not yet evaluated.",
)
def sft_adapter(
    context: dg.AssetExecutionContext,
    config: TrainingOptions,
    twin: Twin,
    mlflow: MlflowParent,
    pipes: dg.PipesSubprocessClient,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Train on the instruct version."""
    return _trained(context, config, twin, mlflow, pipes, kind="sft")


@dg.asset(  # type: ignore[untyped-decorator]
    **_shared,
    deps=[sft_adapter, "preference_dataset"],
    description="The SFT adapter moved on towards the author's text and away from what models wrote in its place.",
)
def dpo_adapter(
    context: dg.AssetExecutionContext,
    config: TrainingOptions,
    twin: Twin,
    mlflow: MlflowParent,
    pipes: dg.PipesSubprocessClient,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Train on the preference version, from the newest SFT adapter."""
    return _trained(context, config, twin, mlflow, pipes, kind="dpo")


def _trained(
    context: dg.AssetExecutionContext,
    config: TrainingOptions,
    twin: Twin,
    mlflow: MlflowParent,
    pipes: dg.PipesSubprocessClient,
    *,
    kind: Kind,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    settings, database = twin.settings(), twin.stores.database
    with permanent_errors_are_final():
        with database.transaction() as conn:
            author = author_by_slug(conn, context.partition_key)
            pairs = datasets.current_version(conn, author.id, ExampleKind.PREFERENCE)
        if kind == "dpo" and context.job_name == TEACH and not config.dataset and (pairs is None or pairs.tainted_at):
            told = "Left out: there are no pairs to learn from. `preference_dataset` says why; what follows goes on with the SFT adapter."
            context.log.warning(told)
            return dg.MaterializeResult(metadata={"outcome": told}, data_version=dg.DataVersion(NOTHING))
        profile = config.profile or settings.training_profile
        run_id = mlflow.run_id()
        job = launch.open_job(
            database,
            author,
            kind,
            launch.config_for(database, author, profile, config.changes, settings=settings),
            settings=settings,
            profile=profile,
            dataset=config.dataset,
            fraction=config.fraction,
            parent=config.parent,
            resume=config.resume,
            tracking=Tracking(experiment=author.slug, parent_run_id=run_id) if run_id else None,
        )
        code = 0
        try:
            pipes.run(context=context, command=launch.command(job), env=launch.environment(settings))
        except dg.DagsterExecutionInterruptedError:
            launch.give_up(database, job, "the run was cancelled")
            raise
        except DagsterPipesExecutionError:
            code = 1
        adapter = launch.outcome(database, job, code)
        return dg.MaterializeResult(metadata=_metadata(author, adapter), data_version=dg.DataVersion(adapter.id))


def _metadata(author: Author, adapter: Adapter) -> dict[str, Any]:
    found = adapter.metrics
    metadata: dict[str, Any] = {
        "version": adapter.version,
        "adapter": adapter.id,
        "author": author.slug,
        "base": adapter.base_model,
        "dataset": adapter.version_id,
        "fraction": adapter.fraction,
        "peak_memory_gib": round(found["peak_memory"] / 2**30, 2),
        "mlflow_run": adapter.mlflow_run_id or "",
        "loss_curve": dg.MetadataValue.md(curve(dict(found["curve"]), title="Loss", unit="steps")),
    }
    names = ("loss", "held_out_loss", "held_out_preferred", "steps", "tokens", "seconds", "tokens_per_second", "rows")
    return metadata | {name: round(found[name], 4) for name in names if name in found}
