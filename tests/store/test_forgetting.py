"""Forgetting: nothing is left, nothing comes back, and an interruption anywhere is made good."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.collect.scripted import END, Desk, found
from twin_core import forgetting
from twin_core.collect import run
from twin_core.errors import NotFound, ServiceUnavailable, TwinError
from twin_core.forgetting import Receipt
from twin_core.records import Found
from twin_core.settings import Settings
from twin_core.store import purging
from twin_core.store.database import Database
from twin_core.store.merging import merge_documents
from twin_core.warehouse.postgres import PostgresWarehouse

A, B = found("a.md", "One."), found("b.md", "Two.")


@pytest.fixture
def desk(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(database, settings)
    monkeypatch.setattr(run, "collector_for", lambda platform: made.collector)
    made.sync(A, B, END)
    return made


def forget(desk: Desk, *documents: UUID) -> Receipt:
    return forgetting.forget(desk.database, desk.warehouse, desk.author, documents, settings=desk.settings)


def traces_of(desk: Desk, *words: str) -> dict[str, int]:
    """Rows of any table of the product, tombstones and requests aside, that hold one of these words."""
    tables = desk.rows("""
        SELECT table_schema || '.' || table_name FROM information_schema.tables
        WHERE table_schema IN ('warehouse', 'features', 'training', 'serving') AND table_type = 'BASE TABLE'
          AND table_name NOT IN ('tombstones', 'forget_requests')
    """)
    found_in = {}
    for (table,) in tables:
        for word in words:
            (count,) = desk.rows(f"SELECT count(*) FROM {table} t WHERE t::text LIKE :word", word=f"%{word}%")[0]
            if count:
                found_in[f"{table}: {word}"] = int(str(count))
    return found_in


def test_the_receipt_counts_every_store_down_to_zero(desk: Desk) -> None:
    desk.sync(found("a.md", "One more."), B, END)
    receipt = forget(desk, desk.document_at("a.md"))
    assert receipt.stores["raw documents"] == forgetting.Counted(before=2, after=0)
    assert receipt.stores["revisions"].before == 2
    assert receipt.stores["documents"].before == receipt.stores["locations"].before == 1
    assert {counted.after for counted in receipt.stores.values()} == {0}


def test_neither_its_words_nor_its_name_nor_its_id_is_left_in_any_table(desk: Desk) -> None:
    document = desk.document_at("a.md")
    forget(desk, document)
    assert traces_of(desk, "One.", "a.md", str(document), A.content_hash) == {}
    assert desk.live() == {"b.md": "Two."}


def test_a_forgotten_document_does_not_come_back_from_its_source(desk: Desk) -> None:
    forget(desk, desk.document_at("a.md"))
    report = desk.sync(A, B, END)
    assert (report.fetched, report.skipped) == (0, 1)
    assert traces_of(desk, "One.", "a.md") == {}


@pytest.mark.parametrize(
    "again", [found("a.md", "Edited."), found("elsewhere.md", "One."), found("c.md", "One.  \r\n")]
)
def test_nor_edited_nor_moved_nor_with_other_line_ends(desk: Desk, again: Found) -> None:
    forget(desk, desk.document_at("a.md"))
    desk.sync(again, B, END)
    assert desk.live() == {"b.md": "Two."}


def test_nor_at_the_same_address_in_another_source(desk: Desk) -> None:
    forget(desk, desk.document_at("a.md"))
    other = desk.add_source("/")
    desk.sync(found("notes/a.md", "Edited.", location=A.location), END, source=other)
    assert desk.live() == {"b.md": "Two."}


def test_documents_of_the_same_words_go_together(desk: Desk) -> None:
    desk.sync(A, found("b.md", "One."), END)
    assert desk.document_at("a.md") != desk.document_at("b.md")
    receipt = forget(desk, desk.document_at("a.md"))
    assert len(receipt.document_ids) == 2
    assert desk.live() == {}


def test_what_was_merged_into_it_goes_too(desk: Desk) -> None:
    a, b = desk.document_at("a.md"), desk.document_at("b.md")
    with desk.database.transaction() as conn:
        merge_documents(conn, desk.author.id, kept=a, merged=b)
    assert set(forget(desk, a).document_ids) == {a, b}
    assert traces_of(desk, "One.", "Two.") == {}


def test_a_document_that_stays_may_keep_and_move_words_that_a_forgotten_one_had_earlier(desk: Desk) -> None:
    desk.sync(A, found("copy.md", "One."), B, END)
    desk.sync(found("a.md", "One, edited."), found("copy.md", "One."), B, END)
    forget(desk, desk.document_at("a.md"))
    desk.sync(found("moved.md", "One."), B, END)
    assert desk.live() == {"moved.md": "One.", "b.md": "Two."}


def test_answers_that_rest_on_it_go_whole(desk: Desk) -> None:
    document = desk.document_at("a.md")
    with desk.database.transaction() as conn:
        for rests_on, words in ((document, "as you wrote in One."), (desk.document_at("b.md"), "as in Two.")):
            trace = uuid4()
            names = {"t": trace, "a": desk.author.id, "d": rests_on, "w": words}
            conn.execute(
                text("""INSERT INTO serving.traces (id, author_id, question, answer, outcome, prompt_version)
                        VALUES (:t, :a, 'what?', :w, 'answered', '1')"""),
                names,
            )
            conn.execute(
                text("""INSERT INTO serving.trace_passages (trace_id, author_id, label, chunk_id, document_id,
                        revision_id, start_at, end_at, text, score)
                        VALUES (:t, :a, 1, gen_random_uuid(), :d, gen_random_uuid(), 0, 4, :w, 1)"""),
                names,
            )
    assert forget(desk, document).stores["traces"].before == 1
    assert desk.rows("SELECT answer FROM serving.traces") == [("as in Two.",)]


def test_clones_of_its_repository_go(desk: Desk) -> None:
    document = desk.document_at("a.md")
    clone = desk.settings.home / "clones" / str(desk.source.id)
    clone.mkdir(parents=True)
    (clone / "blob").write_text("One.")
    with desk.database.transaction() as conn:
        conn.execute(text("UPDATE warehouse.sources SET platform = 'git'"))
    assert forget(desk, document).stores["clones"] == forgetting.Counted(before=1, after=0)
    assert not clone.exists()


def test_an_unknown_document_is_not_forgotten(desk: Desk) -> None:
    for documents in ([], [uuid4()], [desk.document_at("a.md"), uuid4()]):
        with pytest.raises(NotFound):
            forget(desk, *documents)
    assert len(desk.live()) == 2


class Away(PostgresWarehouse):
    """A warehouse on a server that is down when it should purge."""

    def purge(self, document_ids: object) -> int:
        raise ServiceUnavailable("MongoDB does not answer")


def test_while_a_store_is_down_nothing_comes_back_and_the_next_run_finishes(desk: Desk) -> None:
    document = desk.document_at("a.md")
    here, desk.warehouse = desk.warehouse, Away(desk.database)
    with pytest.raises(ServiceUnavailable):
        forget(desk, document)
    desk.warehouse = here
    report = desk.sync(A, B, END)
    assert report.skipped == 1
    assert desk.rows("SELECT state FROM warehouse.forget_requests") == [("done",)]
    assert traces_of(desk, "One.", "a.md") == {}


@pytest.mark.parametrize("after", [*purging.TABLES, "raw documents"])
def test_an_interruption_after_any_store_is_resumed(desk: Desk, monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    purge, count = forgetting._stores[after]

    def purge_and_die(place: forgetting.Place, ids: object) -> int:
        purge(place, ids)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setitem(forgetting._stores, after, (purge_and_die, count))
        with pytest.raises(KeyboardInterrupt):
            forget(desk, desk.document_at("a.md"))
    (receipt,) = forgetting.resume(desk.database, desk.warehouse, desk.author, settings=desk.settings)
    assert receipt.stores["raw documents"].before == 1
    assert traces_of(desk, "One.", "a.md") == {}
    assert forgetting.resume(desk.database, desk.warehouse, desk.author, settings=desk.settings) == []
    desk.sync(A, B, END)
    assert desk.live() == {"b.md": "Two."}


def test_a_request_that_another_process_wrote_is_carried_out_by_the_next_run(desk: Desk) -> None:
    with desk.database.transaction() as conn:
        purging.request_forgetting(
            conn, request_id=uuid4(), author_id=desk.author.id, document_ids=[desk.document_at("a.md")]
        )
    desk.sync(A, B, END)
    assert desk.live() == {"b.md": "Two."}


def test_a_store_that_keeps_something_is_an_error_not_a_receipt(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(forgetting._stores, "a cache", (lambda place, ids: 0, lambda place, ids: 3))
    with pytest.raises(TwinError, match="3 in a cache"):
        forget(desk, desk.document_at("a.md"))
    assert desk.rows("SELECT state FROM warehouse.forget_requests") == [("requested",)]


def test_tombstones_are_replayed_over_a_restored_backup(desk: Desk) -> None:
    forget(desk, desk.document_at("a.md"))
    saved = desk.rows("SELECT author_id, hash, kind FROM warehouse.tombstones")
    with desk.database.transaction() as conn:
        conn.execute(text("DELETE FROM warehouse.tombstones"))
    desk.sync(A, B, END)  # as an old backup would bring it back
    with desk.database.transaction() as conn:
        for author, digest, kind in saved:
            conn.execute(
                text("INSERT INTO warehouse.tombstones (author_id, hash, kind) VALUES (:a, :h, :k)"),
                {"a": author, "h": digest, "k": kind},
            )
    receipt = forgetting.replay(desk.database, desk.warehouse, desk.author, settings=desk.settings)
    assert receipt is not None
    assert desk.live() == {"b.md": "Two."}
    assert forgetting.replay(desk.database, desk.warehouse, desk.author, settings=desk.settings) is None


def test_tombstones_say_nothing_without_the_salt(desk: Desk) -> None:
    forget(desk, desk.document_at("a.md"))
    hashes = {row[0] for row in desk.rows("SELECT hash FROM warehouse.tombstones")}
    assert A.content_hash not in hashes
    assert all(len(str(digest)) == 64 for digest in hashes)
