"""Training as Dagster runs it: in a process of its own, told in the UI and in MLflow, and never longer than its worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import dagster as dg
import psutil
import pytest

from tests.training.scenario import passages, publish
from twin_assets.definitions import definitions
from twin_assets.mlflow_parent import with_mlflow_settings
from twin_assets.resources import with_settings
from twin_core.errors import Refused
from twin_core.settings import Settings
from twin_core.store import adapters
from twin_core.store.database import Database
from twin_core.training import launch

DEMO = passages("demo/articles")[:24]
BRIEF = {"max_length": 256, "batch": 4, "accumulate": 1, "rank": 8, "epochs": 1, "log_every": 1}


def train(settings: Settings, kind: str, **changes: object) -> tuple[dg.ExecuteInProcessResult, list[str]]:
    """One run of a training job for Ada, and the lines of its log."""
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("authors", ["ada"])
        own = definitions(twin=with_settings(settings), mlflow=with_mlflow_settings(settings))
        result = own.resolve_job_def(kind).execute_in_process(
            run_config={"ops": {f"{kind}_adapter": {"config": {"changes": {**BRIEF, **changes}}}}},
            instance=instance,
            partition_key="ada",
            raise_on_error=False,
        )
        return result, [entry.user_message for entry in instance.all_logs(result.run_id)]


@pytest.fixture
def quiet(settings: Settings) -> Settings:
    return settings.model_copy(update={"mlflow_url": "off"})


def test_without_a_dataset_the_run_fails_and_says_what_to_do(database: Database, quiet: Settings):
    publish(database, "ada", DEMO, held_out=1)
    result, _ = train(quiet, "dpo")
    assert not result.success
    failure = result.get_step_failure_events()[0].step_failure_data
    assert failure.user_failure_data is not None
    assert "twin dataset build" in str(failure.user_failure_data.description)


def test_a_whole_run_goes_on_with_the_sft_adapter_where_there_are_no_pairs_to_learn_from(
    database: Database, quiet: Settings
):
    publish(database, "ada", DEMO, held_out=1)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("authors", ["ada"])
        result = (
            definitions(twin=with_settings(quiet), mlflow=with_mlflow_settings(quiet))
            .resolve_job_def("teach")
            .execute_in_process(
                instance=instance,
                partition_key="ada",
                asset_selection=[dg.AssetKey("dpo_adapter"), dg.AssetKey("evaluation")],
                raise_on_error=False,
            )
        )
    assert result.success
    (shown,) = result.asset_materializations_for_node("dpo_adapter")
    assert "no pairs" in str(shown.metadata["outcome"].value)
    (measured,) = result.asset_materializations_for_node("evaluation")
    assert measured.metadata["adapters"].value == 0, "it looks for the newest of whatever kind"
    with database.transaction() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM training.attempts").scalar() == 0


@pytest.mark.slow
def test_a_run_trains_tells_dagster_and_keeps_the_run_in_mlflow(
    database: Database, settings: Settings, base: str, tmp_path
):
    ada, version = publish(database, "ada", DEMO, held_out=1)
    tracked = settings.model_copy(update={"mlflow_url": f"sqlite:///{tmp_path}/mlflow.db"})
    result, lines = train(tracked, "sft", base=base, max_steps=3)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    told = {name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()}
    assert (told["version"], told["dataset"], told["steps"]) == (1, version, 3)
    assert told["loss_curve"].startswith("![Loss](data:image/png")
    assert told["tokens_per_second"] > 0
    assert any("step 3 of 3" in line and "s left" in line for line in lines)

    # In a process of its own: MLflow leaves threads and settings behind.
    asked = subprocess.run(
        [sys.executable, "-c", _MLFLOW, str(tracked.mlflow_url)], capture_output=True, text=True, check=True
    )
    runs, models = json.loads(asked.stdout.splitlines()[-1])
    parent, child = sorted(runs, key=lambda run: run["parent"] or "")
    assert (parent["status"], child["status"]) == ("FINISHED", "FINISHED")
    assert child["parent"] == parent["id"]
    assert child["params"]["learning_rate"] == "0.002"
    assert {"loss", "tokens_per_second", "final_held_out_loss"} <= set(child["metrics"])
    assert child["digest"] == version[:36]
    assert [(model["tags"]["version"], model["tags"]["dataset_version"]) for model in models] == [("v1", version)]
    with database.transaction() as conn:
        assert adapters.resolve_adapter(conn, ada.id, "v1").mlflow_run_id == child["id"]
    held = " ".join(path.read_text(errors="replace") for path in (settings.home / "mlflow").rglob("*.md"))
    assert not any(passage[:40] in held for _, passage in DEMO)


_MLFLOW = """
import json, sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
print(json.dumps([
    [{"id": run.info.run_id, "status": run.info.status, "parent": run.data.tags.get("mlflow.parentRunId"),
      "params": run.data.params, "metrics": list(run.data.metrics),
      "digest": next((one.dataset.digest for one in run.inputs.dataset_inputs), None)} for run in runs],
    [{"tags": one.tags} for one in client.search_model_versions("name='twin-ada'")],
]))
"""


@pytest.mark.slow
def test_killing_the_worker_ends_the_training_and_its_attempt_cannot_register(
    database: Database, quiet: Settings, base: str
):
    ada, version = publish(database, "ada", DEMO, held_out=1)
    worker = subprocess.Popen([sys.executable, "-c", _WORKER, base], env=launch.environment(quiet))
    try:
        while True:
            assert worker.poll() is None
            with database.transaction() as conn:
                attempt = adapters.last_attempt(conn, ada.id)
            if attempt is not None and attempt.progress.get("step"):
                break
            time.sleep(0.2)
        assert attempt.pid == worker.pid
        (training,) = [
            child for child in psutil.Process(worker.pid).children() if "twin_core.training" in child.cmdline()
        ]
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    _, alive = psutil.wait_procs([training], timeout=5)
    assert not alive
    with database.transaction() as conn:
        adapters.open_attempt(conn, author_id=ada.id, kind="sft", job_hash="j", version_id=version, job={})
    with pytest.raises(Refused, match="abandoned"), database.transaction() as conn:
        adapters.register_adapter(
            conn, attempt.id, adapter_id="a", base_model="b", base_hash="h", fraction=1, parent_id=None, file_key="k",
            config={}, metrics={}, code_revision="1",
        )  # fmt: skip


_WORKER = """
import sys
from tests.graph.test_training import train
from twin_core.settings import settings
train(settings(), "sft", base=sys.argv[1], epochs=200)
"""
