"""Attempts and adapters in the database: one attempt at a time, none that was given up registers, taint is inherited."""

from __future__ import annotations

import subprocess
import sys
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.training.scenario import publish
from twin_core import forgetting
from twin_core.errors import NotFound, Refused
from twin_core.records import Author
from twin_core.settings import Settings
from twin_core.store import adapters
from twin_core.store.database import Database
from twin_core.warehouse.postgres import PostgresWarehouse

PAIRS = [(f"note {number}", f"What I know of note {number}.") for number in range(8)]


def begin(database: Database, author: Author, version: str, kind: str = "sft") -> UUID:
    with database.transaction() as conn:
        return adapters.open_attempt(conn, author_id=author.id, kind=kind, job_hash="j", version_id=version, job={})


def register(
    database: Database, attempt: UUID, name: str, parent: str | None = None, fraction: float = 1.0
) -> adapters.Adapter:
    with database.transaction() as conn:
        return adapters.register_adapter(
            conn,
            attempt,
            adapter_id=name,
            base_model="tiny",
            base_hash="sha256:1",
            fraction=fraction,
            parent_id=parent,
            file_key="key",
            config={},
            metrics={"loss": 1.5},
            code_revision="1",
        )


def made_by_another_process(database: Database, attempt: UUID) -> None:
    """Let the attempt look as if a process had opened it that is gone now."""
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    with database.transaction() as conn:
        conn.execute(
            text("UPDATE training.attempts SET pid = :pid WHERE id = :id"), {"pid": int(gone.stdout), "id": attempt}
        )


def test_versions_count_up_per_author_and_can_be_named(database: Database):
    ada, hers = publish(database, "ada", PAIRS)
    bob, his = publish(database, "bob", PAIRS)
    first = register(database, begin(database, ada, hers), "a1")
    second = register(database, begin(database, ada, hers), "a2")
    other = register(database, begin(database, bob, his), "b1")
    assert (first.version, second.version, other.version) == (1, 2, 1)
    with database.transaction() as conn:
        assert adapters.resolve_adapter(conn, ada.id, "v2").id == "a2"
        assert adapters.resolve_adapter(conn, ada.id, "1").id == "a1"
        assert [one.id for one in adapters.list_adapters(conn, ada.id)] == ["a2", "a1"]
        with pytest.raises(NotFound):
            adapters.resolve_adapter(conn, ada.id, "v3")
        with pytest.raises(NotFound):
            adapters.adapter_by_id(conn, ada.id, "b1")


def test_the_same_weights_again_are_the_same_version(database: Database):
    ada, version = publish(database, "ada", PAIRS)
    first = register(database, begin(database, ada, version), "a1")
    attempt = begin(database, ada, version)
    assert register(database, attempt, "a1").version == first.version
    with database.transaction() as conn:
        assert adapters.find_attempt(conn, attempt).adapter_id == "a1"
        assert len(adapters.list_adapters(conn, ada.id)) == 1


def test_an_author_is_trained_once_at_a_time(database: Database):
    ada, version = publish(database, "ada", PAIRS)
    begin(database, ada, version)
    with pytest.raises(Refused, match="being trained already"):
        begin(database, ada, version)


def test_an_attempt_whose_process_is_gone_is_given_up_and_registers_nothing(database: Database):
    ada, version = publish(database, "ada", PAIRS)
    lost = begin(database, ada, version)
    made_by_another_process(database, lost)
    begin(database, ada, version)
    with database.transaction() as conn:
        assert adapters.find_attempt(conn, lost).state == "abandoned"
        assert not adapters.beat(conn, lost, {"step": 9}), "its process is told to end"
    with pytest.raises(Refused, match="abandoned"):
        register(database, lost, "a1")
    with database.transaction() as conn:
        assert adapters.list_adapters(conn, ada.id) == []


def test_an_attempt_on_another_machine_is_given_up_when_it_falls_silent(database: Database):
    ada, version = publish(database, "ada", PAIRS)
    attempt = begin(database, ada, version)
    elsewhere = "UPDATE training.attempts SET host = 'elsewhere', heartbeat_at = now() - make_interval(secs => :s) WHERE id = :id"
    with database.transaction() as conn:
        conn.execute(text(elsewhere), {"s": adapters.SILENT_SECONDS - 30, "id": attempt})
    with pytest.raises(Refused, match="elsewhere"):
        begin(database, ada, version)
    with database.transaction() as conn:
        conn.execute(text(elsewhere), {"s": adapters.SILENT_SECONDS + 30, "id": attempt})
    begin(database, ada, version)


def test_an_attempt_registers_once(database: Database):
    ada, version = publish(database, "ada", PAIRS)
    attempt = begin(database, ada, version)
    register(database, attempt, "a1")
    with pytest.raises(Refused, match="is done"):
        register(database, attempt, "a2")


def test_which_adapters_saw_a_document_follows_the_fraction_and_the_parent(database: Database):
    ada, version = publish(database, "ada", PAIRS)
    half = register(database, begin(database, ada, version), "a1", fraction=0.5)
    register(database, begin(database, ada, version), "a2")
    _, pairs = publish(database, "ada", PAIRS[:6], rejected=["Not I."], held_out=5)
    register(database, begin(database, ada, pairs, "dpo"), "a3", parent=half.id)
    with database.transaction() as conn:
        rows = conn.execute(text("SELECT version, title FROM analytics.adapter_documents")).all()
    saw = {title: sorted(version for version, name in rows if name == title) for title in {title for _, title in rows}}
    assert saw == {"note 0": [1, 2, 3], "note 1": [1, 2, 3], "note 2": [2], "note 3": [2]}


def test_forgetting_a_document_taints_every_adapter_that_rests_on_it(database: Database, settings: Settings):
    ada, version = publish(database, "ada", PAIRS)
    sft = register(database, begin(database, ada, version), "a1")
    _, pairs = publish(database, "ada", PAIRS[4:], rejected=["Not I."], held_out=1)
    dpo = register(database, begin(database, ada, pairs, "dpo"), "a2", parent=sft.id)
    assert (sft.tainted_at, dpo.tainted_at) == (None, None)
    with database.transaction() as conn:
        document = conn.execute(
            text("SELECT document_id FROM features.cleaned_documents WHERE title = 'note 0'")
        ).scalar_one()
        assert adapters.adapters_of_document(conn, ada.id, document) == [1, 2]
    forgetting.forget(database, PostgresWarehouse(database), ada, [document], settings=settings)
    with database.transaction() as conn:
        assert all(one.tainted_at is not None for one in adapters.list_adapters(conn, ada.id)), (
            "the second by its parent"
        )
        assert adapters.adapters_of_document(conn, ada.id, document) == []


def test_the_best_settings_of_a_search_replace_those_of_before(database: Database):
    ada, version = publish(database, "ada", PAIRS)
    with database.transaction() as conn:
        assert adapters.defaults_of(conn, ada.id, "tiny") == {}
        for rank in (8, 16):
            adapters.keep_defaults(
                conn, ada.id, "tiny", changes={"rank": rank}, score=1.0, trials=4, version_id=version
            )
        assert adapters.defaults_of(conn, ada.id, "tiny") == {"rank": 16}


def test_an_author_with_adapters_can_be_deleted_whole(database: Database):
    ada, version = publish(database, "ada", PAIRS)
    first = register(database, begin(database, ada, version), "a1")
    _, pairs = publish(database, "ada", PAIRS[4:], rejected=["Not I."], held_out=1)
    register(database, begin(database, ada, pairs, "dpo"), "a2", parent=first.id)
    with database.transaction() as conn:
        conn.execute(text("DELETE FROM warehouse.authors WHERE id = :id"), {"id": ada.id})
        left = conn.execute(text("SELECT count(*) FROM training.adapters")).scalar_one()
    assert left == 0
