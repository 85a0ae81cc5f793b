"""Full fine-tuning (`peft: none`): what comes out is a model and no adapter, all the way to where it serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.champion.scenario import Bench
from tests.training.scenario import passages, publish, quick
from twin_core.champion import engines
from twin_core.errors import InvalidInput
from twin_core.models import copies
from twin_core.models.adapter_files import adapter_folder, read_card
from twin_core.settings import Settings
from twin_core.store import adapters, registry
from twin_core.store.adapters import Adapter
from twin_core.store.database import Database
from twin_core.store.files import file_store, read_file
from twin_core.training import launch

pytestmark = pytest.mark.slow  # trains, goes on from that by DPO, and merges, each in a process of its own

DEMO = passages("demo/articles")[:24]
OTHERS = [passage for _, passage in passages("docs")]


def trained(database: Database, settings: Settings, base: str, kind: str, version: str) -> Adapter:
    author, _ = publish(database, "mara", DEMO, rejected=OTHERS if kind == "dpo" else (), held_out=1)
    config = quick(base=base, peft="none", max_steps=3, learning_rate=1e-3)
    job = launch.open_job(database, author, kind, config, settings=settings)  # type: ignore[arg-type]
    adapter = launch.run(database, job, settings=settings)
    assert f"v{adapter.version}" == version
    return adapter


def test_a_model_trained_in_full_is_gone_on_from_and_served_whole(
    database: Database, settings: Settings, base: str
) -> None:
    off = settings.model_copy(update={"mlflow_url": "off"})
    first = trained(database, off, base, "sft", "v1")
    second = trained(database, off, base, "dpo", "v2")
    assert second.parent_id == first.id
    files = file_store(off)
    folder = adapter_folder(files, first, off.home / "models")
    assert (folder / "config.json").is_file()
    assert not (folder / "adapter_config.json").exists()
    assert "library_name: transformers" in (read_card(read_file(files, first.file_key)) or "")

    with database.transaction() as conn:
        deployment = registry.begin_deployment(
            conn, author_id=second.author_id, adapter_id=second.id, engine="transformers", served_name="mara-v2", approval_id=None
        )  # fmt: skip
    engines.merge(second, deployment, settings=off, files=files)
    merged = copies.merged_folder(off, "mara-v2")
    assert json.loads((merged / "config.json").read_text())["model_type"] == "llama"
    assert weights(merged) == weights(adapter_folder(files, second, off.home / "models"))
    assert weights(merged) != weights(folder)
    assert weights(folder) != weights(Path(base))


def test_a_server_of_adapters_is_not_given_a_whole_model(bench: Bench) -> None:
    adapter = bench.adapter("one")
    with bench.database.transaction() as conn:
        conn.exec_driver_sql('UPDATE training.adapters SET config = \'{"peft": "none"}\'')
        deployment = registry.begin_deployment(
            conn,
            author_id=bench.author.id,
            adapter_id=adapter.id,
            engine="vllm",
            served_name="ann-v1",
            approval_id=None,
        )
        whole = adapters.adapter_by_id(conn, bench.author.id, adapter.id)
    with pytest.raises(InvalidInput, match="a whole model"):
        engines.bring_up(
            bench.database, deployment, whole, settings=bench.settings, files=file_store(bench.settings), kept=[]
        )


def weights(folder: Path) -> bytes:
    """Of the first layer, as they lie in the file."""
    from safetensors.numpy import load_file

    tensors = load_file(folder / "model.safetensors")
    return bytes(tensors["model.layers.0.mlp.up_proj.weight"].tobytes())
