"""What starts runs and what looks at them when they fail. All default to RUNNING: an installed twin keeps itself current.

Schedules are no part of this: each source has its own, in the database, and a schedule defined in code cannot follow
a source that is added later.

Annotations are evaluated: Dagster does not understand the ones that `from __future__` leaves as text.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import dagster as dg

from twin_assets import alerts
from twin_assets.decisions import LATE, Reported, is_shown, report
from twin_assets.defs.collect import Collection
from twin_assets.defs.forgetting import FORGET, forget
from twin_assets.defs.traces import TIDY, tidy_traces
from twin_assets.jobs import learn, promote, refresh
from twin_assets.partitions import AUTHORS, authors
from twin_assets.resources import Twin
from twin_core.monitoring import learning, upkeep
from twin_core.monitoring.retraining import COOLDOWN, advise
from twin_core.records import Source
from twin_core.store import authors as store
from twin_core.store import collect_requests, import_requests, purging, registry
from twin_core.store.registry import Approval

DUE_KEY = "twin/due"
"""Run tag: which sources at which due time, or on which request, and which uploads, the run was asked for."""
FORGET_KEY = "twin/forget"
"""Run tag: which requests to forget."""
DECISION_KEY = "twin/decision"
"""Run tag: which decisions on adapters."""
LEARN_KEY = "twin/learn"
"""Run tag: which dataset version was to be learnt."""
INTERVAL_SECONDS = 30
RETRAIN_SECONDS = 600
"""Between two looks at whether to learn again: a look compares embeddings, and nothing hurries."""
TIDY_SECONDS = 120
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
    description="Asks for a refresh of each author who has a source whose time has come, by the source's own cron, or "
    "that somebody asked for through the API, or who uploaded an export there.",
)
def due_sources(context: dg.SensorEvaluationContext, twin: Twin) -> dg.SensorResult:
    """One run per author with due sources or uploads, none while one is active for that author.

    The run sets the sources' next time as the first thing it does, so a due time is asked for once. A run that died
    before that (no worker, no database) would leave its `run_key` used and its sources due for ever: such a due time is
    asked for again under a new key, after a pause that doubles.
    """
    now = twin.now()
    with twin.database.transaction() as conn:
        slugs = {author.id: author.slug for author in store.list_authors(conn)}
        due: dict[str, list[Source]] = {}
        wanted = collect_requests.open_collections(conn)
        sources = {source.id: source for source in store.due_sources(conn, now)}
        sources |= {source_id: store.source_by_id(conn, source_id) for source_id in wanted}
        for source in sources.values():
            due.setdefault(slugs[source.author_id], []).append(source)
        uploads = {slugs[author_id]: its for author_id, its in import_requests.open_imports(conn).items()}
    missing = _missing(context, slugs.values())
    requests, waiting = [], []
    for slug in sorted({*due, *uploads}):
        its, uploaded = due.get(slug, []), [str(one) for one in uploads.get(slug, [])]
        collection = Collection(source_ids=[str(source.id) for source in its], upload_ids=uploaded)
        config = dg.RunConfig(ops={"raw_documents": collection})
        key = _key([*(_stated(source, wanted.get(source.id), now) for source in its), *uploaded])
        request = _request(context.instance, refresh.name, slug, (DUE_KEY, key), now=now, config=config)
        if request is None:
            waiting.append(slug)
        else:
            requests.append(request)
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=missing,
        skip_reason=None if requests else _why_nothing(waiting),
    )


@dg.sensor(
    job=forget,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has requests to forget carried out: those that the API wrote, and those that were interrupted.",
)
def forget_requests(context: dg.SensorEvaluationContext, twin: Twin) -> dg.SensorResult:
    """One run per author with open requests, none while one is active. One that failed is tried again after a pause."""
    with twin.database.transaction() as conn:
        slugs = {author.id: author.slug for author in store.list_authors(conn)}
        asked = purging.authors_with_requests(conn)
    missing = _missing(context, [slugs[author_id] for author_id in asked])
    requests, waiting = [], []
    for author_id, its in asked.items():
        key = _key([str(request_id) for request_id in its])
        request = _request(context.instance, FORGET, slugs[author_id], (FORGET_KEY, key), now=twin.now())
        if request is None:
            waiting.append(slugs[author_id])
        else:
            requests.append(request)
    reason = f"Asked, but a run is active or was tried a moment ago: {', '.join(waiting)}." if waiting else None
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=missing,
        skip_reason=None if requests else dg.SkipReason(reason or "Nothing is to be forgotten."),
    )


@dg.sensor(
    job=promote,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has decisions on adapters carried out, reports each as the asset `adapter_approval`, and has `champion` show "
    "what serves when that was changed elsewhere.",
)
def approvals(context: dg.SensorEvaluationContext, twin: Twin) -> dg.SensorResult:
    """One run per author with open decisions, or whose champion is not shown. One that failed is tried again after a pause."""
    told = Reported.read(context.cursor)
    with twin.database.transaction() as conn:
        slugs = {author.id: author.slug for author in store.list_authors(conn)}
        decided = registry.decisions_since(conn, told.newest - LATE if told.newest is not None else None)
        asked: dict[str, list[Approval]] = {}
        for one in registry.open_decisions(conn):
            asked.setdefault(slugs[one.author_id], []).append(one)
        standing = {slug: registry.standing(conn, author_id) for author_id, slug in slugs.items()}
    wanted = {slug: _key([str(one.id) for one in its]) for slug, its in asked.items()}
    for slug, now in standing.items():
        if slug not in wanted and not is_shown(context.instance, slug, now):
            wanted[slug] = _key([now.version, str(now.changed_at)])
    requests, waiting = [], []
    for slug, key in wanted.items():
        request = _request(context.instance, promote.name, slug, (DECISION_KEY, key), now=twin.now())
        if request is None:
            waiting.append(slug)
        else:
            requests.append(request)
    news = told.new(decided)
    reason = f"Decided, but a run is active or was tried a moment ago: {', '.join(waiting)}." if waiting else None
    return dg.SensorResult(
        run_requests=requests,
        asset_events=[report(slugs[one.author_id], one) for one in news],
        dynamic_partitions_requests=_missing(context, {*wanted, *(slugs[one.author_id] for one in news)}),
        cursor=told.after(decided).model_dump_json(),
        skip_reason=None if requests else dg.SkipReason(reason or "No decision is open."),
    )


@dg.sensor(
    job=learn,
    minimum_interval_seconds=RETRAIN_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has an author's twin learn again when there is enough that is new, or the author's writing has moved on.",
)
def retrain(context: dg.SensorEvaluationContext, twin: Twin) -> dg.SensorResult:
    """At most one run per author and dataset version, none while one is active. What is missing is the tick's message."""
    requests, said = [], []
    now = twin.now()
    with twin.database.transaction() as conn:
        there = store.list_authors(conn)
    for author in there:
        with twin.database.transaction() as conn:
            facts, version = learning.facts(conn, author.id, now)
        if version is None:
            said.append(f"{author.slug}: no dataset yet")
            continue
        advice = advise(facts)
        said.append(f"{author.slug}: {advice.reason}")
        if not advice.train:
            continue
        request = _request(context.instance, learn.name, author.slug, (LEARN_KEY, version), now=now, pause=COOLDOWN)
        if request is None:
            said[-1] += ", which a run is at work on or was a moment ago"
        else:
            requests.append(request)
    missing = _missing(context, [author.slug for author in there])
    context.log.info("; ".join(said) or "There are no authors.")
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=missing,
        skip_reason=None if requests else dg.SkipReason("; ".join(said) or "There are no authors."),
    )


@dg.sensor(
    job=tidy_traces,
    minimum_interval_seconds=TIDY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Lets traces lose their texts, or go, when they are older than the settings keep them, and has copies made "
    "in MLflow where the settings ask for them.",
)
def old_traces(context: dg.SensorEvaluationContext, twin: Twin) -> dg.SensorResult:
    """One run while there is anything to do, none while one is active."""
    reason = upkeep.due(twin.database, twin.settings(), twin.now())
    if reason is None:
        return dg.SensorResult(skip_reason=dg.SkipReason("No trace is too old, and none waits for a copy."))
    active = context.instance.get_run_records(dg.RunsFilter(job_name=TIDY, statuses=_ACTIVE), limit=1)
    if active:
        return dg.SensorResult(skip_reason=dg.SkipReason(f"{reason}; a run is active."))
    return dg.SensorResult(run_requests=[dg.RunRequest(tags={"twin/why": reason})])


def _missing(context: dg.SensorEvaluationContext, slugs: Iterable[str]) -> list[dg.AddDynamicPartitionsRequest]:
    """What makes a partition of every author who has none yet."""
    missing = sorted(set(slugs) - set(context.instance.get_dynamic_partitions(AUTHORS)))
    return [authors.build_add_request(missing)] if missing else []


def _request(
    instance: dg.DagsterInstance,
    job: str,
    slug: str,
    tag: tuple[str, str],
    *,
    now: datetime,
    config: dg.RunConfig | None = None,
    pause: timedelta = RETRY_AFTER,
) -> dg.RunRequest | None:
    """The run for one author, or None while one is active or the pause after a failed attempt lasts."""
    partition = {"dagster/partition": slug}
    if instance.get_run_records(dg.RunsFilter(job_name=job, tags=partition, statuses=_ACTIVE), limit=1):
        return None
    name, key = tag
    tried = instance.get_run_records(dg.RunsFilter(job_name=job, tags={name: key}))
    if tried:
        last = max(record.update_timestamp for record in tried)
        if now < last + min(pause * 2 ** (len(tried) - 1), max(pause, LONGEST_PAUSE)):
            return None
    return dg.RunRequest(
        run_key=f"{key}-{len(tried)}" if tried else key, partition_key=slug, run_config=config, tags={name: key}
    )


def _stated(source: Source, request_id: UUID | None, now: datetime) -> str:
    """What makes a due time, or a request to collect, another one than the last: a run is asked for once for each."""
    due = source.next_run_at is not None and source.next_run_at <= now and not source.paused
    at = f"{source.next_run_at:%Y-%m-%dT%H:%M:%S%z}" if due else ""
    return f"{source.id}@{at}" + (f"+{request_id}" if request_id is not None else "")


def _key(stated: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(stated)).encode()).hexdigest()[:32]


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
