"""From a trained adapter to the champion in the graph, and three days on which a twin learns by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import dagster as dg
import pytest

from tests.champion.lora_server import LoraServer
from tests.champion.scenario import BELOW, Bench
from tests.champion.test_forgotten import forget
from tests.graph.scenario import Story
from twin_assets.sensors import LEARN_KEY, approvals, retrain
from twin_core import identity
from twin_core.champion.promoting import carry_out
from twin_core.records import Category, Example, ExampleKind, Split
from twin_core.settings import Settings
from twin_core.store import datasets, registry
from twin_core.store.adapters import Adapter
from twin_core.store.database import Database

MONDAY = datetime.now(UTC).replace(microsecond=0)
"""Now, because attempts are stamped by the database."""


@pytest.fixture
def engine() -> Iterator[LoraServer]:
    server = LoraServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bench(database: Database, settings: Settings, engine: LoraServer, tmp_path: Path) -> Bench:
    changed = {
        "llm_url": engine.url,
        "llm_engine": "vllm",
        "llm_model": "base",
        "llm_adapters": tmp_path / "adapters",
        "mlflow_url": "off",
    }
    return Bench(database, settings.model_copy(update=changed))


@pytest.fixture
def story(bench: Bench) -> Iterator[Story]:
    with dg.instance_for_test() as instance:
        yield Story(bench.settings, bench.database, instance, bench.author, now=MONDAY)


def tick(story: Story, sensor: Callable[..., object], now: datetime | None = None) -> dg.SensorResult:
    """As the daemon does: with the cursor of the tick before, and its events reported."""
    story.now = now or story.now
    with dg.build_sensor_context(
        instance=story.instance,
        definitions=story.definitions,
        resources=story.definitions.resources,
        cursor=story.cursors.get(id(sensor)),
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    if result.cursor is not None:
        story.cursors[id(sensor)] = result.cursor
    for event in result.asset_events:
        assert isinstance(event, dg.AssetMaterialization)
        story.instance.report_runless_asset_event(event)
    return result


def run(story: Story, request: dg.RunRequest, job: str) -> dg.ExecuteInProcessResult:
    return story.definitions.resolve_job_def(job).execute_in_process(
        instance=story.instance,
        partition_key=request.partition_key,
        tags=request.tags,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def said(result: dg.SensorResult) -> str:
    assert result.skip_reason is not None
    return str(result.skip_reason.skip_message)


def test_an_approval_is_reported_carried_out_once_and_promotes_exactly_what_was_approved(
    bench: Bench, story: Story
) -> None:
    first, second = bench.adapter("one"), bench.adapter("two")
    bench.evaluate(first)
    bench.evaluate(second)
    assert said(tick(story, approvals)) == "No decision is open."
    bench.approve(first)
    result = tick(story, approvals)
    (request,) = result.run_requests or []
    (event,) = result.asset_events
    assert (event.asset_key, event.partition) == (dg.AssetKey("adapter_approval"), "ann")
    assert event.metadata["adapter"].value == first.id
    done = run(story, request, "promote")
    assert done.success
    assert bench.serving() == "ann-v1"
    (shown,) = done.asset_materializations_for_node("champion")
    assert shown.metadata["serving"].value == "ann-v1"
    assert story.version("champion") == first.id
    assert said(tick(story, approvals)) == "No decision is open."


def test_what_was_carried_out_elsewhere_and_gone_back_from_is_shown_all_the_same(bench: Bench, story: Story) -> None:
    adapter, settings = bench.adapter("one"), bench.settings
    bench.evaluate(adapter)
    assert said(tick(story, approvals)) == "No decision is open."
    # `twin approve` decides and carries out in a process of its own.
    carry_out(bench.database, bench.author, bench.approve(adapter), settings=settings)
    result = tick(story, approvals)
    (event,) = result.asset_events
    assert (event.metadata["adapter"].value, event.metadata["by"].value) == (adapter.id, "ann")
    (request,) = result.run_requests or []
    assert run(story, request, "promote").success
    assert story.version("champion") == adapter.id
    assert said(again := tick(story, approvals)) == "No decision is open."
    assert again.asset_events == []

    with bench.database.transaction() as conn:
        registry.go_back(conn, bench.author.id, "test")
    (request,) = tick(story, approvals).run_requests or []
    assert run(story, request, "promote").success
    assert story.version("champion") == "nothing"
    assert said(tick(story, approvals)) == "No decision is open."


def test_a_decision_that_is_committed_late_is_told_once(bench: Bench, story: Story) -> None:
    first, second = bench.adapter("one"), bench.adapter("two")
    with bench.database.transaction() as open_yet:
        registry.decide(
            open_yet, author_id=bench.author.id, adapter_id=first.id, verdict="reject", by="ann", reason="Not this one."
        )
        bench.decide(second, "reject", "Nor this.")
        assert [one.metadata["adapter"].value for one in tick(story, approvals).asset_events] == [second.id]
    assert [one.metadata["adapter"].value for one in tick(story, approvals).asset_events] == [first.id]
    assert tick(story, approvals).asset_events == []


def test_a_refused_approval_is_told_and_changes_nothing(bench: Bench, story: Story) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter, safety=BELOW)
    bench.approve(adapter)
    (request,) = tick(story, approvals).run_requests or []
    done = run(story, request, "promote")
    assert done.success
    (shown,) = done.asset_materializations_for_node("champion")
    assert "guardrail of safety" in str(shown.metadata["decisions"].value)
    assert bench.serving() is None
    (check,) = (one for one in done.get_asset_check_evaluations() if one.check_name == "as_decided")
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN), "a green run in which nothing changed"
    assert "guardrail of safety" in str(check.description)


def test_an_adapter_that_does_not_come_up_fails_the_run_and_is_tried_again_after_a_pause(
    bench: Bench, story: Story, engine: LoraServer
) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    bench.approve(adapter)
    engine.mute.add("ann-v1")
    (request,) = tick(story, approvals).run_requests or []
    assert not run(story, request, "promote").success
    assert "tried a moment ago" in said(tick(story, approvals, datetime.now(UTC)))
    engine.mute.clear()
    again = tick(story, approvals, datetime.now(UTC) + timedelta(hours=1))
    assert again.asset_events == [], "a decision is reported once"
    (request,) = again.run_requests or []
    assert run(story, request, "promote").success
    assert bench.serving() == "ann-v1"


def whole_run(story: Story, minutes: float) -> dg.ExecuteInProcessResult:
    """The last step of `teach`."""
    return story.definitions.resolve_job_def("teach").execute_in_process(
        instance=story.instance,
        partition_key="ann",
        asset_selection=[dg.AssetKey("champion")],
        run_config={
            "ops": {"champion": {"config": {"wait_minutes": minutes}}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
    )


def approve_while_it_waits(bench: Bench, story: Story, adapter: Adapter) -> dg.ExecuteInProcessResult:
    ended: list[dg.ExecuteInProcessResult] = []
    run_of_minutes = threading.Thread(target=lambda: ended.append(whole_run(story, 5)))
    run_of_minutes.start()
    try:
        said = "Waiting up to 5 minutes for a decision: twin approve v1 --author ann"
        while not any(
            said in log.user_message for one in story.instance.get_runs() for log in story.instance.all_logs(one.run_id)
        ):
            assert run_of_minutes.is_alive(), ended
            time.sleep(0.1)
        assert bench.serving() is None
    finally:
        bench.approve(adapter)
        run_of_minutes.join()
    return ended[0]


def test_a_run_waits_for_a_decision_and_no_longer_than_it_was_told(bench: Bench, story: Story) -> None:
    bench.evaluate(adapter := bench.adapter("one"))
    (shown,) = whole_run(story, 0.01).asset_materializations_for_node("champion")
    assert shown.metadata["serving"].value == "the base model"
    done = approve_while_it_waits(bench, story, adapter)
    (shown,) = done.asset_materializations_for_node("champion")
    assert shown.metadata["serving"].value == bench.serving() == "ann-v1"
    assert all(one.passed for one in done.get_asset_check_evaluations())


def test_a_run_waits_for_another_decision_where_the_rule_refused_the_last_one(bench: Bench, story: Story) -> None:
    bench.evaluate(adapter := bench.adapter("one"), safety=BELOW)
    bench.approve(adapter)
    whole_run(story, 5)
    assert bench.serving() is None
    bench.evaluate(adapter)
    approve_while_it_waits(bench, story, adapter)
    assert bench.serving() == "ann-v1"


def test_the_newest_adapter_is_not_measured_twice(bench: Bench, story: Story) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    result = story.definitions.resolve_job_def("learn").execute_in_process(
        instance=story.instance, partition_key="ann", asset_selection=[dg.AssetKey("evaluation")]
    )
    (shown,) = result.asset_materializations_for_node("evaluation")
    assert (shown.metadata["verdict"].value, shown.metadata["adapter"].value) == ("better", "v1")
    with bench.database.transaction() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM training.evaluations").scalar() == 1


def test_three_days_on_which_a_twin_learns_by_itself(bench: Bench, story: Story) -> None:
    # Monday: the first adapter serves, and there are too few new examples.
    first = bench.adapter("one")
    bench.evaluate(first)
    bench.approve(first)
    (request,) = tick(story, approvals).run_requests or []
    run(story, request, "promote")
    more(bench, 37)
    assert "37 of 50 new examples; trained a moment ago" in said(tick(story, retrain))
    tuesday = datetime.now(UTC) + timedelta(days=1, minutes=1)
    assert said(tick(story, retrain, tuesday)) == "ann: 37 of 50 new examples"

    # Tuesday: enough has come. One run is asked for, and no second one while that is new, active or failed.
    version = more(bench, 55)
    (asked,) = tick(story, retrain, tuesday).run_requests or []
    assert (asked.partition_key, asked.tags[LEARN_KEY]) == ("ann", version)
    (same,) = tick(story, retrain, tuesday + timedelta(minutes=10)).run_requests or []
    assert same.run_key == asked.run_key, "Dagster starts one run per key"
    story.instance.create_run_for_job(
        story.definitions.resolve_job_def("learn"),
        status=dg.DagsterRunStatus.FAILURE,
        tags={"dagster/partition": "ann", **asked.tags},
    )
    failed = datetime.now(UTC) + timedelta(days=1, minutes=2)
    # The failed run is stamped by the clock of this machine; a cooldown after it nothing has been asked for.
    assert tick(story, retrain, datetime.now(UTC) + timedelta(hours=23)).run_requests == []
    (again,) = tick(story, retrain, failed).run_requests or []
    assert again.run_key != asked.run_key

    # Wednesday: the second adapter is there, measured beside the champion, and approved; exactly it serves.
    second = bench.adapter("two", version_id=version)
    bench.evaluate(second, champion=first)
    assert "0 of 50 new examples" in said(tick(story, retrain))
    bench.approve(second)
    (request,) = tick(story, approvals).run_requests or []
    assert run(story, request, "promote").success
    assert bench.serving() == "ann-v2"
    with bench.database.transaction() as conn:
        assert [one.adapter_id for one in registry.deployments(conn, states=["serving"])] == [second.id]

    # A document is forgotten: the champion is tainted, the graph says so by itself, and its dataset is not learnt again.
    with bench.database.transaction() as conn:
        forgotten = conn.exec_driver_sql("SELECT min(document_id::text) FROM training.dataset_documents").scalar_one()
    forget(bench, UUID(forgotten))
    (request,) = tick(story, approvals).run_requests or []
    done = run(story, request, "promote")
    (shown,) = done.asset_materializations_for_node("champion")
    assert (shown.metadata["serving"].value, shown.metadata["tainted"].value) == ("ann-v2", True)
    checks = {one.check_name: one for one in done.get_asset_check_evaluations()}
    assert (checks["untainted"].passed, checks["shown_in_mlflow"].passed) == (False, True)
    assert checks["untainted"].severity == dg.AssetCheckSeverity.WARN
    assert said(tick(story, approvals)) == "No decision is open."
    assert said(tick(story, retrain)) == "ann: no dataset yet"

    # What was trained on it before is refused, whatever its figures.
    third = bench.adapter("three")
    bench.evaluate(third, champion=second)
    bench.approve(third)
    (request,) = tick(story, approvals).run_requests or []
    (shown,) = run(story, request, "promote").asset_materializations_for_node("champion")
    assert "was forgotten" in str(shown.metadata["decisions"].value)
    assert bench.serving() == "ann-v2"


def more(bench: Bench, count: int) -> str:
    """A dataset version with all that there was and `count` examples more."""
    with bench.database.transaction() as conn:
        old = datasets.members_of(conn, bench.version_id)
        origins = datasets.origins_of(conn, bench.version_id)
        (document, origin) = next((key, one) for key, one in origins.items() if one.split == Split.TRAIN)
        new = [
            Example(
                id=identity.example_id(document, ExampleKind.INSTRUCT, f"new {number}", ""),
                author_id=bench.author.id,
                document_id=document,
                revision_id=origin.revision_id,
                kind=ExampleKind.INSTRUCT,
                category=Category.ARTICLE,
                origin="rule",
                prompt=(("user", "Write."),),
                answer=f"new {number}",
                rejected=None,
                language="en",
                words=2,
                start=0,
                end=1,
                input_hash=f"new {number}",
            )
            for number in range(count)
        ]
        sides = {**old, **{one.id: Split.TRAIN for one in new}}
        version = identity.dataset_version_id(sides.items())
        datasets.add_examples(conn, new)
        datasets.publish_version(
            conn,
            version_id=version,
            author_id=bench.author.id,
            kind=ExampleKind.INSTRUCT,
            input_hash=str(count),
            manifest={},
            members=[
                datasets.Member(example_id=key, split=split, rank=rank)
                for rank, (key, split) in enumerate(sorted(sides.items()))
            ],
            origins=list(origins.values()),
            drops=[],
        )
    return version
