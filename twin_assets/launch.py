"""Starts a refresh by hand and waits for it: in this process, or as a run of the services when they are up.

Either way it is the same job against the same instance, so the run is in the UI. What is shown of it is the caller's
(`twin_cli/sync.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import dagster as dg

from twin_assets.defs.collect import Collection
from twin_assets.jobs import DATASETS, REFRESH
from twin_assets.mlflow_parent import with_mlflow_settings
from twin_assets.partitions import AUTHORS
from twin_assets.reports import RunReport, report_of_run
from twin_assets.resources import Progress, with_settings
from twin_core.errors import ServiceUnavailable
from twin_core.runtime.services import LOCATION_NAME
from twin_core.runtime.state import read_state
from twin_core.settings import Settings
from twin_core.training.job import Kind

REPOSITORY = "__repository__"
"""What Dagster calls the repository of a module that holds one Definitions."""
POLL_SECONDS = 0.3
BY_HAND = {"twin/asked_by": "twin sync"}

Tell = Callable[[str], Progress | None]
"""Asked once per stage for whom to tell about its progress."""

_STEPS = {
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SKIPPED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """How a refresh ended."""

    report: RunReport
    succeeded: bool
    broken: tuple[str, ...]
    """Steps that did not do their work, with why. What failed inside a step's work is in the report."""


def services_are_up(settings: Settings) -> bool:
    """Whether `twin up` runs for this home with everything that a run needs."""
    state = read_state(settings)
    if state is None or not state.alive or state.stopping:
        return False
    needed = [state.services.get(name) for name in ("code", "webserver", "daemon")]
    return all(service is not None and service.phase == "running" for service in needed)


def refresh(
    instance: dg.DagsterInstance, settings: Settings, *, slug: str, source_ids: Sequence[UUID] = (), tell: Tell
) -> Refreshed:
    """Refresh one author's twin and wait for the end. Empty `source_ids`: every source that is not paused.

    Raises ServiceUnavailable when a store stopped answering on the way.
    """
    instance.add_dynamic_partitions(AUTHORS, [slug])
    config = dg.RunConfig(ops={"raw_documents": Collection(source_ids=[str(one) for one in source_ids])})
    launched = _in_services if services_are_up(settings) else _in_this_process
    run_id = launched(instance, settings, slug, config, tell)
    return _ended(instance, run_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """How a training ended."""

    run_id: str
    broken: Mapping[str, tuple[str, str]]
    """Step -> kind of error and what it says. Empty: the adapter is registered."""


def train(
    instance: dg.DagsterInstance, settings: Settings, *, slug: str, kind: Kind, options: Mapping[str, object]
) -> TrainingRun:
    """Train one adapter of an author and wait for the end; `options` are those of `TrainingOptions`.

    How far it is stands in the attempt's row. Raises ServiceUnavailable when a service that is needed stopped answering.
    """
    instance.add_dynamic_partitions(AUTHORS, [slug])
    step = f"{kind}_adapter"
    config = {"ops": {step: {"config": dict(options)}}}
    tags = {"twin/asked_by": "twin train"}
    if services_are_up(settings):
        run_id = _submitted(settings, kind, slug, config, tags)
        _watch(instance, run_id, lambda _: None)
    else:
        from twin_assets.definitions import definitions

        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        own = definitions(twin=with_settings(settings), mlflow=with_mlflow_settings(settings))
        run_id = (
            own.resolve_job_def(kind)
            .execute_in_process(
                run_config={**config, **quiet}, instance=instance, partition_key=slug, tags=tags, raise_on_error=False
            )
            .run_id
        )
    broken = dict(_broken_steps(instance, run_id))
    away = next((said for error, said in broken.values() if error == "ServiceUnavailable"), None)
    if away is not None:
        raise ServiceUnavailable(away)
    run = instance.get_run_by_id(run_id)
    if not broken and (run is None or run.status != dg.DagsterRunStatus.SUCCESS):
        broken[step] = ("", "its process is gone, or it never started")
    return TrainingRun(run_id=run_id, broken=broken)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRun:
    """How one build of an author's datasets ended."""

    run_id: str
    published: Mapping[str, Mapping[str, object]]
    """Asset -> what its materialisation says: outcome, version, counts."""
    broken: Mapping[str, tuple[str, str]]
    """Step -> kind of error and what it says."""


def build_datasets(
    instance: dg.DagsterInstance, settings: Settings, *, slug: str, allow_shrink: bool, fresh: bool, tell: Tell
) -> DatasetRun:
    """Build an author's datasets in this process, as a run that the UI shows.

    Raises ServiceUnavailable when a service that is needed stopped answering on the way.
    """
    from twin_assets.definitions import definitions

    instance.add_dynamic_partitions(AUTHORS, [slug])
    options = {"config": {"allow_shrink": allow_shrink, "fresh": fresh}}
    result = (
        definitions(twin=with_settings(settings, progress=tell))
        .resolve_job_def(DATASETS)
        .execute_in_process(
            run_config={
                "ops": {"instruct_dataset": options, "preference_dataset": options},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            instance=instance,
            partition_key=slug,
            tags={"twin/asked_by": "twin dataset build"},
            raise_on_error=False,
        )
    )
    broken = dict(_broken_steps(instance, result.run_id))
    away = next((said for kind, said in broken.values() if kind == "ServiceUnavailable"), None)
    if away is not None:
        raise ServiceUnavailable(away)
    published = {
        event.asset_key.path[-1]: {
            name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }
    return DatasetRun(run_id=result.run_id, published=published, broken=broken)


def _in_this_process(
    instance: dg.DagsterInstance, settings: Settings, slug: str, config: dg.RunConfig, tell: Tell
) -> str:
    from twin_assets.definitions import definitions

    job = definitions(twin=with_settings(settings, progress=tell)).resolve_job_def(REFRESH)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}  # the caller says what there is to say
    result = job.execute_in_process(
        run_config={**config.to_config_dict(), **quiet},  # type: ignore[no-untyped-call]
        instance=instance,
        partition_key=slug,
        tags=BY_HAND,
        raise_on_error=False,
    )
    return result.run_id


def _in_services(instance: dg.DagsterInstance, settings: Settings, slug: str, config: dg.RunConfig, tell: Tell) -> str:
    run_id = _submitted(settings, REFRESH, slug, config, BY_HAND)
    _watch(instance, run_id, tell)
    return run_id


def _submitted(
    settings: Settings, job: str, slug: str, config: dg.RunConfig | Mapping[str, object], tags: Mapping[str, str]
) -> str:
    """The id of the run that the services were given."""
    from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError

    try:
        client = DagsterGraphQLClient(settings.host, port_number=settings.dagster_port)
        return client.submit_job_execution(
            job,
            repository_location_name=LOCATION_NAME,
            repository_name=REPOSITORY,
            run_config=config,
            tags={**tags, "dagster/partition": slug},
        )
    except DagsterGraphQLClientError as error:
        raise ServiceUnavailable(
            f"Dagster's webserver did not take the run: {error}. `twin status` shows what runs; after `twin down` the "
            f"same command works without it."
        ) from error


def _watch(instance: dg.DagsterInstance, run_id: str, tell: Tell) -> None:
    """Tell of each stage as it starts and ends, until the run is over."""
    told: dict[str, Progress | None] = {}
    cursor: str | None = None
    while True:
        run = instance.get_run_by_id(run_id)
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=_STEPS)
        cursor = page.cursor
        for record in page.records:
            event = record.event_log_entry.dagster_event
            step = event.step_key if event is not None else None
            if event is None or step is None:
                continue
            if step not in told:
                told[step] = tell(step)
            progress = told[step]
            if progress is not None:
                progress(0 if event.event_type == dg.DagsterEventType.STEP_START else 1, 1)
        if run is None or (run.is_finished and not page.has_more):
            return
        time.sleep(POLL_SECONDS)


def _ended(instance: dg.DagsterInstance, run_id: str) -> Refreshed:
    run = instance.get_run_by_id(run_id)
    broken = dict(_broken_steps(instance, run_id))
    if any(kind == "ServiceUnavailable" for kind, _ in broken.values()):
        raise ServiceUnavailable(next(said for kind, said in broken.values() if kind == "ServiceUnavailable"))
    succeeded = run is not None and run.status == dg.DagsterRunStatus.SUCCESS
    report = report_of_run(instance, run_id)
    if not succeeded and not broken and not report.failed:
        broken["run"] = ("", "it ended before it did its work: its process is gone, or it never started")
    return Refreshed(
        report=report, succeeded=succeeded, broken=tuple(f"{step}: {said}" for step, (_, said) in broken.items())
    )


def _broken_steps(instance: dg.DagsterInstance, run_id: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Step -> kind of error and what it says. Not `refresh_outcome`, which fails by design: the report says why."""
    for event in instance.all_logs(run_id, of_type={dg.DagsterEventType.STEP_FAILURE}):
        if event.dagster_event is None or event.step_key in {None, "refresh_outcome"}:
            continue
        data = event.dagster_event.step_failure_data
        error = data.error.cause if data.error is not None and data.error.cause is not None else data.error
        kind = (error.cls_name if error is not None else None) or ""
        if data.user_failure_data is not None and data.user_failure_data.description:
            said = data.user_failure_data.description
        else:
            said = error.message.strip() if error is not None else "it failed"
        yield str(event.step_key), (kind, said.removeprefix(f"twin_core.errors.{kind}: "))
