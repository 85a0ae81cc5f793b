"""Traces grow old: their texts go, then they do, by a sensor that has nothing to do most of the time."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import dagster as dg
from sqlalchemy import text

from tests.graph.scenario import Story
from twin_assets.sensors import old_traces
from twin_core.store.feedback import give_feedback
from twin_core.store.traces import Trace, record_trace


def answered(story: Story, days_ago: int, *, parent: UUID | None = None) -> UUID:
    trace = Trace(
        id=uuid4(),
        author_id=story.author.id,
        question="How do I coil a line?",
        answer="With the lay.",
        outcome="answered",
        prompt_version="1",
        model="m",
        usage={"prompt_tokens": 3, "completion_tokens": 2},
        kind="post",
        parent_id=parent,
    )
    with story.database.transaction() as conn:
        record_trace(conn, trace)
        conn.execute(
            text("UPDATE serving.traces SET at = :at WHERE id = :id"),
            {"at": story.now - timedelta(days=days_ago), "id": trace.id},
        )
    return trace.id


def tick(story: Story) -> dg.SensorResult:
    with dg.build_sensor_context(
        instance=story.instance, definitions=story.definitions, resources=story.definitions.resources
    ) as context:
        result = old_traces(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_texts_go_after_their_days_then_the_traces_and_what_is_younger_stays(lasting_story: Story) -> None:
    story = lasting_story
    oldest, old, young = answered(story, 400), answered(story, 40), answered(story, 4)
    revised = answered(story, 3, parent=oldest)
    with story.database.transaction() as conn:
        give_feedback(conn, story.author.id, old, verdict="down", edited="With the lay, always.")
        give_feedback(conn, story.author.id, old, edited="Coil it.")
        give_feedback(conn, story.author.id, young, edited="Coil it.")
    assert tick(story).run_requests == [], "by default everything is kept"
    story = Story(
        story.settings.model_copy(update={"trace_texts_days": 30, "trace_days": 365}),
        story.database,
        story.instance,
        story.author,
    )
    (request,) = tick(story).run_requests or []
    assert request.tags["twin/why"].startswith("2 traces")
    job = story.definitions.resolve_job_def("tidy_traces")
    assert job.execute_in_process(instance=story.instance).success
    with story.database.transaction() as conn:
        kept = {row.id: row for row in conn.execute(text("SELECT * FROM serving.traces"))}
        said = conn.execute(text("SELECT trace_id, verdict, edited FROM serving.feedback ORDER BY at")).all()
    assert set(kept) == {old, young, revised}
    assert (kept[old].question, kept[old].answer, kept[old].texts) == ("", "", "dropped")
    assert kept[old].usage == {"prompt_tokens": 3, "completion_tokens": 2}
    assert kept[young].answer == "With the lay."
    assert kept[revised].parent_id is None
    assert [tuple(row) for row in said] == [(old, "down", None), (young, None, "Coil it.")]
    assert tick(story).run_requests == [], "nothing is left to do"
