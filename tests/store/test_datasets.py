"""Datasets in the database: what is read back, how lineage is joined, and what forgetting leaves of them."""

from __future__ import annotations

from uuid import UUID, uuid5

import pytest
from sqlalchemy import text

from tests.retrieval.scenario import Given, fill
from twin_core import forgetting, identity
from twin_core.errors import InvalidInput, NotFound
from twin_core.records import Author, Category, Example, ExampleKind, Split
from twin_core.settings import Settings
from twin_core.store import datasets
from twin_core.store.database import Database
from twin_core.warehouse.postgres import PostgresWarehouse


def document_of(author: Author, number: int) -> UUID:
    return uuid5(author.id, f"document {number}")


def example(author: Author, number: int, *, context: tuple[int, ...] = (), rejected: str | None = None) -> Example:
    document = document_of(author, number)
    kind = ExampleKind.INSTRUCT if rejected is None else ExampleKind.PREFERENCE
    answer = f"What I know of knot {number}."
    return Example(
        id=identity.example_id(document, kind, answer, rejected or ""),
        author_id=author.id,
        document_id=document,
        revision_id=uuid5(document, "revision"),
        kind=kind,
        category=Category.ARTICLE,
        origin="rule" if rejected is None else "model",
        prompt=(("system", "You write."), ("user", f"Write of knot {number}.")),
        answer=answer,
        rejected=rejected,
        language="en",
        words=6,
        start=0,
        end=len(answer),
        context_document_ids=tuple(document_of(author, other) for other in context),
        input_hash=f"input {number}",
    )


def publish(database: Database, author: Author, examples: list[Example], *, test: tuple[int, ...] = (9,)) -> str:
    held_out = {document_of(author, number) for number in test}
    ranks = {Split.TRAIN: 0, Split.TEST: 0}
    members = []
    for one in examples:
        split = Split.TEST if one.document_id in held_out else Split.TRAIN
        members.append(datasets.Member(example_id=one.id, split=split, rank=ranks[split]))
        ranks[split] += 1
    version = identity.dataset_version_id((one.example_id, one.split) for one in members)
    origins = [
        datasets.Origin(
            document_id=one.document_id,
            revision_id=one.revision_id,
            split=Split.TEST if one.document_id in held_out else Split.TRAIN,
            passages=2,
        )
        for one in examples
    ]
    drops = [
        datasets.Drop(document_id=one.document_id, category=one.category, reason="too short", passages=1)
        for one in examples
    ]
    with database.transaction() as conn:
        datasets.add_examples(conn, examples)
        datasets.publish_version(
            conn,
            version_id=version,
            author_id=author.id,
            kind=examples[0].kind,
            input_hash="h",
            manifest={"made": "by a test"},
            members=members,
            origins=origins,
            drops=drops,
        )
    return version


@pytest.fixture
def ada(database: Database) -> Author:
    return fill(database, "ada", [Given(title=f"Knot {number}", text=f"Knot {number}.") for number in range(10)])


def test_a_version_is_read_back_as_a_frame_with_what_training_needs(database: Database, ada: Author) -> None:
    examples = [example(ada, number) for number in range(10)]
    version = publish(database, ada, examples)
    with database.transaction() as conn:
        train = datasets.read_version(conn, version, "train")
        both = datasets.read_version(conn, version)
        read = datasets.examples_of(conn, version)
    assert train.height == 9
    assert both.height == 10
    assert train["prompt"][0].to_list() == [
        {"role": "system", "content": "You write."},
        {"role": "user", "content": "Write of knot 0."},
    ]
    assert train["completion"].to_list() == [one.answer for one in examples[:9]]
    assert "rejected" not in train.columns
    assert sorted(read, key=lambda one: one.id) == sorted(examples, key=lambda one: one.id)


def test_smaller_fractions_of_train_lie_within_larger_ones_and_test_stays_whole(
    database: Database, ada: Author
) -> None:
    version = publish(database, ada, [example(ada, number) for number in range(10)])
    with database.transaction() as conn:
        parts = [datasets.read_version(conn, version, fraction=fraction) for fraction in (0.25, 0.5, 1.0)]
    train = [set(part.filter(split="train")["id"]) for part in parts]
    assert [len(ids) for ids in train] == [3, 5, 9]
    assert train[0] < train[1] < train[2]
    assert [part.filter(split="test").height for part in parts] == [1, 1, 1]


def test_preferences_are_read_as_chosen_and_rejected(database: Database, ada: Author) -> None:
    version = publish(database, ada, [example(ada, 1, rejected="As an assistant, I would say so.")])
    with database.transaction() as conn:
        frame = datasets.read_version(conn, version)
    assert frame["chosen"].to_list() == ["What I know of knot 1."]
    assert frame["rejected"].to_list() == ["As an assistant, I would say so."]


def test_wrong_questions_are_told_what_to_do(database: Database, ada: Author) -> None:
    version = publish(database, ada, [example(ada, 1)])
    with database.transaction() as conn:
        with pytest.raises(NotFound, match="twin dataset list"):
            datasets.read_version(conn, "0" * 64)
        with pytest.raises(InvalidInput, match="fraction"):
            datasets.read_version(conn, version, fraction=0)
        with pytest.raises(InvalidInput, match="at least 6"):
            datasets.resolve_version(conn, ada.id, version[:3])
        with pytest.raises(NotFound):
            datasets.resolve_version(conn, identity.author_id("bob"), version)
        assert datasets.resolve_version(conn, ada.id, version[:8]).id == version


def test_lineage_is_a_join_in_both_directions(database: Database, ada: Author) -> None:
    first = publish(database, ada, [example(ada, 1), example(ada, 2)])
    second = publish(database, ada, [example(ada, 2), example(ada, 3)])
    with database.transaction() as conn:
        (up,) = conn.execute(
            text("""
                SELECT s.platform, s.locator, c.title, e.revision_id
                FROM training.examples e
                JOIN warehouse.documents d ON d.id = e.document_id
                JOIN warehouse.sources s ON s.id = d.source_id
                JOIN features.cleaned_documents c ON c.revision_id = e.revision_id
                WHERE e.id = :id
            """),
            {"id": example(ada, 1).id},
        ).all()
        down = datasets.versions_of_document(conn, ada.id, document_of(ada, 2))
        only = datasets.versions_of_document(conn, ada.id, document_of(ada, 3))
    assert tuple(up)[:3] == ("folder", "blog", "Knot 1")
    assert {version for version, _, _ in down} == {first, second}
    assert only == [(second, "train", 1)]


def test_an_example_is_known_until_what_its_prompt_quotes_has_changed(database: Database, ada: Author) -> None:
    publish(database, ada, [example(ada, 1), example(ada, 2, context=(1,)), example(ada, 3, context=(4,))])
    with database.transaction() as conn:
        conn.execute(
            text("""
                INSERT INTO warehouse.revisions (id, author_id, document_id, source_id, native_id, content_hash, fetched_at)
                SELECT head_revision_id, author_id, id, source_id, 'n', content_hash, now() - interval '1 day'
                FROM warehouse.documents
            """)
        )
        assert set(datasets.known_examples(conn, ada.id, ExampleKind.INSTRUCT)) == {"input 1", "input 2", "input 3"}
        conn.execute(
            text("UPDATE warehouse.revisions SET fetched_at = now() + interval '1 day' WHERE document_id = :id"),
            {"id": document_of(ada, 1)},
        )
        conn.execute(text("UPDATE warehouse.documents SET state = 'gone' WHERE id = :id"), {"id": document_of(ada, 4)})
        assert set(datasets.known_examples(conn, ada.id, ExampleKind.INSTRUCT)) == {"input 1"}


def test_forgetting_takes_the_examples_that_are_of_it_or_quote_it_and_taints_their_versions(
    database: Database, ada: Author, settings: Settings
) -> None:
    touched = publish(database, ada, [example(ada, 1), example(ada, 2, context=(1,)), example(ada, 3)])
    clean = publish(database, ada, [example(ada, 3)])
    with database.transaction() as conn:
        datasets.keep_answers(
            conn,
            ada.id,
            [
                datasets.KeptAnswer(
                    document_id=document_of(ada, number),
                    key="k",
                    purpose="rejected",
                    model="m",
                    prompt_version="1",
                    answer="a",
                    context_document_ids=context,
                )
                for number, context in ((1, ()), (2, (document_of(ada, 1),)), (3, ()))
            ],
        )
    receipt = forgetting.forget(database, PostgresWarehouse(database), ada, [document_of(ada, 1)], settings=settings)
    assert receipt.stores["examples"] == forgetting.Counted(before=2, after=0)
    assert receipt.stores["model answers"] == forgetting.Counted(before=2, after=0)
    assert receipt.stores["dataset documents"].before == receipt.stores["dataset drops"].before == 1
    with database.transaction() as conn:
        assert datasets.resolve_version(conn, ada.id, touched).tainted_at is not None
        assert datasets.resolve_version(conn, ada.id, clean).tainted_at is None
        assert datasets.read_version(conn, touched)["completion"].to_list() == ["What I know of knot 3."]
        assert [key for key, _ in datasets.kept_answers(conn, ada.id, "rejected")] == [document_of(ada, 3)]
