"""What starts runs and what looks at them when they fail. All default to RUNNING: an installed twin keeps itself current.

Schedules are no part of this: each source has its own, in the database, and a schedule defined in code cannot follow
a source that is added later.

Annotations are evaluated: Dagster does not understand the ones that `from __future__` leaves as text.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import dagster as dg

from twin_assets import alerts
from twin_assets.defs.collect import Collection
from twin_assets.jobs import REFRESH, refresh
from twin_assets.partitions import AUTHORS, authors
from twin_assets.resources import Twin
from twin_core.records import Source
from twin_core.store import authors as store

DUE_KEY = "twin/due"
"""Run tag: which sources at which due time the run was asked for."""
INTERVAL_SECONDS = 30
RETRY_AFTER = timedelta(minutes=10)
"""Pause before a due time is asked for again when its run ended before it collected; it doubles each time."""
LONGEST_PAUSE = timedelta(hours=6)

_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.sensor(
    job=refresh,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a refresh of each author who has a source whose time has come, by the source's own cron.",
)
def due_sources(context: dg.SensorEvaluationContext, twin: Twin) -> dg.SensorResult:
    """One run per author with due sources, none while one is active for that author.

    The run sets the sources' next time as the first thing it does, so a due time is asked for once. A run that died
    before that (no worker, no database) would leave its `run_key` used and its sources due for ever: such a due time is
    asked for again under a new key, after a pause that doubles.
    """
    now = twin.now()
    with twin.database.transaction() as conn:
        slugs = {author.id: author.slug for author in store.list_authors(conn)}
        due: dict[str, list[Source]] = {}
        for source in store.due_sources(conn, now):
            due.setdefault(slugs[source.author_id], []).append(source)
    there = set(context.instance.get_dynamic_partitions(AUTHORS))
    missing = sorted(set(slugs.values()) - there)
    requests, waiting = [], []
    for slug, sources in due.items():
        request = _request(context.instance, slug, sources, now)
        if request is None:
            waiting.append(slug)
        else:
            requests.append(request)
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[authors.build_add_request(missing)] if missing else [],
        skip_reason=None if requests else _why_nothing(waiting),
    )


def _request(instance: dg.DagsterInstance, slug: str, sources: Sequence[Source], now: datetime) -> dg.RunRequest | None:
    """The run for one author, or None while one is active or the pause after a failed attempt lasts."""
    partition = {"dagster/partition": slug}
    if instance.get_run_records(dg.RunsFilter(job_name=REFRESH, tags=partition, statuses=_ACTIVE), limit=1):
        return None
    key = _key(sources)
    tried = instance.get_run_records(dg.RunsFilter(job_name=REFRESH, tags={DUE_KEY: key}))
    if tried:
        last = max(record.update_timestamp for record in tried)
        pause = min(RETRY_AFTER * 2 ** (len(tried) - 1), LONGEST_PAUSE)
        if now < last + pause:
            return None
    return dg.RunRequest(
        run_key=f"{key}-{len(tried)}" if tried else key,
        partition_key=slug,
        run_config=dg.RunConfig(ops={"raw_documents": Collection(source_ids=[str(source.id) for source in sources])}),
        tags={DUE_KEY: key},
    )


def _key(sources: Sequence[Source]) -> str:
    stated = sorted(f"{source.id}@{source.next_run_at:%Y-%m-%dT%H:%M:%S%z}" for source in sources)
    return hashlib.sha256("\n".join(stated).encode()).hexdigest()[:32]


def _why_nothing(waiting: Sequence[str]) -> dg.SkipReason:
    if waiting:
        return dg.SkipReason(f"Due, but a run is active or was tried a moment ago: {', '.join(waiting)}.")
    return dg.SkipReason("No source is due.")


automation = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.all(),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=INTERVAL_SECONDS,
    description="Runs a stage whose input changed otherwise than by a refresh. Dagster's own would start STOPPED.",
)


@dg.run_failure_sensor(
    name="failure_alert",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=INTERVAL_SECONDS,
    description="Tells TWIN_ALERT_URL, or the log, that a run failed: also one whose worker died.",
)
def failure_alert(context: dg.RunFailureSensorContext, twin: Twin) -> None:
    """One alert per failed run. A failed `run_key` is never asked for again, so somebody has to know."""
    alerts.send(twin.settings(), alert_of(context))


def alert_of(context: dg.RunFailureSensorContext) -> Mapping[str, object]:
    """What is told of a failed run: names, ids and our own words; an error that is not ours by its type alone."""
    run = context.dagster_run
    steps: dict[str, str] = {}
    for event in context.get_step_failure_events():
        data = event.step_failure_data
        ours = data.user_failure_data
        error = data.error
        said = ours.description if ours is not None else error.cls_name if error is not None else None
        steps[event.step_key or "?"] = said or "failed"
    return {
        "event": "run_failed",
        "job": run.job_name,
        "run_id": run.run_id,
        "author": run.tags.get("dagster/partition"),
        "steps": steps,
        "reason": None if steps else "the run ended without a failed step: its worker is gone, or it never started",
    }
