"""Drift over the embeddings that the graph really made: another genre moves the writing, more of the same does not."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.graph.scenario import Story
from tests.graph.test_promotion import said, tick
from tests.store.test_adapters import begin, register
from tests.training.scenario import ROOT
from twin_assets.sensors import retrain
from twin_core import identity
from twin_core.models.tiny_base import reference_texts
from twin_core.monitoring import learning
from twin_core.monitoring.drift import Drift
from twin_core.records import Category, Example, ExampleKind, Split
from twin_core.store import datasets

pytestmark = pytest.mark.slow  # the embedding model reads 90 texts for real

POSTS = [path.read_text("utf-8") for path in sorted((ROOT / "demo" / "posts").glob("*.md"))]
SIDE = 21


def of_such_lengths(texts: list[str]) -> list[str]:
    """Reference texts as long as these, so that it is not the length that tells."""
    there = sorted((one for one in reference_texts() if len(one.split()) > 30), key=lambda one: len(one.split()))
    lengths = [len(one.split()) for one in there]
    chosen: list[str] = []
    for wanted in sorted(len(re.sub(r"^---\n.*?\n---\n", "", one, flags=re.DOTALL).split()) for one in texts):
        at = next((at for at, words in enumerate(lengths) if words >= wanted), len(there) - 1)
        chosen.append(there.pop(at))
        lengths.pop(at)
    return chosen


def write(folder: Path, kind: str, texts: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    for number, one in enumerate(texts):
        (folder / f"{kind}-{number}.md").write_text(one)


def dataset(story: Story, *, count: int) -> str:
    """A dataset version made from every live document, with so many examples."""
    with story.database.transaction() as conn:
        rows = conn.execute(
            text("SELECT id, head_revision_id FROM warehouse.documents WHERE state = 'live' ORDER BY id")
        )
        documents = [(row[0], row[1]) for row in rows]
        document, revision = documents[0]
        examples = [
            Example(
                id=identity.example_id(document, ExampleKind.INSTRUCT, f"example {number}", ""),
                author_id=story.author.id,
                document_id=document,
                revision_id=revision,
                kind=ExampleKind.INSTRUCT,
                category=Category.POST,
                origin="rule",
                prompt=(("user", "Write."),),
                answer=f"example {number}",
                rejected=None,
                language="en",
                words=2,
                start=0,
                end=1,
                input_hash=str(number),
            )
            for number in range(count)
        ]
        version = identity.dataset_version_id((one.id, Split.TRAIN) for one in examples)
        datasets.add_examples(conn, examples)
        datasets.publish_version(
            conn,
            version_id=version,
            author_id=story.author.id,
            kind=ExampleKind.INSTRUCT,
            input_hash=str(count),
            manifest={},
            members=[
                datasets.Member(example_id=one.id, split=Split.TRAIN, rank=rank) for rank, one in enumerate(examples)
            ],
            origins=[
                datasets.Origin(document_id=one, revision_id=head, split=Split.TRAIN, passages=1)
                for one, head in documents
            ],
            drops=[],
        )
    return version


def drift_of(story: Story) -> Drift:
    with story.database.transaction() as conn:
        facts, _ = learning.facts(conn, story.author.id, story.now)
    assert facts.drift is not None
    return facts.drift


def test_another_genre_is_drift_and_more_of_the_same_is_none(story: Story, tmp_path: Path) -> None:
    learnt, same = POSTS[0 : 2 * SIDE : 2], POSTS[1 : 2 * SIDE : 2]
    story.folder(tmp_path / "own")
    write(tmp_path / "own", "learnt", learnt)
    result, _ = story.refresh()
    assert result.success
    register(story.database, begin(story.database, story.author, dataset(story, count=60)), "one")

    write(tmp_path / "own", "same", same)
    story.refresh()
    found = drift_of(story)
    assert not found.moved, str(found)

    for path in (tmp_path / "own").glob("same-*.md"):
        path.unlink()
    write(tmp_path / "own", "other", of_such_lengths(same))
    story.refresh()
    found = drift_of(story)
    assert found.p < 0.01, str(found)
    assert found.shift > found.shift_by_chance
    assert found.length_psi < max(0.2, found.length_by_chance), "it is not the length that tells"

    # With something new to learn, though too little by itself, that is a reason.
    with story.database.transaction() as conn:
        conn.exec_driver_sql("UPDATE training.attempts SET started_at = now() - interval '2 days'")
    dataset(story, count=75)
    (request,) = tick(story, retrain, datetime.now(UTC)).run_requests or []
    assert request.partition_key == "ann"


def test_too_little_that_is_new_is_no_reason_whatever_it_is(story: Story) -> None:
    assert said(tick(story, retrain)) == "ann: no dataset yet"
