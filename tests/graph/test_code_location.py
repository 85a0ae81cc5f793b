"""What loading the code location costs, and that Dagster's own files name what is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.instance import InstanceRef

from twin_assets.definitions import defs
from twin_assets.storage import URL_VARIABLE, TwinDagsterStorage

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "sentence_transformers", "great_expectations", "mlflow", "matplotlib", "pandas")


def test_the_code_location_never_imports_a_heavy_library() -> None:
    code = (
        "import sys, twin_assets.definitions as d; d.defs.get_repository_def();"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert said.stdout.strip() == "[]"


def test_the_graph_shows_the_whole_product() -> None:
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert keys >= {
        *("raw_documents", "cleaned_documents", "chunks", "embeddings", "refresh_outcome"),
        *("platforms/folder", "platforms/web", "platforms/git"),
        *("evaluation", "adapter_approval", "champion"),
        *("warehouse", "retrieval", "llm_server", "answers"),
    }


def test_every_asset_says_whose_it_is_and_which_version_made_it() -> None:
    for asset in defs.resolve_asset_graph().assets_defs:
        for spec in asset.specs:
            if spec.metadata.get("dagster/auto_created_stub_asset"):
                continue  # named as an input only
            assert spec.description
            assert spec.kinds
            assert spec.group_name != "default"
            if asset.is_executable and spec.key != dg.AssetKey("refresh_outcome"):
                assert spec.code_version
                assert spec.owners
                assert spec.tags


def test_sensors_run_without_being_switched_on() -> None:
    sensors = defs.get_repository_def().sensor_defs
    assert {sensor.name for sensor in sensors} == {
        *("due_sources", "forget_requests", "approvals", "retrain", "old_traces", "automation", "failure_alert")
    }
    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.RUNNING}


def test_dagster_yaml_is_valid_and_finds_its_database_without_configuration(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "postgresql+psycopg2://nobody@nowhere/dagster")
    ref = InstanceRef.from_dir(str(tmp_path), config_dir=str(ROOT))
    assert ref.storage_data.class_name == TwinDagsterStorage.__name__
    assert ref.settings["telemetry"] == {"enabled": False}
    assert ref.settings["concurrency"]["pools"]["granularity"] == "run"
    assert ref.settings["run_monitoring"]["free_slots_after_run_end_seconds"] > 0


def test_the_workspace_names_the_code_location() -> None:
    (location,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert location["python_module"]["module_name"] == "twin_assets.definitions"
