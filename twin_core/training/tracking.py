"""MLflow 3: each attempt a run of its own, under its parent where there is one. For looking and comparing, never for serving.

Written straight into MLflow's database, so no server has to run; with `TWIN_MLFLOW_URL` to a server, or nowhere (`off`). What is
logged are settings, counts, curves and weights, and no text. Each attempt is a new run: a run that is opened again with other
settings would keep the old ones in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from twin_core.runtime.mlflow_store import experiment_id, tracking_uri
from twin_core.settings import Settings
from twin_core.store.adapters import Adapter
from twin_core.training.config import flat
from twin_core.training.job import Job
from twin_core.training.progress import Progress

if TYPE_CHECKING:
    import polars as pl

    from twin_core.training.arguments import Trained

_DIGEST_LENGTH = 36
"""Most characters that MLflow takes for the digest of a dataset."""
_REQUIREMENTS = ["torch", "transformers", "peft"]
"""Given, because MLflow would load the model once more in another process to find out."""


class Run(Protocol):
    """A training as MLflow sees it."""

    def log(self, progress: Progress) -> None:
        """Log the figures of a step."""

    def finish(self, made: Trained, metrics: Mapping[str, Any], base: str) -> str | None:
        """Log what came out. Returns the run's id."""

    def register(self, adapter: Adapter) -> None:
        """Make the adapter a version of the author's registered model."""


def registered_name(author_slug: str) -> str:
    """The name of an author's registered model."""
    return f"twin-{author_slug}"


@contextmanager
def tracked(job: Job, settings: Settings, frame: pl.DataFrame, *, first: bool = True) -> Iterator[Run]:
    """The run of a job, open while the block runs; a block that raises ends it as failed."""
    if job.tracking is None or tracking_uri(settings) is None or not first:
        yield _Nowhere()
        return
    import mlflow

    experiment = experiment_id(settings, job.tracking.experiment)
    mlflow.enable_system_metrics_logging()
    with mlflow.start_run(
        experiment_id=experiment,
        run_name=f"{job.kind} {job.version_id[:12]} {job.fraction:.0%}",
        parent_run_id=job.tracking.parent_run_id,
        tags={
            "author": job.author_slug,
            "kind": job.kind,
            "attempt": str(job.attempt_id),
            "dataset_version": job.version_id,
            "base_model": job.base,
            "parent_adapter": job.parent_id or "",
        },
    ):
        mlflow.log_params({**flat(job.config.model_dump(mode="json", exclude={"shape"})), "fraction": job.fraction})
        known = frame.select("id", "document_id", "category", "origin", "split", "words")
        data = mlflow.data.from_polars(known, name=job.version_id[:12], digest=job.version_id[:_DIGEST_LENGTH])
        mlflow.log_input(data, context="training")
        yield _Mlflow(job)


class _Nowhere:
    def log(self, progress: Progress) -> None:
        """Nothing."""

    def finish(self, made: Trained, metrics: Mapping[str, Any], base: str) -> str | None:  # noqa: ARG002
        return None

    def register(self, adapter: Adapter) -> None:
        """Nothing."""


class _Mlflow:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.logged: Any = None

    def log(self, progress: Progress) -> None:
        import mlflow

        said = {"tokens_per_second": progress.tokens_per_second, "peak_memory": progress.memory, **progress.figures}
        if progress.loss is not None:
            said["loss"] = progress.loss
        mlflow.log_metrics(said, step=progress.step)

    def finish(self, made: Trained, metrics: Mapping[str, Any], base: str) -> str | None:
        import mlflow

        mlflow.log_metrics(
            {f"final_{name}": value for name, value in metrics.items() if isinstance(value, int | float)}
        )
        mlflow.log_artifact(str(made.folder / "README.md"))
        local = {"base_model_path": base} if Path(base).is_dir() and self.job.config.peft != "none" else {}
        self.logged = mlflow.transformers.log_model(
            {"model": made.model, "tokenizer": made.tokenizer},
            name="adapter",
            task="text-generation",
            pip_requirements=_REQUIREMENTS,
            **local,
        )
        run = mlflow.active_run()
        return str(run.info.run_id) if run is not None else None

    def register(self, adapter: Adapter) -> None:
        import mlflow
        from mlflow.exceptions import MlflowException

        client, name = mlflow.MlflowClient(), registered_name(self.job.author_slug)
        try:
            client.create_registered_model(name, description=f"Adapters of the author {self.job.author_slug}.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        client.create_model_version(
            name,
            source=self.logged.model_uri,
            run_id=adapter.mlflow_run_id,
            model_id=self.logged.model_id,
            tags={
                "adapter": adapter.id,
                "version": f"v{adapter.version}",
                "kind": adapter.kind,
                "base_hash": adapter.base_hash,
                "dataset_version": adapter.version_id,
                "code_revision": adapter.code_revision,
                "parent": adapter.parent_id or "",
            },
        )
