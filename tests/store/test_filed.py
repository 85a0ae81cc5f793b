"""Files and forgetting: a file goes with any document in it, wherever an interruption falls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4, uuid5

import pytest

from tests.retrieval.scenario import Given, fill
from twin_core import forgetting
from twin_core.errors import Refused
from twin_core.records import Author
from twin_core.settings import Settings
from twin_core.store import purging
from twin_core.store.database import Database
from twin_core.store.filed import file_text, filed, keys_holding
from twin_core.store.files import FileStore, FolderFiles, file_store, read_file
from twin_core.warehouse.postgres import PostgresWarehouse


@pytest.fixture
def ada(database: Database) -> Author:
    return fill(database, "ada", [Given(title=f"Knot {n}", text=f"Knot {n}.") for n in range(3)])


@pytest.fixture
def store(settings: Settings) -> FileStore:
    return file_store(settings)


def documents(author: Author, *numbers: int) -> list[UUID]:
    return [uuid5(author.id, f"document {number}") for number in numbers]


def put(
    database: Database, store: FileStore, author: Author, content: bytes, of: Sequence[UUID], version: str = "v1"
) -> str:
    return file_text(
        database, store, author.id, content, ending="html", kind="ethics_report", document_ids=of, version_id=version
    )


def test_a_file_is_found_by_kind_version_and_document(database: Database, ada: Author, store: FileStore) -> None:
    key = put(database, store, ada, b"report", documents(ada, 0, 1))
    assert read_file(store, key) == b"report"
    with database.transaction() as conn:
        (one,) = filed(conn, ada.id, kind="ethics_report", version_id="v1")
        assert (one.key, one.bytes) == (key, 6)
        assert filed(conn, ada.id, kind="parquet") == filed(conn, uuid4()) == []
        assert keys_holding(conn, documents(ada, 1, 2)) == [key]
        assert keys_holding(conn, documents(ada, 2)) == []


def test_the_same_file_of_other_documents_rests_on_all_of_them(
    database: Database, ada: Author, store: FileStore
) -> None:
    assert put(database, store, ada, b"same", documents(ada, 0)) == put(
        database, store, ada, b"same", documents(ada, 1)
    )
    with database.transaction() as conn:
        assert len(keys_holding(conn, documents(ada, 0))) == len(keys_holding(conn, documents(ada, 1))) == 1


def test_forgetting_takes_the_files_in_which_the_document_is(
    database: Database, ada: Author, store: FileStore, settings: Settings
) -> None:
    gone, stays = (
        put(database, store, ada, b"of 0 and 1", documents(ada, 0, 1)),
        put(database, store, ada, b"of 2", documents(ada, 2)),
    )
    receipt = forgetting.forget(database, PostgresWarehouse(database), ada, documents(ada, 0), settings=settings)
    assert receipt.stores["files"] == forgetting.Counted(before=1, after=0)
    assert not store.exists(gone)
    assert list(store.list(ada.id)) == [stays]


def test_an_interruption_between_file_and_row_is_resumed(
    database: Database, ada: Author, store: FileStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(database, store, ada, b"of 0", documents(ada, 0))
    delete = FolderFiles.delete

    def delete_and_die(self: FolderFiles, key: str) -> bool:
        delete(self, key)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(FolderFiles, "delete", delete_and_die)
        forgetting.forget(database, PostgresWarehouse(database), ada, documents(ada, 0), settings=settings)
    (receipt,) = forgetting.resume(database, PostgresWarehouse(database), ada, settings=settings)
    assert receipt.stores["files"] == forgetting.Counted(before=1, after=0)
    assert list(store.list(ada.id)) == []


def test_a_file_of_a_document_that_is_being_forgotten_is_not_stored(
    database: Database, ada: Author, store: FileStore
) -> None:
    with database.transaction() as conn:
        purging.request_forgetting(conn, request_id=uuid4(), author_id=ada.id, document_ids=documents(ada, 1))
    with pytest.raises(Refused):
        put(database, store, ada, b"of 1", documents(ada, 0, 1))
    with pytest.raises(Refused):
        put(database, store, ada, b"of nobody", [uuid4()])
    assert list(store.list(ada.id)) == []


def test_forgetting_that_passes_by_while_the_file_is_written_leaves_nothing(
    database: Database, ada: Author, settings: Settings, tmp_path: Path
) -> None:
    class Slow(FolderFiles):
        """Writes only after the document was forgotten."""

        def put(self, author_id: UUID, content: bytes, *, ending: str) -> str:
            forgetting.forget(database, PostgresWarehouse(database), ada, documents(ada, 0), settings=settings)
            return super().put(author_id, content, ending=ending)

    store = Slow(settings.files_folder)
    with pytest.raises(Refused):
        put(database, store, ada, b"of 0", documents(ada, 0))
    assert list(store.list(ada.id)) == []
    with database.transaction() as conn:
        assert filed(conn, ada.id) == []
