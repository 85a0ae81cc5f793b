"""All that makes a twin in one run of the graph: datasets, SFT, DPO, scorecard, a person's word, the champion."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.champion.lora_server import LoraServer
from tests.champion.scenario import ABOVE, LEVEL
from tests.datasets.scenario import prose
from tests.graph.scenario import Story
from twin_assets.definitions import definitions
from twin_assets.mlflow_parent import with_mlflow_settings
from twin_assets.resources import with_settings
from twin_core.promotion import GUARDRAILS
from twin_core.store import adapters, registry

pytestmark = pytest.mark.slow  # trains twice and evaluates, each in a process of its own

BRIEF = {"max_length": 2048, "batch": 2, "rank": 8, "epochs": 1, "log_every": 1, "max_steps": 2}
NOTES = {f"note{number}": f"# Note {number}\n\n{prose(number, 7)}\n" for number in range(60)}
"""Of a hundred words each, a length at which so few words calibrate a ruler: the held-out ones are then as typical as they are."""
PROMPTS = 4
ORDER = ["instruct_dataset", "preference_dataset", "sft_adapter", "dpo_adapter", "evaluation", "champion"]


@pytest.fixture
def engine() -> Iterator[LoraServer]:
    server = LoraServer(says={"base": " ".join(prose(number) for number in range(900, 904))})
    server.start()
    yield server
    server.stop()


def approve_when_measured(story: Story, ending: threading.Event) -> None:
    """A person who reads the scorecard and approves. Two steps teach nothing, so the figures are better ones, by hand."""
    while not ending.is_set():
        with story.database.transaction() as conn:
            newest = next(iter(adapters.list_adapters(conn, story.author.id, limit=1)), None)
            made = registry.latest_evaluation(conn, story.author.id, newest.id) if newest is not None else None
            if newest is not None and made is not None and made.report_key is not None:
                won = {"style": ABOVE, **dict.fromkeys(GUARDRAILS, LEVEL), "fit": ABOVE}
                registry.add_evaluation(
                    conn, author_id=story.author.id, adapter_id=newest.id, version_id=made.version_id,
                    split_id=made.split_id, documents=60, champion_id=None,
                    against={"base": won, "other author": won}, figures=made.figures, report_key=made.report_key,
                )  # fmt: skip
                registry.decide(
                    conn, author_id=story.author.id, adapter_id=newest.id, verdict="approve", by="Ann", reason=None
                )
                return
        time.sleep(0.5)


def test_one_run_leads_from_texts_to_a_champion_that_a_person_approved(
    story: Story, tmp_path: Path, base: str, engine: LoraServer
) -> None:
    story.settings = story.settings.model_copy(
        update={
            "llm_url": engine.url, "llm_engine": "vllm", "llm_model": "base", "llm_adapters": tmp_path / "adapters",
            "dataset_instructions": "rules", "dataset_pairs": 16, "dataset_context_passages": 1, "mlflow_url": "off",
        }
    )  # fmt: skip
    story.definitions = definitions(twin=with_settings(story.settings), mlflow=with_mlflow_settings(story.settings))
    story.folder(tmp_path / "notes", **NOTES)
    assert story.refresh()[0].success

    ending = threading.Event()
    person = threading.Thread(target=approve_when_measured, args=(story, ending))
    person.start()
    training = {"config": {"changes": {**BRIEF, "base": base}}}
    try:
        result = story.definitions.resolve_job_def("teach").execute_in_process(
            instance=story.instance,
            partition_key="ann",
            raise_on_error=False,
            run_config={
                "ops": {
                    "sft_adapter": training,
                    "dpo_adapter": training,
                    "evaluation": {"config": {"prompts": PROMPTS}},
                    "champion": {"config": {"wait_minutes": 5}},
                },
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
    finally:
        ending.set()
        person.join()

    assert result.success, [one.step_failure_data for one in result.get_step_failure_events()]
    made = [event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key]
    assert made == ORDER
    told = {asset: materialised(result, asset) for asset in ORDER}
    # Each of the thirty held-out notes is asked about as well, and of those that are learnt the third that chance picks.
    assert 60 + 30 < told["instruct_dataset"]["examples"] < 60 + 30 + 20
    assert told["preference_dataset"]["examples"] == 16
    with story.database.transaction() as conn:
        dpo, sft = adapters.list_adapters(conn, story.author.id)
        now = registry.standing(conn, story.author.id).deployment
    assert (dpo.kind, dpo.parent_id, sft.kind) == ("dpo", sft.id, "sft")
    assert sft.version_id == told["instruct_dataset"]["version"]
    assert dpo.version_id == told["preference_dataset"]["version"]
    assert dpo.file_key != sft.file_key
    assert (told["evaluation"]["adapter"], told["evaluation"]["held_out_documents"]) == ("v2", PROMPTS)
    assert now is not None
    assert (now.adapter_id, now.served_name) == (dpo.id, "ann-v2")
    assert told["champion"]["serving"] == "ann-v2"
    assert all(one.passed for one in result.get_asset_check_evaluations())
    assert list(engine.loaded) == ["ann-v2"]


def materialised(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}
