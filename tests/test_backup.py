"""Backups by PostgreSQL's own programs: everything comes back, except what was forgotten since."""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.collect.scripted import CONSENT, END, Desk, found
from tests.contract.mongo import fresh_mongo_url
from twin_core import forgetting
from twin_core.backup import back_up, restore
from twin_core.collect import run
from twin_core.collect.removing import forget_source
from twin_core.errors import InvalidInput, Refused, ServiceUnavailable
from twin_core.records import Author, Found, Source
from twin_core.runtime import dumps, journal
from twin_core.runtime.folders import make_home
from twin_core.runtime.state import this_process, write_state
from twin_core.runtime.stores import Stores, open_stores
from twin_core.settings import Settings
from twin_core.store import authors

SECRET = "what nobody should read again"


@dataclass
class Twin:
    """A home whose database may be replaced: stores are opened anew for each step."""

    settings: Settings
    desk: Desk
    monkeypatch: pytest.MonkeyPatch

    @contextmanager
    def opened(self) -> Iterator[Stores]:
        stores = open_stores(self.settings)
        self.desk.database, self.desk.warehouse = stores.database, stores.warehouse
        try:
            yield stores
        finally:
            stores.close()

    def sync(self, *items: Found, source: Source | None = None) -> None:
        with self.opened():
            self.desk.sync(*items, END, source=source)

    def forget(self, native_id: str) -> None:
        with self.opened() as stores:
            forgetting.forget(
                stores.database, stores.warehouse, self.desk.author, [self.desk.document_at(native_id)],
                settings=self.settings,
            )  # fmt: skip

    def live(self) -> dict[str, str]:
        with self.opened():
            return self.desk.live()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with self.opened():
            return self.desk.rows(sql)


def begin(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Twin:
    stores = open_stores(settings)
    desk = Desk(stores.database, settings, stores.warehouse)
    stores.close()
    monkeypatch.setattr(run, "collector_for", lambda platform: desk.collector)
    return Twin(settings, desk, monkeypatch)


@pytest.fixture
def twin(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Twin:
    return begin(settings, monkeypatch)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "twin.tar"


A, B = found("a.md", SECRET), found("b.md", "Two.")


def test_a_backup_brings_back_documents_and_files_as_they_were(twin: Twin, archive: Path) -> None:
    twin.sync(A, B)
    kept = twin.settings.files_folder / "reports" / "one.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("a report")
    made = back_up(twin.settings, archive)
    assert made.contents == {"authors": 1, "sources": 1, "documents": 2, "revisions": 2}
    assert (made.files, made.bytes) == (1, archive.stat().st_size)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    before = twin.rows("SELECT * FROM warehouse.document_locations ORDER BY native_id")

    twin.sync(found("a.md", "Overwritten."), B, found("c.md", "Newer."))
    kept.write_text("overwritten")
    (kept.parent / "newer.txt").write_text("newer")
    done = restore(twin.settings, archive, replace=True)

    assert (done.documents_forgotten, done.tombstones_set) == (0, 0)
    assert twin.live() == {"a.md": SECRET, "b.md": "Two."}
    assert twin.rows("SELECT * FROM warehouse.document_locations ORDER BY native_id") == before
    assert kept.read_text() == "a report"
    assert not (kept.parent / "newer.txt").exists()
    twin.sync(A, B)  # what is restored can be worked with
    assert twin.rows("SELECT unchanged FROM warehouse.collect_runs ORDER BY started_at DESC LIMIT 1") == [(2,)]


def test_what_was_forgotten_after_the_backup_does_not_come_back_with_it(twin: Twin, archive: Path) -> None:
    uploads = twin.settings.home / "uploads" / str(twin.desk.author.id) / str(twin.desk.source.id)
    uploads.mkdir(parents=True)
    (uploads / "export.zip").write_bytes(SECRET.encode())
    twin.sync(A, B)
    back_up(twin.settings, archive)
    twin.forget("a.md")
    assert not uploads.exists()

    done = restore(twin.settings, archive, replace=True)

    assert (done.documents_forgotten, done.contents["documents"]) == (1, 1)
    assert done.tombstones_set >= 3
    assert twin.live() == {"b.md": "Two."}
    assert not uploads.exists()
    with twin.opened():
        assert everything_with(twin.desk, SECRET) == []
    twin.sync(A, B, found("elsewhere.md", SECRET))
    assert twin.live() == {"b.md": "Two."}


def test_not_even_into_a_home_that_lost_its_database(twin: Twin, archive: Path) -> None:
    twin.sync(A, B)
    back_up(twin.settings, archive)
    twin.forget("a.md")
    with twin.opened() as stores, stores.database.transaction() as conn:
        conn.execute(text("TRUNCATE warehouse.authors CASCADE"))
    restore(twin.settings, archive)
    assert twin.live() == {"b.md": "Two."}


@pytest.mark.slow
def test_a_later_backup_carries_the_journal_to_another_machine(twin: Twin, archive: Path, tmp_path: Path) -> None:
    twin.sync(A, B)
    back_up(twin.settings, archive)
    twin.forget("a.md")
    later = tmp_path / "later.tar"
    back_up(twin.settings, later)
    journal.path_of(twin.settings).unlink()
    restore(twin.settings, later, replace=True)
    restore(twin.settings, archive, replace=True)
    assert twin.live() == {"b.md": "Two."}


@pytest.mark.slow
def test_a_source_that_was_forgotten_does_not_come_back_and_one_that_was_added_again_does(
    twin: Twin, archive: Path, tmp_path: Path
) -> None:
    with twin.opened():
        blog = twin.desk.add_source("blog")
    twin.sync(A, B)
    twin.sync(found("1", "On the blog only."), source=blog)
    back_up(twin.settings, archive)
    with twin.opened() as stores:
        forget_source(stores.database, stores.warehouse, blog, settings=twin.settings)
    done = restore(twin.settings, archive, replace=True)
    assert done.sources_forgotten == 1
    assert twin.rows("SELECT locator FROM warehouse.sources") == [("/notes",)]
    assert set(twin.live()) == {"a.md", "b.md"}

    with twin.opened():
        blog = twin.desk.add_source("blog")
    twin.sync(found("2", "A new post."), source=blog)
    again = tmp_path / "again.tar"
    back_up(twin.settings, again)
    assert restore(twin.settings, again, replace=True).sources_forgotten == 0
    assert twin.live()["2"] == "A new post."


@pytest.mark.slow
def test_an_author_who_was_forgotten_does_not_come_back_and_one_who_came_again_does(
    twin: Twin, archive: Path, tmp_path: Path
) -> None:
    bob = other_author(twin)
    twin.sync(A, B)
    back_up(twin.settings, archive)
    with twin.opened() as stores:
        forgetting.forget_author(stores.database, stores.warehouse, twin.desk.author, settings=twin.settings)
    done = restore(twin.settings, archive, replace=True)
    assert (done.authors_forgotten, done.documents_forgotten) == (1, 2)
    assert twin.rows("SELECT slug FROM warehouse.authors") == [(bob.slug,)]
    assert str(twin.desk.author.id) not in journal.path_of(twin.settings).read_text()

    with twin.opened() as stores, stores.database.transaction() as conn:
        authors.add_author(conn, slug="jane", name="Jane Doe")
    again = tmp_path / "again.tar"
    back_up(twin.settings, again)
    restore(twin.settings, archive, replace=True)
    assert restore(twin.settings, again, replace=True).authors_forgotten == 0
    assert twin.rows("SELECT slug FROM warehouse.authors ORDER BY slug") == [("bob",), ("jane",)]


def test_nothing_is_overwritten_without_a_word(twin: Twin, archive: Path) -> None:
    twin.sync(A)
    back_up(twin.settings, archive)
    with pytest.raises(Refused, match="--replace"):
        back_up(twin.settings, archive)
    with pytest.raises(Refused, match="--replace"):
        restore(twin.settings, archive)
    assert twin.live() == {"a.md": SECRET}


def test_nothing_is_restored_under_services_that_run(twin: Twin, archive: Path) -> None:
    back_up(twin.settings, archive)
    make_home(twin.settings)
    write_state(twin.settings, this_process())
    with pytest.raises(Refused, match="twin down"):
        restore(twin.settings, archive, replace=True)


def test_a_damaged_or_foreign_file_changes_nothing(twin: Twin, archive: Path, tmp_path: Path) -> None:
    twin.sync(A)
    with pytest.raises(InvalidInput, match="no file"):
        restore(twin.settings, archive, replace=True)
    archive.write_bytes(b"not a backup")
    with pytest.raises(InvalidInput, match="damaged"):
        restore(twin.settings, archive, replace=True)
    good, cut = tmp_path / "good.tar", tmp_path / "cut"
    back_up(twin.settings, good)
    with tarfile.open(good) as opened:
        opened.extractall(cut, filter="data")
    dump = (cut / "database.dump").read_bytes()
    (cut / "database.dump").write_bytes(dump[: len(dump) // 2])
    with tarfile.open(archive, "w") as made:
        for path in cut.iterdir():
            made.add(path, path.name)
    kept = twin.settings.files_folder / "kept.txt"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("kept")
    with pytest.raises(ServiceUnavailable, match="pg_restore"):
        restore(twin.settings, archive, replace=True)
    assert twin.live() == {"a.md": SECRET}
    assert kept.read_text() == "kept"
    assert twin.rows("SELECT count(*) FROM pg_database WHERE datname = current_database() || '_restoring'") == [(0,)]


def test_a_restore_that_fails_at_the_last_step_leaves_all_as_it_was(
    twin: Twin, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin.sync(A)
    back_up(twin.settings, archive)
    twin.sync(A, B)
    kept = twin.settings.files_folder / "kept.txt"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("kept")

    def fail(settings: Settings) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dumps, "put_in_place", fail)
    with pytest.raises(KeyboardInterrupt):
        restore(twin.settings, archive, replace=True)
    assert set(twin.live()) == {"a.md", "b.md"}
    assert kept.read_text() == "kept"


def test_the_journal_survives_a_line_that_a_crash_cut_off_and_names_one_that_is_broken(twin: Twin) -> None:
    twin.sync(A, B)
    twin.forget("a.md")
    path = journal.path_of(twin.settings)
    whole = journal.read(twin.settings)
    assert SECRET not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open("a") as file:
        file.write('{"author": "3f')
    assert journal.read(twin.settings) == whole
    twin.forget("b.md")
    assert len(journal.read(twin.settings).tombstones) == 2 * len(whole.tombstones)
    path.write_text("broken\n" + path.read_text())
    with pytest.raises(InvalidInput, match="Line 1"):
        journal.read(twin.settings)


@pytest.mark.mongo
def test_raw_documents_in_mongodb_are_in_the_backup_and_forgotten_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, archive: Path
) -> None:
    with fresh_mongo_url() as url:
        from pydantic import SecretStr

        twin = begin(settings.model_copy(update={"mongo_url": SecretStr(url)}), monkeypatch)
        twin.sync(A, B)
        back_up(twin.settings, archive)
        with twin.opened() as stores:
            stores.warehouse.purge([twin.desk.document_at("b.md")])
        twin.forget("a.md")
        restore(twin.settings, archive, replace=True)
        assert twin.live() == {"b.md": "Two."}
        with pytest.raises(InvalidInput, match="TWIN_MONGO_URL"):
            restore(settings, archive, replace=True)


def other_author(twin: Twin) -> Author:
    with twin.opened() as stores, stores.database.transaction() as conn:
        bob = authors.add_author(conn, slug="bob", name="Bob")
        authors.add_source(conn, author_id=bob.id, platform="scripted", locator="his", consent=CONSENT)
    return bob


def everything_with(desk: Desk, word: str) -> list[str]:
    tables = desk.rows("""
        SELECT table_schema || '.' || table_name FROM information_schema.tables
        WHERE table_schema IN ('warehouse', 'features', 'serving', 'training') AND table_type = 'BASE TABLE'
    """)
    return [
        str(table)
        for (table,) in tables
        if desk.rows(f"SELECT 1 FROM {table} t WHERE t::text LIKE :word LIMIT 1", word=f"%{word}%")
    ]
