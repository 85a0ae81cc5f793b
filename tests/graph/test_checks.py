"""What the checks find: damage that was done after the stages published."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from tests.graph.scenario import ROPES, TIDES, Story
from twin_assets.checks import CLEANED_RULES, EMBEDDING_RULES
from twin_assets.expectations import evaluate

pytestmark = pytest.mark.slow  # Great Expectations is imported for real


def test_a_hand_deleted_vector_makes_the_check_fail(story: Story, tmp_path: Path) -> None:
    story.folder(tmp_path / "notes", tides=TIDES, ropes=ROPES)
    result, _ = story.refresh()
    assert result.success
    with story.database.transaction() as conn:
        conn.execute(
            text("DELETE FROM features.embeddings WHERE chunk_id = (SELECT min(id::text)::uuid FROM features.chunks)")
        )

    found = story.run_checks()

    assert [name for name, passed in found.items() if not passed] == ["vector_for_every_chunk", "vectors_are_current"]


def test_each_rule_names_the_rows_that_break_it() -> None:
    columns = {
        "chunk_id": ["a", "b", "c", "c"],
        "characters": [10, 0, 5, 5],
        "vectors": [1, 1, 0, 1],
        "norm": [1.0, 0.5, None, 1.001],
        "of_this_text": [1, 1, 0, 1],
    }

    findings = dict(
        zip(
            [rule.name for rule in EMBEDDING_RULES],
            evaluate(EMBEDDING_RULES, columns, identifier="chunk_id"),
            strict=True,
        )
    )

    assert {name: (finding.wrong, finding.examples) for name, finding in findings.items()} == {
        "no_empty_chunk": (1, ("b",)),
        "no_duplicate_chunks": (2, ("c", "c")),
        "vector_for_every_chunk": (1, ("c",)),
        "vectors_are_current": (1, ("c",)),
        "norms_near_one": (1, ("b",)),
    }


def test_nothing_published_breaks_no_rule() -> None:
    findings = evaluate(CLEANED_RULES, {"document_id": [], "characters": [], "words": []}, identifier="document_id")
    assert all(finding.passed for finding in findings)
