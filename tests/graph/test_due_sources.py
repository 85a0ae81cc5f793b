"""When the sensor asks for a run: by each source's own cron, once, and never beside a run of the same author."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from tests.graph.scenario import Story
from twin_assets.jobs import refresh
from twin_assets.sensors import DUE_KEY, RETRY_AFTER, due_sources
from twin_core.records import Source
from twin_core.store import authors

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def tick(story: Story, now: datetime) -> dg.SensorResult:
    story.now = now
    with dg.build_sensor_context(
        instance=story.instance, definitions=story.definitions, resources=story.definitions.resources
    ) as context:
        result = due_sources(context)
    assert isinstance(result, dg.SensorResult)
    return result


def asked(result: dg.SensorResult) -> list[list[str]]:
    return [request.run_config["ops"]["raw_documents"]["config"]["source_ids"] for request in result.run_requests or []]


def scheduled(story: Story, path: Path, cron: str) -> Source:
    source = story.folder(path, schedule=cron)
    collected(story, source, MONDAY)
    return source


def collected(story: Story, source: Source, at: datetime) -> None:
    """What the run does first: the source is due again when its cron says."""
    with story.database.transaction() as conn:
        authors.schedule_next(conn, source.id, at)


def test_each_source_is_asked_for_by_its_own_cron(lasting_story: Story, tmp_path: Path) -> None:
    story = lasting_story
    hourly = scheduled(story, tmp_path / "hourly", "0 * * * *")
    daily = scheduled(story, tmp_path / "daily", "0 6 * * *")
    scheduled(story, tmp_path / "never", "0 0 1 1 *")

    assert asked(tick(story, MONDAY + timedelta(minutes=59))) == []
    assert asked(tick(story, MONDAY + timedelta(hours=1))) == [[str(hourly.id)]]
    collected(story, hourly, MONDAY + timedelta(hours=1))
    assert asked(tick(story, MONDAY + timedelta(hours=1, minutes=1))) == []
    collected(story, hourly, MONDAY + timedelta(hours=5))
    assert [set(ids) for ids in asked(tick(story, MONDAY + timedelta(hours=6)))] == [{str(hourly.id), str(daily.id)}]


def test_a_due_time_that_is_still_open_is_asked_for_under_one_key(lasting_story: Story, tmp_path: Path) -> None:
    story = lasting_story
    scheduled(story, tmp_path / "hourly", "0 * * * *")

    first, second = (tick(story, MONDAY + timedelta(hours=1, seconds=seconds)) for seconds in (0, 30))

    assert first.run_requests
    assert second.run_requests
    assert first.run_requests[0].run_key == second.run_requests[0].run_key
    assert first.run_requests[0].partition_key == "ann"


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED])
def test_nothing_is_asked_for_while_a_run_of_the_author_is_active(
    lasting_story: Story, tmp_path: Path, status: dg.DagsterRunStatus
) -> None:
    story = lasting_story
    scheduled(story, tmp_path / "hourly", "0 * * * *")
    run_with(story, status)

    result = tick(story, MONDAY + timedelta(hours=1))

    assert result.run_requests == []
    assert result.skip_reason is not None
    assert "ann" in str(result.skip_reason.skip_message)


def test_a_run_that_died_before_it_collected_is_asked_for_again_after_a_pause(
    lasting_story: Story, tmp_path: Path
) -> None:
    story = lasting_story
    scheduled(story, tmp_path / "hourly", "0 * * * *")
    (request,) = tick(story, MONDAY + timedelta(hours=1)).run_requests or []
    run_with(story, dg.DagsterRunStatus.FAILURE, **{DUE_KEY: request.tags[DUE_KEY]})
    died = datetime.now(UTC)

    assert tick(story, died).run_requests == []
    (again,) = tick(story, died + RETRY_AFTER + timedelta(seconds=5)).run_requests or []

    assert again.run_key != request.run_key


def test_a_new_author_gets_a_partition_with_the_first_tick(lasting_story: Story) -> None:
    story = lasting_story
    with story.database.transaction() as conn:
        authors.add_author(conn, slug="bob", name="Bob")

    (added,) = tick(story, MONDAY).dynamic_partitions_requests or []

    assert list(added.partition_keys) == ["bob"]


def run_with(story: Story, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    job = story.definitions.resolve_job_def(refresh.name)
    # Where the code lies is asked of a queued run only.
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="twin_assets.definitions"))
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job.name)
    return story.instance.create_run_for_job(
        job, status=status, tags={"dagster/partition": "ann", **tags}, remote_job_origin=origin
    )
