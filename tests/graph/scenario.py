"""An author with folders of short texts, and refreshes of her twin: plain steps that the stories are told in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from twin_assets.checks import feature_checks
from twin_assets.definitions import definitions
from twin_assets.reports import RunReport, report_of_run
from twin_assets.resources import with_settings
from twin_core.collect.registry import collector_for
from twin_core.records import Author, Consent, Source
from twin_core.settings import Settings
from twin_core.store import authors
from twin_core.store.database import Database

CONSENT = Consent(claimed_by="Ann", proof="her own folder", claimed_at=datetime(2026, 1, 1, tzinfo=UTC))
TIDES = "# Tides\n\nThe harbour empties twice a day, and twice a day I plan around it.\n"
ROPES = "# Ropes\n\nA bowline holds because the load closes it; that is all there is to know.\n"
LAMPS = "# Lamps\n\nI trim the wick before dusk, since nobody wants to do it in the dark.\n"


@dataclass(slots=True)
class Story:
    """One author in one database with one Dagster instance."""

    settings: Settings
    database: Database
    instance: dg.DagsterInstance
    author: Author
    now: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    definitions: dg.Definitions = field(init=False)
    cursors: dict[int, str] = field(default_factory=dict)
    """Of sensors, by their identity."""

    def __post_init__(self) -> None:
        self.definitions = definitions(twin=with_settings(self.settings, now=lambda: self.now))
        self.instance.add_dynamic_partitions("authors", [self.author.slug])

    def folder(self, path: Path, *, schedule: str | None = None, **files: str) -> Source:
        """A folder source at `path` with these files, `name="text"`."""
        path.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (path / f"{name}.md").write_text(text)
        locator = collector_for("folder").check(str(path), {}, self.settings)
        with self.database.transaction() as conn:
            return authors.add_source(
                conn,
                author_id=self.author.id,
                platform="folder",
                locator=locator,
                schedule=schedule,
                options={},
                consent=CONSENT,
            )

    def refresh(self) -> tuple[dg.ExecuteInProcessResult, RunReport]:
        """One run of the real job, and what it reported."""
        result = self.definitions.resolve_job_def("refresh").execute_in_process(
            instance=self.instance,
            partition_key=self.author.slug,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        return result, report_of_run(self.instance, result.run_id)

    def run_checks(self) -> dict[str, bool]:
        """The checks alone, as a person starts them in the UI: name -> passed."""
        # The others come with making their asset, and not without.
        wanted = dg.AssetSelection.checks(*(key for checks in feature_checks for key in checks.check_keys))
        job = dg.define_asset_job("only_checks", selection=wanted, executor_def=dg.in_process_executor)
        with_job = dg.Definitions.merge(self.definitions, dg.Definitions(jobs=[job]))
        result = with_job.resolve_job_def("only_checks").execute_in_process(
            instance=self.instance,
            # A job without assets has no partitions to look the key up in.
            tags={"dagster/partition": self.author.slug},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}

    def version(self, asset: str) -> str:
        """The data version that the graph shows for this author."""
        event = self.instance.get_latest_data_version_record(dg.AssetKey(asset), partition_key=self.author.slug)
        assert event is not None
        materialization = event.asset_materialization
        assert materialization is not None
        return str((materialization.tags or {})["dagster/data_version"])


Begin = Callable[..., Story]
