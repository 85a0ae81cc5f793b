"""The MLflow run of a Dagster run: dagster-mlflow's, under which the training process opens runs of its own.

dagster-mlflow takes ten seconds to import, so it is loaded when a step that trains starts, and neither the code location nor a
refresh ever does. Its hook, which closes the run when the last step ended, needs it imported to be attached; the hook here attaches
in its place and calls it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core.definitions.decorators.hook_decorator import event_list_hook
from dagster._core.definitions.events import HookExecutionResult
from pydantic import PrivateAttr

from twin_core.runtime.mlflow_store import experiment_id, tracking_uri
from twin_core.runtime.services import QUIET
from twin_core.settings import settings as settings_of_this_process


class MlflowParent(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The run of dagster-mlflow for this Dagster run; none when TWIN_MLFLOW_URL is `off`.

    Its address is no configuration: it may hold a password, and configuration is stored with the run.
    """

    _mlflow: Any = PrivateAttr(default=None)

    def settings(self) -> Any:
        """The settings of this process. `with_mlflow_settings` gives a resource with other ones."""
        return settings_of_this_process()

    def run_id(self) -> str | None:
        """The run's id, for the process that opens runs under it."""
        return (
            None if self._mlflow is None else str(self._mlflow.mlflow_run_id or self._mlflow.active_run().info.run_id)
        )

    def end(self, events: Sequence[Any], context: Any) -> None:
        """Close the run as dagster-mlflow's hook does: failed when this step did, else with the run's last step."""
        if self._mlflow is None:
            return
        if any(event.is_step_failure for event in events):
            self._mlflow.end_run(status="FAILED")
        elif any(event.is_step_success for event in events) and context.op.name == _last_step(context):
            self._mlflow.end_run()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[MlflowParent]:
        """Open the run of this Dagster run, or find the one that an earlier step opened. A sensor has none to open."""
        uri = tracking_uri(self.settings())
        if uri is None or context.dagster_run is None:
            yield self
            return
        import os

        os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
        from dagster_mlflow import mlflow_tracking

        name = str(context.dagster_run.tags.get("dagster/partition"))
        experiment_id(self.settings(), name)
        opened = mlflow_tracking.resource_fn(  # type: ignore[call-arg]
            context.replace_config(
                {"experiment_name": name, "mlflow_tracking_uri": uri, "env": {}, "extra_tags": {"author": name}}
            )
        )
        self._mlflow = next(opened)
        try:
            yield self
        finally:
            next(opened, None)
            if self._mlflow.active_run() is not None:  # the last step of the run was none that trains
                self._mlflow.end_run()
            self._mlflow = None


def with_mlflow_settings(settings: Any) -> MlflowParent:
    """A resource with these settings: for tests and for runs in the process of a command."""

    class Given(MlflowParent):
        def settings(self) -> Any:
            return settings

    return Given()


def _last_step(context: Any) -> str:
    job = context._step_execution_context.job_def  # noqa: SLF001  as dagster-mlflow's own hook finds it
    return str(job.nodes_in_topological_order[-1].name)


@event_list_hook(required_resource_keys={"mlflow"})
def close_mlflow_run(context: Any, event_list: Sequence[Any]) -> HookExecutionResult:
    """Close the MLflow run with the Dagster run."""
    context.resources.mlflow.end(event_list, context)
    return HookExecutionResult(hook_name="close_mlflow_run", is_skipped=False)
