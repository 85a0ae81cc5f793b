"""The dataset assets: a version with its check, nothing to publish without a failure, a broken rule with one."""

from __future__ import annotations

import random
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from tests.datasets.scenario import prose
from tests.graph.scenario import Story
from twin_assets.dataset_rules import validator
from twin_core.datasets.measures import measure
from twin_core.records import Category, Example, ExampleKind, Split
from twin_core.settings import Settings
from twin_core.store import datasets as store

pytestmark = pytest.mark.slow  # the embedding model and Great Expectations are imported for real


def build(story: Story, **options: object) -> dg.ExecuteInProcessResult:
    return story.definitions.resolve_job_def("datasets").execute_in_process(
        instance=story.instance,
        partition_key=story.author.slug,
        raise_on_error=False,
        run_config={
            "ops": {"instruct_dataset": {"config": options}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
    )


def said(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def notes(count: int) -> dict[str, str]:
    return {f"note{number}": f"# Note {number}\n\n{prose(number)}\n" for number in range(count)}


def test_a_version_is_published_with_its_check_card_report_and_parquet(story: Story, tmp_path: Path) -> None:
    story.folder(tmp_path / "notes", **notes(20))
    story.refresh()

    result = build(story)

    assert result.success
    found = said(result, "instruct_dataset")
    assert (found["outcome"], found["examples"]) == ("published", 20)
    assert story.version("instruct_dataset") == found["version"]
    (check,) = (one for one in result.get_asset_check_evaluations() if one.asset_key.path[-1] == "instruct_dataset")
    assert check.passed
    page = Path(str(check.metadata["report"].value).removeprefix("file://")).read_text()
    assert "No train example shares 13 words" in page
    assert "http" not in page, "a report fetches nothing when it is opened"
    assert Path(str(found["parquet"]).removeprefix("file://")).read_bytes()[:4] == b"PAR1"
    assert "## Limits" in str(found["card"])
    assert not any(prose(number)[:60] in str(found) for number in range(20)), "metadata hold no passages"
    assert "nothing to publish" in str(said(result, "preference_dataset")["outcome"])

    again = build(story)

    assert said(again, "instruct_dataset")["outcome"] == "unchanged"


def test_too_few_documents_are_an_outcome_and_no_failure(story: Story, tmp_path: Path) -> None:
    story.folder(tmp_path / "notes", **notes(3))
    story.refresh()

    result = build(story)

    assert result.success
    assert "3 different texts are too few" in str(said(result, "instruct_dataset")["outcome"])
    with story.database.transaction() as conn:
        assert store.list_versions(conn, story.author.id) == []


def test_a_shrunken_set_fails_the_run_and_leaves_what_is_published(story: Story, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    story.folder(folder, **notes(20))
    story.refresh()
    build(story)
    for number in range(8):
        (folder / f"note{number}.md").unlink()
    story.refresh()

    assert not build(story).success

    with story.database.transaction() as conn:
        assert [one.examples for one in store.list_versions(conn, story.author.id)] == [20]
    assert build(story, allow_shrink=True).success


def example(number: int, answer: str, **changes: object) -> Example:
    from uuid import UUID

    values: dict[str, object] = {
        "id": f"{number:064x}", "author_id": UUID(int=1), "document_id": UUID(int=number),
        "revision_id": UUID(int=number), "kind": ExampleKind.INSTRUCT, "category": Category.ARTICLE, "origin": "rule",
        "prompt": (("system", "s"), ("user", f"Task: write number {number}")), "answer": answer, "language": "en",
        "words": 1, "start": 0, "end": 1, "input_hash": "h", **changes,
    }  # fmt: skip
    return Example(**values)  # type: ignore[arg-type]


def test_each_rule_holds_back_what_breaks_it() -> None:
    sound = {number: example(number, prose(number)) for number in range(6)}
    sides = {one.id: Split.TEST if number > 3 else Split.TRAIN for number, one in sound.items()}
    shared = " ".join(prose(4).split()[:20])
    broken = {
        "no_shared_runs": example(0, f"{prose(0)} {shared}"),
        "no_near_copies_across": example(0, f"{prose(4)} And so on."),
        "no_near_copies": example(0, f"{prose(1)} And so on."),
        "lengths": example(0, "Two words."),
        "languages": example(0, prose(0), language="fi"),
        "private": example(0, f"{prose(0)} Write to keeper@tidewater.io."),
    }
    settings = Settings(_env_file=None)
    for rule, wrong in {"": sound[0], **broken}.items():
        measures = measure([wrong, *list(sound.values())[1:]], sides, spoken=frozenset({"en"}), keep=(), before=None)
        verdict = validator(settings)(measures)
        failed = [name for name, holds, _ in verdict.findings if not holds]
        assert verdict.passed == (not rule)
        assert (rule in failed) if rule else not failed, (rule, failed)


def test_rule_made_instructions_hold_back_only_where_the_settings_say_so() -> None:
    random.seed(1)
    sound = [example(number, prose(number)) for number in range(4)]
    sides = {one.id: Split.TEST if number > 1 else Split.TRAIN for number, one in enumerate(sound)}
    measures = measure(sound, sides, spoken=frozenset({"en"}), keep=(), before=10)
    verdict = validator(Settings(dataset_most_rule_made=0.5, _env_file=None))(measures)
    assert [name for name, holds, _ in verdict.findings if not holds] == ["rule_made", "not_shrunken"]


def test_the_chain_from_an_example_to_its_source_and_from_a_document_to_its_versions(
    story: Story, tmp_path: Path
) -> None:
    source = story.folder(tmp_path / "notes", **notes(12))
    story.refresh()
    version = said(build(story), "instruct_dataset")["version"]
    with story.database.transaction() as conn:
        rows = conn.execute(
            text("""
                SELECT e.id, d.source_id, r.id = e.revision_id AS from_head, v.version_id
                FROM training.examples e
                JOIN warehouse.documents d ON d.id = e.document_id
                JOIN warehouse.revisions r ON r.id = d.head_revision_id
                JOIN training.dataset_documents v ON v.document_id = d.id
            """)
        ).all()
    assert len(rows) == 12
    assert {(row.source_id, row.from_head, row.version_id) for row in rows} == {(source.id, True, version)}
