"""What the API asks for is done by sensors: once, beside no other run of the author, and again when it failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import dagster as dg
import pytest

from tests.collect.exports import builders
from tests.graph.scenario import ROPES, TIDES, Story
from tests.graph.test_due_sources import MONDAY, asked, run_with, tick
from twin_assets.forgetting import forget_author_in_dagster
from twin_assets.sensors import FORGET_KEY, RETRY_AFTER, forget_requests
from twin_core.collect import importing
from twin_core.store import authors, collect_requests, facts, import_requests, ledger, purging
from twin_core.warehouse.postgres import PostgresWarehouse


def forget_tick(story: Story, now: datetime) -> dg.SensorResult:
    story.now = now
    with dg.build_sensor_context(
        instance=story.instance, definitions=story.definitions, resources=story.definitions.resources
    ) as context:
        result = forget_requests(context)
    assert isinstance(result, dg.SensorResult)
    return result


def ask_to_forget(story: Story) -> None:
    with story.database.transaction() as conn:
        for document in purging.every_document(conn, story.author.id)[:1]:
            purging.ask_to_forget(conn, author_id=story.author.id, document_id=document)


def test_a_request_to_collect_makes_a_source_due_without_a_schedule_and_when_it_is_paused(
    lasting_story: Story, tmp_path: Path
) -> None:
    story = lasting_story
    source = story.folder(tmp_path / "notes", tides=TIDES)
    assert asked(tick(story, MONDAY)) == []
    with story.database.transaction() as conn:
        authors.pause_source(conn, source.id, paused=True)
        collect_requests.request_collection(conn, author_id=story.author.id, source_id=source.id)
    (first,) = tick(story, MONDAY).run_requests or []
    (second,) = tick(story, MONDAY + timedelta(seconds=30)).run_requests or []
    assert first.run_key == second.run_key
    assert first.run_config["ops"]["raw_documents"]["config"]["source_ids"] == [str(source.id)]


def test_a_request_to_collect_is_carried_out_by_the_run_that_it_asks_for(lasting_story: Story, tmp_path: Path) -> None:
    story = lasting_story
    source = story.folder(tmp_path / "notes", tides=TIDES)
    with story.database.transaction() as conn:
        collect_requests.request_collection(conn, author_id=story.author.id, source_id=source.id)
    (request,) = tick(story, MONDAY).run_requests or []
    result = story.definitions.resolve_job_def("refresh").execute_in_process(
        instance=story.instance, partition_key=story.author.slug, run_config=request.run_config
    )
    assert result.success
    assert asked(tick(story, MONDAY)) == []


def test_a_request_to_forget_is_carried_out_by_the_run_that_it_asks_for(lasting_story: Story, tmp_path: Path) -> None:
    story = lasting_story
    story.folder(tmp_path / "notes", tides=TIDES, ropes=ROPES)
    story.refresh()
    assert forget_tick(story, MONDAY).run_requests == []
    ask_to_forget(story)
    (request,) = forget_tick(story, MONDAY).run_requests or []
    assert request.partition_key == "ann"

    result = story.definitions.resolve_job_def("forget").execute_in_process(
        instance=story.instance, partition_key=request.partition_key
    )

    assert result.success
    with story.database.transaction() as conn:
        assert len(purging.every_document(conn, story.author.id)) == 1
    assert forget_tick(story, MONDAY).run_requests == []
    for entry in story.instance.all_logs(result.run_id):
        assert "tides" not in str(entry).lower()


def test_a_request_to_forget_is_asked_for_once_and_again_after_a_failure_and_a_pause(
    lasting_story: Story, tmp_path: Path
) -> None:
    story = lasting_story
    story.folder(tmp_path / "notes", tides=TIDES)
    story.refresh()
    ask_to_forget(story)
    (first,) = forget_tick(story, MONDAY).run_requests or []
    job = story.definitions.resolve_job_def("forget")
    story.instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.FAILURE, tags={"dagster/partition": "ann", FORGET_KEY: first.tags[FORGET_KEY]}
    )
    failed = datetime.now(UTC)
    assert forget_tick(story, failed).run_requests == []
    (again,) = forget_tick(story, failed + RETRY_AFTER + timedelta(seconds=5)).run_requests or []
    assert again.run_key != first.run_key


def test_an_author_who_is_forgotten_leaves_no_partition_and_no_run_in_dagster(
    lasting_story: Story, tmp_path: Path
) -> None:
    story = lasting_story
    story.folder(tmp_path / "notes", tides=TIDES)
    _, report = story.refresh()
    run_with(story, dg.DagsterRunStatus.FAILURE)
    logs = story.settings.home / "dagster" / "storage" / report.run_id
    logs.mkdir(parents=True)
    assert forget_author_in_dagster(story.instance, story.settings, story.author) == 2
    assert story.instance.get_runs() == []
    assert story.instance.get_dynamic_partitions("authors") == []
    assert not logs.exists()
    assert forget_author_in_dagster(story.instance, story.settings, story.author) == 0


def upload(story: Story, export: Path) -> None:
    """As the API leaves an upload: a file and a request."""
    request_id = uuid4()
    folder = importing.incoming(story.settings, story.author.id, request_id)
    folder.mkdir(parents=True)
    export.rename(folder / export.name)
    with story.database.transaction() as conn:
        import_requests.request_import(
            conn, request_id=request_id, author_id=story.author.id, name=export.name, size=1, sha256="h", own=(),
            mine=False, claimed_by="Ann",
        )  # fmt: skip


def test_an_upload_is_imported_and_made_searchable_by_the_run_that_it_asks_for(
    lasting_story: Story, tmp_path: Path
) -> None:
    story = lasting_story
    untouched = story.folder(tmp_path / "notes", tides=TIDES)
    upload(story, builders.zipped(builders.medium(tmp_path / "m"), tmp_path / "medium.zip"))
    (request,) = tick(story, MONDAY).run_requests or []
    assert request.run_config["ops"]["raw_documents"]["config"]["source_ids"] == []
    result = story.definitions.resolve_job_def("refresh").execute_in_process(
        instance=story.instance, partition_key=story.author.slug, run_config=request.run_config
    )
    assert result.success
    with story.database.transaction() as conn:
        assert import_requests.open_imports(conn) == {}
        assert facts.totals(conn, story.author.id).documents == 2
        assert facts.totals(conn, story.author.id).vectors > 0
        assert ledger.latest_runs(conn, untouched.id) == []
    assert asked(tick(story, MONDAY)) == []


def test_an_upload_that_ends_its_run_again_and_again_is_refused_in_the_end(
    lasting_story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = lasting_story

    def torn(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("torn")

    monkeypatch.setattr(importing, "recognised", torn)
    upload(story, builders.zipped(builders.medium(tmp_path / "m"), tmp_path / "medium.zip"))
    with story.database.transaction() as conn:
        ((asked_id,),) = import_requests.open_imports(conn).values()
    warehouse = PostgresWarehouse(story.database)
    for _ in range(importing.MOST_ATTEMPTS):
        with pytest.raises(RuntimeError):
            importing.take_uploads(story.database, warehouse, story.author, [asked_id], settings=story.settings)
    importing.take_uploads(story.database, warehouse, story.author, [asked_id], settings=story.settings)
    with story.database.transaction() as conn:
        found = import_requests.import_request(conn, story.author.id, asked_id)
    assert found.state == "refused"
    assert "broke off 3 times" in (found.problem or "")
