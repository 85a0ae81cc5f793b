"""What collecting a source does to the stores: identity, history, ledger, and what survives trouble."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tests.collect.scripted import END, Desk, found
from twin_core import forgetting, identity
from twin_core.collect import run
from twin_core.errors import InvalidInput, Refused, ServiceUnavailable, SourceUnavailable
from twin_core.records import Category, Failed, Gone, Listed, RawRevision, Skipped, Unchanged
from twin_core.settings import Settings
from twin_core.store import authors, ledger
from twin_core.store.database import Database
from twin_core.store.documents import documents_of_source
from twin_core.store.merging import merge_documents
from twin_core.warehouse.postgres import PostgresWarehouse


@pytest.fixture
def desk(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(database, settings)
    monkeypatch.setattr(run, "collector_for", lambda platform: made.collector)
    return made


def test_a_first_run_stores_everything_and_says_so_item_by_item(desk: Desk) -> None:
    report = desk.sync(
        found("a.md", "One."),
        Skipped(native_id="draft.md", location="/notes/draft.md", reason="a draft"),
        Failed(native_id="bad.md", location="/notes/bad.md", reason="not text"),
        Listed(own_count=3),
    )
    assert (report.fetched, report.skipped, report.failed, report.own_count) == (1, 1, 1, 3)
    assert not report.complete
    assert report.error is None
    assert desk.ledger(report) == {
        "a.md": ("fetched", None), "draft.md": ("skipped", "a draft"), "bad.md": ("failed", "not text"),
    }  # fmt: skip
    assert desk.live() == {"a.md": "One."}


def test_a_second_run_over_the_same_items_changes_nothing(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("b.md", "Two."), END)
    before = desk.rows("SELECT * FROM warehouse.documents ORDER BY id")
    report = desk.sync(found("a.md", "One."), Unchanged(native_id="b.md"), END)
    assert (report.fetched, report.unchanged, report.deleted) == (0, 2, 0)
    assert desk.rows("SELECT * FROM warehouse.documents ORDER BY id") == before


def test_the_collector_is_told_what_is_stored_and_its_validators_are_kept(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), END)
    desk.sync(Unchanged(native_id="a.md", validators={"etag": "x"}), END)
    desk.sync(Unchanged(native_id="a.md"), END)
    assert desk.collector.known["a.md"].validators == {"etag": "x"}
    desk.sync(Failed(native_id="a.md", location="/notes/a.md", reason="404", validators={"missed": "1"}), END)
    desk.sync(Unchanged(native_id="a.md"), END)
    assert desk.collector.known["a.md"].validators == {"missed": "1"}


def test_an_edit_is_a_new_revision_of_the_same_document(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), END)
    document = desk.document_at("a.md")
    desk.sync(found("a.md", "Two."), END)
    assert desk.document_at("a.md") == document
    assert desk.history(document) == ["One.", "Two."]


def test_going_back_to_an_earlier_text_goes_back_to_its_revision(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), END)
    first = desk.rows("SELECT head_revision_id FROM warehouse.documents")
    desk.sync(found("a.md", "Two."), END)
    desk.sync(found("a.md", "One."), END)
    assert desk.rows("SELECT head_revision_id FROM warehouse.documents") == first
    assert len(desk.history(desk.document_at("a.md"))) == 2


def test_a_moved_file_keeps_its_document(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), END)
    document = desk.document_at("a.md")
    report = desk.sync(found("b.md", "One."), END)
    assert desk.document_at("b.md") == document
    assert (report.fetched, report.deleted) == (1, 1)
    assert desk.live() == {"b.md": "One."}


def test_a_file_that_moves_after_it_was_missed_keeps_its_document(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("z.md", "Other."), END)
    document = desk.document_at("a.md")
    desk.sync(found("z.md", "Other."), END)
    assert desk.state(document) == "gone"
    desk.sync(found("z.md", "Other."), found("b.md", "One."), END)
    assert (desk.document_at("b.md"), desk.state(document)) == (document, "live")


def test_a_new_text_at_a_path_whose_text_moved_away_is_a_new_document(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), END)
    first = desk.document_at("a.md")
    desk.sync(found("b.md", "One."), END)
    desk.sync(found("a.md", "Two."), found("b.md", "One."), END)
    assert desk.document_at("b.md") == first
    assert desk.document_at("a.md") == identity.document_id(desk.source.id, "a.md", 1)
    assert desk.live() == {"a.md": "Two.", "b.md": "One."}


def test_the_same_text_in_two_places_is_one_document(desk: Desk) -> None:
    blog = desk.add_source("https://blog.example")
    desk.sync(found("a.md", "One."), END)
    desk.sync(found("post-1", "One.", location="https://blog.example/1"), END, source=blog)
    assert desk.document_at("post-1", blog) == desk.document_at("a.md")
    assert desk.lineage(desk.document_at("a.md")).document.locations == 2


def test_two_identical_new_files_in_one_batch_are_one_document(desk: Desk) -> None:
    desk.sync(found("b.md", "One."), found("a.md", "One."), END)
    assert desk.document_at("a.md") == desk.document_at("b.md") == identity.document_id(desk.source.id, "b.md")


def test_the_same_text_in_another_category_is_another_document(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("a.txt", "One.", category=Category.POST), END)
    assert desk.document_at("a.md") != desk.document_at("a.txt")


def test_a_copy_that_is_edited_becomes_a_document_of_its_own(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("b.md", "One."), END)
    desk.sync(found("a.md", "One."), found("b.md", "Two."), END)
    assert desk.document_at("a.md") != desk.document_at("b.md")
    assert desk.live() == {"a.md": "One.", "b.md": "Two."}


def test_the_copy_keeps_its_text_when_the_original_is_edited(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("b.md", "One."), END)
    original = desk.document_at("a.md")
    desk.sync(found("a.md", "Two."), Unchanged(native_id="b.md"), END)
    assert desk.document_at("a.md") == original
    assert desk.live() == {"a.md": "Two.", "b.md": "One."}
    assert desk.history(desk.document_at("b.md")) == ["One."]


def test_a_cross_post_that_follows_the_edit_stays_the_same_document(desk: Desk) -> None:
    blog = desk.add_source("blog")
    desk.sync(found("a.md", "One."), END)
    desk.sync(found("1", "One."), END, source=blog)
    desk.sync(found("a.md", "Two."), END)
    desk.sync(found("1", "Two."), END, source=blog)
    assert desk.document_at("1", blog) == desk.document_at("a.md")


def test_what_is_no_longer_listed_is_gone_and_comes_back_as_itself(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("b.md", "Two."), END)
    document = desk.document_at("a.md")
    report = desk.sync(found("b.md", "Two."), END)
    assert (report.deleted, desk.state(document)) == (1, "gone")
    assert desk.ledger(report)["a.md"][0] == "deleted"
    desk.sync(found("a.md", "Three."), found("b.md", "Two."), END)
    assert (desk.document_at("a.md"), desk.state(document)) == (document, "live")


def test_a_document_lives_as_long_as_one_of_its_places(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("b.md", "One."), END)
    document = desk.document_at("a.md")
    desk.sync(Gone(native_id="a.md"), Unchanged(native_id="b.md"))
    assert desk.state(document) == "live"
    desk.sync(Gone(native_id="b.md"))
    assert desk.state(document) == "gone"


def test_nothing_is_deleted_by_a_run_that_was_not_listed_to_its_end(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("b.md", "Two."), END)
    desk.sync(Unchanged(native_id="a.md"))
    assert set(desk.live()) == {"a.md", "b.md"}


def test_failed_and_skipped_items_keep_what_is_stored(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("b.md", "Two."), END)
    desk.sync(
        Failed(native_id="a.md", location="/notes/a.md", reason="unreadable"),
        Skipped(native_id="b.md", location="/notes/b.md", reason="robots.txt"),
        END,
    )
    assert set(desk.live()) == {"a.md", "b.md"}


def test_a_piece_turned_back_into_a_draft_is_withdrawn(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("b.md", "Two."), END)
    report = desk.sync(
        Skipped(native_id="a.md", location="/notes/a.md", reason="a draft", withdrawn=True),
        Unchanged(native_id="b.md"),
        END,
    )
    assert desk.ledger(report)["a.md"] == ("deleted", "a draft")
    assert set(desk.live()) == {"b.md"}


def test_a_source_that_breaks_keeps_what_came_before_and_deletes_nothing(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), END)
    report = desk.sync(found("b.md", "Two."), SourceUnavailable("the disk is away"))
    assert report.error == "the disk is away"
    assert not report.complete
    assert set(desk.live()) == {"a.md", "b.md"}


def test_a_collector_with_a_bug_is_an_error_that_quotes_no_text(desk: Desk) -> None:
    report = desk.sync(found("a.md", "One."), KeyError("a private sentence"))
    assert report.error == "the scripted collector broke: KeyError"
    assert set(desk.live()) == {"a.md"}


def test_a_large_source_that_suddenly_lists_nothing_is_not_believed(desk: Desk) -> None:
    many = [found(f"{number}.md", f"Text {number}") for number in range(run.MANY)]
    desk.sync(*many, END)
    report = desk.sync(END)
    assert "nothing was deleted" in (report.error or "")
    assert len(desk.live()) == run.MANY


def test_a_killed_run_is_closed_by_the_next_one(desk: Desk) -> None:
    with desk.database.transaction() as conn:
        ledger.start_run(conn, run_id=uuid4(), author_id=desk.author.id, source_id=desk.source.id)
    desk.sync(found("a.md", "One."), END)
    with desk.database.transaction() as conn:
        runs = ledger.latest_runs(conn, desk.source.id, 2)
    assert [one.error for one in runs] == [None, "interrupted"]
    assert all(one.finished_at for one in runs)


def test_an_item_listed_twice_counts_once(desk: Desk) -> None:
    report = desk.sync(found("a.md", "One."), found("a.md", "One."), END)
    assert (report.fetched, report.failed) == (1, 0)
    report = desk.sync(found("a.md", "Two."), found("a.md", "Three."), END)
    assert "twice" in (desk.ledger(report)["a.md"][1] or "")
    assert desk.live() == {"a.md": "Two."}


def test_more_items_than_a_batch_all_arrive(desk: Desk) -> None:
    many = [found(f"{number}.md", f"Text {number % 150}") for number in range(450)]
    report = desk.sync(*many, END)
    assert report.fetched == 450
    assert desk.rows("SELECT count(*) FROM warehouse.documents") == [(150,)]
    assert desk.sync(*many, END).unchanged == 450


def test_unchanged_of_something_unknown_is_a_failure_not_a_loss(desk: Desk) -> None:
    report = desk.sync(Unchanged(native_id="a.md"), END)
    assert report.failed == 1


@pytest.mark.parametrize("name", ["bad\udcff.md", "nul\0.md", "long" * 600], ids=["surrogate", "nul", "long"])
def test_a_name_that_cannot_be_stored_fails_alone(desk: Desk, name: str) -> None:
    report = desk.sync(found(name, "One."), found("b.md", "Two."), END)
    assert (report.fetched, report.failed) == (1, 1)
    assert set(desk.live()) == {"b.md"}


def test_a_body_that_the_warehouse_cannot_take_fails_alone(desk: Desk) -> None:
    class Small(PostgresWarehouse):
        def put(self, revisions: list[RawRevision]) -> None:  # type: ignore[override]
            if any(len(revision.body) > 100 for revision in revisions):
                raise InvalidInput("larger than this warehouse takes")
            super().put(revisions)

    desk.warehouse = Small(desk.database)
    report = desk.sync(*(found(f"{n}.md", f"Text {n}") for n in range(9)), found("big.md", "x" * 200), END)
    assert (report.fetched, report.failed) == (9, 1)
    assert desk.ledger(report)["big.md"] == ("failed", "larger than this warehouse takes")


def test_a_warehouse_that_is_down_is_raised_and_noted(desk: Desk) -> None:
    class Down(PostgresWarehouse):
        def put(self, revisions: list[RawRevision]) -> None:  # type: ignore[override]
            raise ServiceUnavailable("MongoDB does not answer")

    desk.warehouse = Down(desk.database)
    with pytest.raises(ServiceUnavailable):
        desk.sync(found("a.md", "One."), END)
    assert desk.rows("SELECT error FROM warehouse.collect_runs") == [("stopped: MongoDB does not answer",)]
    assert desk.live() == {}
    desk.warehouse = PostgresWarehouse(desk.database)
    assert desk.sync(found("a.md", "One."), END).fetched == 1


def test_success_is_noted_and_the_next_time_is_set(desk: Desk) -> None:
    with desk.database.transaction() as conn:
        desk.source = authors.add_source(
            conn, author_id=desk.author.id, platform="scripted", locator="/notes", schedule="0 6 * * *",
            consent=desk.source.consent,
        )  # fmt: skip
    desk.sync(found("a.md", "One."), END)
    with desk.database.transaction() as conn:
        assert authors.due_sources(conn, datetime.now(UTC)) == []
    assert desk.rows("SELECT last_success_at IS NOT NULL FROM warehouse.sources") == [(True,)]


def merge(desk: Desk, kept: str, merged: str) -> None:
    with desk.database.transaction() as conn:
        merge_documents(conn, desk.author.id, kept=desk.document_at(kept), merged=desk.document_at(merged))


def test_a_merge_holds_through_later_runs_and_edits_of_both_places(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("b.md", "One, roughly."), END)
    kept, away = desk.document_at("a.md"), desk.document_at("b.md")
    merge(desk, "a.md", "b.md")
    desk.sync(found("a.md", "One."), Unchanged(native_id="b.md"), END)
    desk.sync(found("a.md", "One!"), found("b.md", "One, very roughly."), END)
    assert desk.document_at("b.md") == kept
    assert (desk.state(away), desk.text(kept)) == ("merged", "One!")


def test_the_merged_place_leads_when_the_first_one_is_gone(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("b.md", "One, roughly."), END)
    kept = desk.document_at("a.md")
    merge(desk, "a.md", "b.md")
    desk.sync(Unchanged(native_id="b.md"), END)
    assert (desk.state(kept), desk.text(kept)) == ("live", "One, roughly.")
    desk.sync(found("b.md", "Two."), END)
    assert desk.text(kept) == "Two."


def test_the_same_documents_move_merge_and_split_again_without_loss(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("b.md", "Two."), END)
    merge(desk, "a.md", "b.md")
    desk.sync(found("c.md", "One."), found("b.md", "Two."), END)
    desk.sync(found("c.md", "One."), found("b.md", "One."), END)
    assert desk.live() == {"b.md": "One.", "c.md": "One."}
    desk.sync(found("c.md", "One."), found("b.md", "Three."), END)
    assert desk.live() == {"b.md": "Three.", "c.md": "One."}


def test_a_source_that_is_removed_leaves_to_others_what_they_have_too(desk: Desk) -> None:
    blog = desk.add_source("blog")
    desk.sync(found("a.md", "One."), found("b.md", "Two."), END)
    desk.sync(found("1", "One."), END, source=blog)
    shared, own = desk.document_at("a.md"), desk.document_at("b.md")
    with desk.database.transaction() as conn, pytest.raises(Refused, match="--forget"):
        authors.remove_source(conn, desk.source.id)
    run.withdraw_source(desk.database, desk.warehouse, desk.source)
    with desk.database.transaction() as conn:
        authors.detach_source(conn, desk.source.id)
        assert documents_of_source(conn, desk.source.id) == [own]
    forgetting.forget(desk.database, desk.warehouse, desk.author, [own], settings=desk.settings)
    with desk.database.transaction() as conn:
        authors.remove_source(conn, desk.source.id)
        assert authors.list_sources(conn) == [blog]
    assert desk.live() == {"1": "One."}
    assert desk.lineage(shared).document.source_id == blog.id
