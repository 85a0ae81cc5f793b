"""Forgetting: nothing is left, nothing comes back, and an interruption anywhere is made good."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.collect.scripted import END, Desk, found
from twin_core import forgetting
from twin_core.collect import run
from twin_core.collect.removing import forget_source
from twin_core.errors import NotFound, ServiceUnavailable, TwinError
from twin_core.forgetting import Receipt
from twin_core.records import Found
from twin_core.runtime import journal
from twin_core.settings import Settings
from twin_core.store import authors, keys, people, purging
from twin_core.store.database import Database
from twin_core.store.merging import merge_documents
from twin_core.store.tombstones import all_tombstones
from twin_core.store.traces import Trace, TracePassage, record_trace
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
          AND table_name NOT IN ('tombstones', 'tombstone_texts', 'forget_requests')
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


def long(words: int = 200, **changed: str) -> str:
    return " ".join(changed.get(f"w{number}", f"word{number}") for number in range(words))


@pytest.mark.parametrize(
    "again",
    [
        found("1", "Another text.", location="https://www.jane.example/tides/?utm_source=feed"),
        found("1", "Another text.", canonical_url="http://jane.example/tides"),
        found("1", "Another text.", platform_id="medium:3f2a"),
        found("1", long(w20="edited", w90="edited")),
    ],
    ids=["address", "canonical", "platform's id", "near-identical"],
)
def test_nor_through_another_source_by_address_id_or_nearly_the_same_words(desk: Desk, again: Found) -> None:
    blog = desk.add_source("blog")
    kept = found("c.md", "Mine, and another one's.", canonical_url="https://jane.example/other", platform_id="medium:9")
    gone = found("a.md", long(), canonical_url="https://jane.example/tides", platform_id="medium:3f2a")
    desk.sync(gone, B, kept, END)
    forget(desk, desk.document_at("a.md"))
    report = desk.sync(again, found("2", "Not about that at all.", platform_id="medium:5"), END, source=blog)
    assert (report.fetched, report.skipped) == (1, 1)
    assert set(desk.live()) == {"b.md", "c.md", "2"}


def test_a_document_that_stays_keeps_an_address_and_words_that_it_shares_with_a_forgotten_one(desk: Desk) -> None:
    desk.sync(
        found("a.md", long(), canonical_url="https://jane.example/all"),
        found("b.md", long(w20="edited"), canonical_url="https://jane.example/all"),
        END,
    )
    assert desk.document_at("a.md") != desk.document_at("b.md")
    forget(desk, desk.document_at("a.md"))
    moved = found("moved.md", long(w20="edited", w21="edited"), canonical_url="https://jane.example/all")
    desk.sync(moved, END)
    assert set(desk.live()) == {"moved.md"}


def test_what_is_only_on_the_same_subject_is_not_taken_for_it(desk: Desk) -> None:
    desk.sync(found("a.md", long()), B, END)
    forget(desk, desk.document_at("a.md"))
    half = long(**{f"w{number}": "other" for number in range(0, 200, 9)})
    desk.sync(B, found("half.md", half), END)
    assert set(desk.live()) == {"b.md", "half.md"}


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


def test_clones_of_its_repository_and_uploaded_archives_go_and_those_of_other_sources_stay(desk: Desk) -> None:
    document, other = desk.document_at("a.md"), desk.add_source("other")
    named = {
        source.id: [
            desk.settings.home / "clones" / str(source.id),
            desk.settings.home / "uploads" / str(desk.author.id) / str(source.id),
        ]
        for source in (desk.source, other)
    }
    for folder in [folder for held in named.values() for folder in held]:
        folder.mkdir(parents=True)
        (folder / "blob").write_text("One.")
    receipt = forget(desk, document)
    for name in ("clones", "uploads"):
        assert receipt.stores[name] == forgetting.Counted(before=1, after=0)
    assert [folder.exists() for folder in named[desk.source.id]] == [False, False]
    assert [folder.exists() for folder in named[other.id]] == [True, True]


SOME = {"clones", "raw documents", "revisions", "documents"}
EVERY = [pytest.param(name, marks=() if name in SOME else pytest.mark.slow) for name in forgetting._stores]


@pytest.mark.parametrize("store", EVERY)
def test_a_process_killed_between_any_two_stores_leaves_a_request_that_is_resumed(desk: Desk, store: str) -> None:
    """A real process dies by SIGKILL when it has purged the store; another one finishes."""
    child = os.fork()
    if child == 0:
        try:
            database = Database(desk.database.url)
            purge, count = forgetting._stores[store]

            def purge_and_die(place: forgetting.Place, ids: object) -> int:
                purge(place, ids)  # type: ignore[arg-type]
                os.kill(os.getpid(), signal.SIGKILL)
                return 0

            forgetting._stores[store] = (purge_and_die, count)
            forgetting.forget(
                database, PostgresWarehouse(database), desk.author, [desk.document_at("a.md")], settings=desk.settings
            )
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    (receipt,) = forgetting.resume(desk.database, desk.warehouse, desk.author, settings=desk.settings)
    assert receipt.stores["raw documents"].before == 1
    assert {counted.after for counted in receipt.stores.values()} == {0}
    assert traces_of(desk, "One.", "a.md") == {}
    desk.sync(A, B, END)
    assert desk.live() == {"b.md": "Two."}


def test_every_tombstone_is_in_the_journal_before_it_is_in_force(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    forget(desk, desk.document_at("a.md"))
    with desk.database.transaction() as conn:
        stored = {(one.kind, one.hash) for one in all_tombstones(conn)}
    assert {(one.kind, one.hash) for one in journal.read(desk.settings).tombstones} == stored

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(journal, "append", fail)
    with pytest.raises(OSError, match="full"):
        forget(desk, desk.document_at("b.md"))
    assert desk.rows("SELECT count(*) FROM warehouse.forget_requests") == [(1,)]
    assert desk.live() == {"b.md": "Two."}


# A whole source, a whole author


def test_forgetting_a_source_takes_what_only_it_has_and_leaves_the_rest_where_else_it_is(desk: Desk) -> None:
    blog = desk.add_source("blog")
    desk.sync(found("1", "One."), found("2", "On the blog only."), END, source=blog)
    shared = desk.document_at("a.md")
    receipt = forget_source(desk.database, desk.warehouse, blog, settings=desk.settings)
    assert receipt is not None
    assert {counted.after for counted in receipt.stores.values()} == {0}
    assert desk.live() == {"a.md": "One.", "b.md": "Two."}
    assert desk.document_at("a.md") == shared
    assert traces_of(desk, "On the blog only.", str(blog.id)) == {}
    again = desk.add_source("blog")
    desk.sync(found("1", "One."), found("2", "On the blog only."), found("3", "New."), END, source=again)
    assert desk.live() == {"a.md": "One.", "b.md": "Two.", "1": "One.", "3": "New."}


def test_forgetting_a_source_that_was_interrupted_is_finished_by_doing_it_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(authors, "remove_source", interrupted)
        with pytest.raises(KeyboardInterrupt):
            forget_source(desk.database, desk.warehouse, desk.source, settings=desk.settings)
    assert desk.live() == {}
    assert forget_source(desk.database, desk.warehouse, desk.source, settings=desk.settings) is None
    assert desk.rows("SELECT count(*) FROM warehouse.sources") == [(0,)]


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_forgetting_an_author_leaves_no_row_no_login_and_no_file_and_nobody_else_is_touched(desk: Desk) -> None:
    with desk.database.transaction() as conn:
        bob = authors.add_author(conn, slug="bob", name="Bob")
        his = authors.add_source(
            conn, author_id=bob.id, platform="scripted", locator="his", consent=desk.source.consent
        )
        role = people.ensure_sql_role(conn, desk.author, "a password")
        keys.create_key(conn, author_id=desk.author.id, name="hers", scopes=["read"])
    desk.sync(found("1", "His."), END, source=his)
    folders = [
        desk.settings.home / "clones" / str(desk.source.id),
        desk.settings.home / "uploads" / str(desk.author.id) / "any",
        desk.settings.home / "training" / str(desk.author.id) / "any",
        desk.settings.home / "models" / "adapters" / str(desk.author.id) / "any",
        desk.settings.home / "mlflow" / "artifacts" / desk.author.slug / "any",
    ]
    for folder in folders:
        folder.mkdir(parents=True)
    receipt = forgetting.forget_author(desk.database, desk.warehouse, desk.author, settings=desk.settings)
    assert {counted.after for counted in receipt.stores.values()} == {0}
    assert receipt.stores["documents"].before == 2
    assert receipt.stores["login for SQL"].before == 1
    tables = desk.rows("""
        SELECT table_schema || '.' || table_name FROM information_schema.tables
        WHERE table_schema IN ('warehouse', 'features', 'serving', 'training') AND table_type = 'BASE TABLE'
    """)
    for (table,) in tables:
        for word in (str(desk.author.id), "jane", "Jane Doe", "One."):
            assert desk.rows(f"SELECT t::text FROM {table} t WHERE t::text LIKE :word", word=f"%{word}%") == []
    assert desk.rows("SELECT count(*) FROM pg_roles WHERE rolname = :role", role=role) == [(0,)]
    assert not any(folder.exists() for folder in folders)
    assert desk.live() == {"1": "His."}
    said = journal.path_of(desk.settings).read_text()
    assert str(desk.author.id) not in said
    assert len(journal.read(desk.settings).authors) == 1


@pytest.mark.parametrize("store", list(forgetting._author_stores))
def test_forgetting_an_author_that_was_interrupted_is_finished_by_doing_it_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setitem(forgetting._author_stores, store, (interrupted, forgetting._author_stores[store][1]))
        with pytest.raises(KeyboardInterrupt):
            forgetting.forget_author(desk.database, desk.warehouse, desk.author, settings=desk.settings)
    forgetting.forget_author(desk.database, desk.warehouse, desk.author, settings=desk.settings)
    assert desk.rows("SELECT count(*) FROM warehouse.authors") == [(0,)]


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


@pytest.mark.slow
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


def test_no_trace_is_recorded_that_rests_on_what_is_just_being_forgotten(desk: Desk) -> None:
    document, request = desk.document_at("a.md"), uuid4()
    passage = TracePassage(
        label=1, chunk_id=uuid4(), document_id=document, revision_id=uuid4(), start=0, end=4, text="One.", score=1, cited=True
    )  # fmt: skip
    trace = Trace(
        id=uuid4(), author_id=desk.author.id, question="?", answer="One.", outcome="answered", prompt_version="1",
        model="m", passages=[passage],
    )  # fmt: skip
    with desk.database.transaction() as conn:
        purging.request_forgetting(conn, request_id=request, author_id=desk.author.id, document_ids=[document])
    with desk.database.as_author(desk.author.id) as conn:
        assert record_trace(conn, trace), "it was only asked for"
    with desk.database.transaction() as conn:
        purging.note_extent(conn, request, [document], {"traces": 1})
        purging.purge_rows(conn, "traces", [document])
    with desk.database.as_author(desk.author.id) as conn:
        assert not record_trace(conn, replace(trace, id=uuid4()))
    assert desk.rows("SELECT count(*) FROM serving.traces") == [(0,)]
