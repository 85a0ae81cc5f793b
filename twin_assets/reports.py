"""What a run did, as metadata of its materialisations and back again: counts, seconds, reasons, the ledger as a table.

The reports of `twin_core.records` go into the event log whole (ids and counts, never texts), so that the outcome of a
run can be read by anyone who has its id: the last step of the run, `twin sync`, a person in the UI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

import dagster as dg

from twin_core.collect.standing import Standing
from twin_core.records import Outcome, SourceReport, StageReport

STAGES = ("cleaned_documents", "chunks", "embeddings")
"""The assets whose materialisation carries a StageReport, in order."""

_REPORT = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What one run did. A stage that did not run is not there."""

    run_id: str
    sources: tuple[SourceReport, ...] = ()
    stages: Mapping[str, StageReport] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Items, documents and whole sources that failed in this run."""
        return (
            sum(source.failed for source in self.sources)
            + sum(source.error is not None for source in self.sources)
            + sum(stage.failed for stage in self.stages.values())
        )

    @property
    def changed(self) -> bool:
        """Whether anything that is stored changed."""
        return any(source.fetched or source.deleted for source in self.sources) or any(
            stage.done or stage.deleted or stage.rows for stage in self.stages.values()
        )


def source_metadata(reports: Sequence[SourceReport]) -> dict[str, dg.MetadataValue]:  # type: ignore[type-arg]
    """Metadata of `raw_documents`: totals by outcome, the ledger per source, the reports themselves."""
    totals = {str(outcome): sum(getattr(report, outcome) for report in reports) for outcome in Outcome}
    return {
        **{name: dg.MetadataValue.int(count) for name, count in totals.items()},
        "sources": dg.MetadataValue.int(len(reports)),
        "seconds": dg.MetadataValue.float(round(sum(report.seconds for report in reports), 3)),
        "ledger": dg.MetadataValue.md(ledger_table(reports)),
        _REPORT: dg.MetadataValue.json([_plain(asdict(report)) for report in reports]),
    }


def standing_metadata(there: Sequence[Standing]) -> dict[str, dg.MetadataValue]:  # type: ignore[type-arg]
    """Metadata of `raw_documents`: how every source stands, and how many alarms that raises."""
    rows = [
        (
            one.source.platform,
            one.source.locator,
            one.held,
            "" if one.own_count is None else one.own_count,
            "" if one.coverage is None else f"{one.coverage:.0%}",
            "" if one.last_success_at is None else f"{one.last_success_at:%Y-%m-%d %H:%M}",
            "" if one.source.next_run_at is None else f"{one.source.next_run_at:%Y-%m-%d %H:%M}",
            "; ".join(alarm.said for alarm in one.alarms),
        )
        for one in there
    ]
    columns = ("platform", "source", "items", "its own count", "coverage", "last success", "next", "alarms")
    return {
        "standing": dg.MetadataValue.md(markdown_table(columns, rows)),
        "alarms": dg.MetadataValue.int(sum(len(one.alarms) for one in there)),
    }


def stage_metadata(report: StageReport) -> dict[str, dg.MetadataValue]:  # type: ignore[type-arg]
    """Metadata of a feature stage: its counts, its seconds, and the failed documents by id."""
    metadata: dict[str, dg.MetadataValue] = {  # type: ignore[type-arg]
        **{name: dg.MetadataValue.int(getattr(report, name)) for name in _STAGE_COUNTS},
        "seconds": dg.MetadataValue.float(round(report.seconds, 3)),
        _REPORT: dg.MetadataValue.json(_plain(asdict(report))),
    }
    if report.failures:
        rows = [(document, reason) for document, reason in sorted(report.failures.items())]
        metadata["failures"] = dg.MetadataValue.md(markdown_table(("document", "reason"), rows))
    return metadata


_STAGE_COUNTS = ("done", "unchanged", "failed", "deleted", "rows", "reused")


def ledger_table(reports: Sequence[SourceReport]) -> str:
    """Markdown: one row per source, what became of its items."""
    rows = [
        (
            report.platform,
            report.locator,
            *(getattr(report, outcome) for outcome in Outcome),
            "" if report.own_count is None else report.own_count,
            f"{report.seconds:.1f}",
            report.error or "",
        )
        for report in reports
    ]
    return markdown_table(("platform", "source", *Outcome, "the source's own count", "seconds", "error"), rows)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; cells are shown as they are, whatever they hold."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def report_of_run(instance: dg.DagsterInstance, run_id: str) -> RunReport:
    """What the run has reported so far, from its materialisations in the event log."""
    sources: tuple[SourceReport, ...] = ()
    stages: dict[str, StageReport] = {}
    events = instance.all_logs(run_id, of_type={dg.DagsterEventType.ASSET_MATERIALIZATION})
    for event in events:
        materialization = event.asset_materialization
        if materialization is None or _REPORT not in materialization.metadata:
            continue
        name = materialization.asset_key.path[-1]
        value = materialization.metadata[_REPORT].value
        if name == "raw_documents" and isinstance(value, list):
            sources = tuple(_source_report(one) for one in value)
        elif name in STAGES and isinstance(value, dict):
            stages[name] = StageReport(**value)
    return RunReport(run_id=run_id, sources=sources, stages=stages)


def _source_report(value: object) -> SourceReport:
    assert isinstance(value, dict)
    fields: dict[str, Any] = {
        name: UUID(one) if name in {"source_id", "run_id"} else one for name, one in value.items()
    }
    return SourceReport(**fields)


def _plain(values: dict[str, object]) -> dict[str, object]:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in values.items()}


def _cell(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
