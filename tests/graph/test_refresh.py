"""What a refresh does: only what changed, everything that can be done, and red when something could not."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest
from dagster._serdes import serialize_value

from tests.graph.scenario import LAMPS, ROPES, TIDES, Story
from twin_core.store import facts

pytestmark = pytest.mark.slow  # the embedding model and Great Expectations are imported for real

ASSETS = ("raw_documents", "cleaned_documents", "chunks", "embeddings")


def test_a_second_refresh_does_nothing_and_says_so(story: Story, tmp_path: Path) -> None:
    story.folder(tmp_path / "notes", tides=TIDES, ropes=ROPES)
    first, report = story.refresh()
    assert first.success
    assert report.sources[0].fetched == 2
    versions = {asset: story.version(asset) for asset in ASSETS}

    second, report = story.refresh()

    assert second.success
    assert not report.changed
    assert report.sources[0].unchanged == 2
    assert all((stage.done, stage.rows) == (0, 0) for stage in report.stages.values())
    assert {asset: story.version(asset) for asset in ASSETS} == versions
    checks = second.get_asset_check_evaluations()
    assert [
        one.check_name for one in checks if one.metadata.get("evaluated_now") and one.metadata["evaluated_now"].value
    ] == []
    assert len(checks) == 11


def test_an_edited_file_is_the_only_one_redone(story: Story, tmp_path: Path) -> None:
    story.folder(tmp_path / "notes", tides=TIDES, ropes=ROPES)
    story.refresh()
    before = story.version("embeddings")
    (tmp_path / "notes" / "ropes.md").write_text(ROPES + "\nA reef knot is for parcels.\n")

    result, report = story.refresh()

    assert result.success
    assert (report.sources[0].fetched, report.sources[0].unchanged) == (1, 1)
    assert {name: stage.done for name, stage in report.stages.items()} == {
        "cleaned_documents": 1,
        "chunks": 1,
        "embeddings": 1,
    }
    assert story.version("embeddings") != before


def test_a_deleted_file_takes_its_chunks_and_vectors_along(story: Story, tmp_path: Path) -> None:
    story.folder(tmp_path / "notes", tides=TIDES, ropes=ROPES)
    story.refresh()
    (tmp_path / "notes" / "ropes.md").unlink()

    result, report = story.refresh()

    assert result.success
    assert report.sources[0].deleted == 1
    with story.database.transaction() as conn:
        now = facts.totals(conn, story.author.id)
    assert (now.documents, now.cleaned, now.chunks, now.vectors) == (1, 1, 1, 1)


def test_a_source_that_fails_leaves_the_rest_stored_and_the_run_red(story: Story, tmp_path: Path) -> None:
    story.folder(tmp_path / "notes", tides=TIDES)
    story.folder(tmp_path / "gone", lamps=LAMPS)
    shutil.rmtree(tmp_path / "gone")

    result, report = story.refresh()

    assert not result.success
    failed = [event.step_key for event in result.all_events if event.is_step_failure]
    assert failed == ["refresh_outcome"]
    assert [one.fetched for one in report.sources] == [1, 0]
    assert report.sources[1].error is not None
    with story.database.transaction() as conn:
        assert facts.totals(conn, story.author.id).vectors == 1
    check = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
    assert check.pop("collected_completely") is False
    assert all(check.values())


def test_what_the_graph_keeps_of_a_run_holds_no_word_of_the_texts(story: Story, tmp_path: Path) -> None:
    story.folder(tmp_path / "notes", a="# Quixotic title\n\nThe zephyr said xylophone to me, and I wrote it down.\n")
    result, _ = story.refresh()

    kept = "".join(serialize_value(entry) for entry in story.instance.all_logs(result.run_id))

    assert "ledger" in kept
    for word in ("Quixotic", "zephyr", "xylophone"):
        assert word not in kept


def test_a_source_that_suddenly_gives_no_text_is_a_warning_and_not_a_failure(story: Story, tmp_path: Path) -> None:
    story.folder(tmp_path / "notes", tides=TIDES, ropes=ROPES, lamps=LAMPS)
    result, _ = story.refresh()
    assert result.success
    assert all(one.passed for one in result.get_asset_check_evaluations())
    for file in (tmp_path / "notes").iterdir():
        file.write_text(" \n")

    result, _ = story.refresh()

    assert result.success
    (said,) = [one for one in result.get_asset_check_evaluations() if not one.passed]
    assert said.check_name == "items_have_text"
    assert said.severity is dg.AssetCheckSeverity.WARN
    assert "3 of 3 items" in str(said.description)
    (event,) = result.asset_materializations_for_node("raw_documents")
    assert event.metadata["alarms"].value == 1
    assert "its own count" in str(event.metadata["standing"].value)
