"""Collection: from an author's sources to raw documents in the warehouse.

The pipeline writes the warehouse and the ledger, nothing else. When a source is collected is decided in
`sensors.py`; how, in `twin_core.collect`.

Annotations are evaluated: Dagster does not understand the ones that `from __future__` leaves as text.
"""

from collections.abc import Sequence
from uuid import UUID

import dagster as dg
from pydantic import Field

from twin_assets.automation import transient_errors
from twin_assets.defs.external import platform_key
from twin_assets.failing import permanent_errors_are_final
from twin_assets.partitions import author_check, authors
from twin_assets.plots import bars
from twin_assets.reports import source_metadata, standing_metadata
from twin_assets.resources import Twin
from twin_core.collect.alarms import AlarmKind
from twin_core.collect.importing import take_uploads
from twin_core.collect.registry import platforms
from twin_core.collect.run import collect_source
from twin_core.collect.standing import Standing, standings
from twin_core.errors import NotFound
from twin_core.records import Outcome, Source, SourceReport
from twin_core.store import authors as store
from twin_core.store import versions

COMPLETE = "collected_completely"
ALARMS = {
    AlarmKind.EMPTY: ("items_have_text", "No source suddenly gives items without text."),
    AlarmKind.COVERAGE: ("coverage_holds", "Every source still gives what it used to of what it counts itself."),
    AlarmKind.SILENT: ("sources_not_silent", "No source has been silent for longer than its habit."),
}
"""Kind of alarm -> the check that says it, as a warning: what was collected is good, and a person should look."""


class Collection(dg.Config):
    """What a run collects."""

    source_ids: list[str] = Field(
        default_factory=list,
        description="Ids of sources. Empty, and no uploads either: every source of the author that is not paused.",
    )
    upload_ids: list[str] = Field(default_factory=list, description="Ids of uploaded exports to import first.")


@dg.asset(
    partitions_def=authors,
    deps=[platform_key(platform) for platform in platforms()],
    group_name="collection",
    kinds={"python", "postgres"},
    owners=["team:twin"],
    tags={"pipeline": "collection"},
    code_version="1",
    retry_policy=transient_errors,
    check_specs=[
        author_check(COMPLETE, "raw_documents", "No source and no item failed in the last collection."),
        *(author_check(name, "raw_documents", said) for name, said in ALARMS.values()),
    ],
    description="What the author's sources gave, unaltered: one document per item, with revisions.",
)
def raw_documents(context: dg.AssetExecutionContext, config: Collection, twin: Twin) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Collect the chosen sources, each for itself: what one of them fails at does not stop the next.

    Succeeds although something failed, so that the stages after it process what was stored; the check
    `collected_completely` says so here, and `refresh_outcome` turns the run red at its end.
    """
    with permanent_errors_are_final():
        stores, settings = twin.stores, twin.settings()
        with stores.database.transaction() as conn:
            author = store.author_by_slug(conn, context.partition_key)
            sources = _chosen(store.list_sources(conn, author.id), config)
            for source in sources:
                # Before anything is collected: a run that dies on the way is not asked for again and again with the
                # key of the same due time; the failure alert tells, and the schedule goes on.
                if source.next_run_at is not None and source.next_run_at <= twin.now():
                    store.schedule_next(conn, source.id, twin.now())
        tell = twin.progress("raw_documents")
        uploads = [UUID(one) for one in config.upload_ids]
        reports: list[SourceReport] = take_uploads(
            stores.database, stores.warehouse, author, uploads, settings=settings
        )
        for done, source in enumerate(sources):
            if tell is not None:
                tell(done, len(sources))
            reports.append(collect_source(stores.database, stores.warehouse, source, settings=settings))
        if tell is not None:
            tell(len(sources), len(sources))
        with stores.database.transaction() as conn:
            version = versions.raw_version(conn, author.id)
            there = standings(conn, twin.now(), author.id)
    return dg.MaterializeResult(
        metadata=source_metadata(reports) | standing_metadata(there) | _picture(reports),
        data_version=dg.DataVersion(version),
        check_results=[_completeness(reports), *(_alarm(kind, there) for kind in ALARMS)],
    )


def _chosen(sources: Sequence[Source], config: Collection) -> list[Source]:
    if not config.source_ids and not config.upload_ids:
        return [source for source in sources if not source.paused]
    wanted = {UUID(source_id) for source_id in config.source_ids}
    found = [source for source in sources if source.id in wanted]
    if missing := wanted - {source.id for source in found}:
        raise NotFound(f"This author has no source {', '.join(sorted(str(one) for one in missing))}.")
    return found


def _completeness(reports: Sequence[SourceReport]) -> dg.AssetCheckResult:
    failed = [report for report in reports if not report.complete]
    return dg.AssetCheckResult(
        check_name=COMPLETE,
        passed=not failed,
        metadata={
            "sources": len(reports),
            "sources_incomplete": len(failed),
            "items_failed": sum(report.failed for report in failed),
        },
        description="; ".join(f"{report.platform}: {report.error or f'{report.failed} failed'}" for report in failed)
        or None,
    )


def _alarm(kind: AlarmKind, there: Sequence[Standing]) -> dg.AssetCheckResult:
    raised = [(one.source, alarm) for one in there for alarm in one.alarms if alarm.kind is kind]
    return dg.AssetCheckResult(
        check_name=ALARMS[kind][0],
        passed=not raised,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"sources": len(there), "alarms": len(raised)},
        description="; ".join(f"{source.platform} {source.locator}: {alarm.said}" for source, alarm in raised) or None,
    )


def _picture(reports: Sequence[SourceReport]) -> dict[str, dg.MetadataValue]:  # type: ignore[type-arg]
    if not any(report.fetched or report.deleted for report in reports):
        return {}
    counts = {str(outcome): sum(getattr(report, outcome) for report in reports) for outcome in Outcome}
    return {"outcomes": dg.MetadataValue.md(bars(counts, title="Items of this run by outcome"))}
