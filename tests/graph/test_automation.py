"""The backstop over several ticks: a changed data version wakes the stages after it, a quiet refresh wakes nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor

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

    def materialized(self, author: str, version: str, *assets: str) -> None:
        for name in assets or CHAIN:
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(name, partition=author, tags={"dagster/data_version": version})
            )
            passed = [
                key
                for key in defs.resolve_asset_graph().asset_check_keys
                if key.asset_key == dg.AssetKey(name) and key.name != "collected_completely"
            ]
            for key in passed:
                self.instance.report_runless_asset_event(
                    dg.AssetCheckEvaluation(asset_key=key.asset_key, check_name=key.name, passed=True, partition=author)
                )


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


def test_documents_that_came_otherwise_wake_the_next_stage_once_and_for_that_author_only(days: Days) -> None:
    days.materialized("ann", "1")
    days.materialized("bob", "1")
    days.tick()

    days.materialized("ann", "2", "raw_documents")
    assert days.tick() == {"cleaned_documents": {"ann"}}
    assert days.tick() == {}
