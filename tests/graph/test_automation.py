"""The backstop over several ticks: a changed data version wakes the stages after it, a quiet refresh wakes nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.events import DagsterEvent, DagsterEventType, EventSpecificData, StepMaterializationData
from dagster._core.utils import make_new_run_id

from twin_assets.definitions import defs
from twin_assets.partitions import AUTHORS

CHAIN = ("raw_documents", "cleaned_documents", "chunks", "embeddings")


@dataclass
class Days:
    instance: dg.DagsterInstance
    cursor: AssetDaemonCursor | None = None

    def tick(self) -> dict[str, set[str | None]]:
        """What this tick asks for: asset -> authors."""
        found = dg.evaluate_automation_conditions(defs, self.instance, cursor=self.cursor)
        self.cursor = found.cursor
        by_asset = {name: set(found.get_requested_partitions(dg.AssetKey(name))) for name in CHAIN}
        return {name: authors for name, authors in by_asset.items() if authors}

    def materialized(self, author: str, version: str, *assets: str, passed: bool = True) -> None:
        """One run made these assets (default: all) in this version, and their blocking checks passed or failed."""
        run_id = make_new_run_id()
        for name in assets or CHAIN:
            made = dg.AssetMaterialization(name, partition=author, tags={"dagster/data_version": version})
            self._event(run_id, DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(made))
            record = self.instance.fetch_materializations(
                dg.AssetRecordsFilter(dg.AssetKey(name), asset_partitions=[author]), limit=1
            ).records[0]
            checked = AssetCheckEvaluationTargetMaterializationData(
                storage_id=record.storage_id, run_id=run_id, timestamp=record.timestamp
            )
            for key in defs.resolve_asset_graph().asset_check_keys:
                if key.asset_key == dg.AssetKey(name) and key.name != "collected_completely":
                    found = dg.AssetCheckEvaluation(
                        asset_key=key.asset_key,
                        check_name=key.name,
                        passed=passed,
                        partition=author,
                        target_materialization_data=checked,
                    )
                    self._event(run_id, DagsterEventType.ASSET_CHECK_EVALUATION, found)

    def _event(self, run_id: str, kind: DagsterEventType, data: EventSpecificData) -> None:
        event = DagsterEvent(event_type_value=kind.value, job_name="refresh", event_specific_data=data)
        self.instance.report_dagster_event(event, run_id=run_id)


@pytest.fixture
def days() -> Iterator[Days]:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(AUTHORS, ["ann", "bob"])
        started = Days(instance)
        started.tick()
        yield started


def test_a_whole_refresh_asks_for_nothing_more(days: Days) -> None:
    days.materialized("ann", "1")
    assert days.tick() == {}
    assert days.tick() == {}


def test_a_quiet_refresh_wakes_nobody(days: Days) -> None:
    days.materialized("ann", "1")
    days.tick()
    days.materialized("ann", "1", "raw_documents")
    assert days.tick() == {}


STAGES = {name: {"ann"} for name in CHAIN[1:]}


def test_documents_that_came_otherwise_wake_every_stage_once_and_for_that_author_only(days: Days) -> None:
    days.materialized("ann", "1")
    days.materialized("bob", "1")
    days.tick()

    days.materialized("ann", "2", "raw_documents")
    assert days.tick() == STAGES
    assert days.tick() == {}
    days.materialized("ann", "2", *CHAIN[1:])
    assert days.tick() == {}


def test_a_stage_run_by_hand_wakes_those_after_it(days: Days) -> None:
    days.materialized("ann", "1")
    days.tick()
    days.materialized("ann", "2", "chunks")
    assert days.tick() == {"embeddings": {"ann"}}


def test_cleaned_documents_that_fail_a_check_wake_no_stage_until_they_pass(days: Days) -> None:
    days.materialized("ann", "1")
    days.tick()
    days.materialized("ann", "2", "cleaned_documents", passed=False)
    assert days.tick() == {}
    days.materialized("ann", "3", "cleaned_documents")
    assert days.tick() == {"chunks": {"ann"}, "embeddings": {"ann"}}
