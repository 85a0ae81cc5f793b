"""What every warehouse promises. Each promise is held against both implementations."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import free_port
from twin_core import identity
from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.records import Category, RawRevision
from twin_core.store.database import Database
from twin_core.warehouse.mongo import MongoWarehouse
from twin_core.warehouse.postgres import PostgresWarehouse
from twin_core.warehouse.protocol import Warehouse

AUTHOR = identity.author_id("jane")
SOURCE = identity.source_id(AUTHOR, "folder", "/notes")
WHEN = datetime(2025, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)


def revision(native_id: str = "a.md", text: str = "One.", **changes: object) -> RawRevision:
    document = identity.document_id(SOURCE, native_id)
    made = RawRevision(
        id=identity.revision_id(document, identity.content_hash(text)),
        document_id=document,
        author_id=AUTHOR,
        source_id=SOURCE,
        native_id=native_id,
        location=f"/notes/{native_id}",
        category=Category.ARTICLE,
        media_type="text/markdown",
        body=text.encode(),
        content_hash=identity.content_hash(text),
        title=None,
        written_at=None,
        modified_at=None,
        metadata={},
        fetched_at=WHEN,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_what_was_put_comes_back_as_it_was(warehouse: Warehouse) -> None:
    given_one = revision(
        title="Grüße, 世界",
        written_at=datetime(2020, 1, 2, tzinfo=UTC),
        modified_at=WHEN,
        metadata={"tags": ["a", "b"], "og.title": "dots", "$ref": {"50%.": 1, "deep": [{"x.y": None}]}, "n": 1.5},
    )
    warehouse.put([given_one])
    assert list(warehouse.get([given_one.id])) == [given_one]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"plain",
        "ünï\r\n\ttabs ".encode(),
        b"\xff\xfe\x00bytes",
        b"nul \x00 inside",
        bytes(range(256)),
        b"x" * 300_000,
    ],
    ids=["empty", "ascii", "utf-8", "utf-16", "nul", "every byte", "large"],
)
def test_bodies_keep_every_byte(warehouse: Warehouse, body: bytes) -> None:
    warehouse.put([revision(body=body)])
    assert next(warehouse.get([revision().id])).body == body


def test_writing_the_same_revision_twice_changes_nothing(warehouse: Warehouse) -> None:
    warehouse.put([revision()])
    warehouse.put([revision(title="another", fetched_at=WHEN + timedelta(days=1)), revision("b.md")])
    assert next(warehouse.get([revision().id])) == revision()
    assert warehouse.count([revision().document_id, revision("b.md").document_id]) == 2


def test_the_same_revision_twice_in_one_batch_is_stored_once(warehouse: Warehouse) -> None:
    warehouse.put([revision(), revision()])
    assert warehouse.count([revision().document_id]) == 1


def test_nothing_asked_for_gives_nothing(warehouse: Warehouse) -> None:
    warehouse.put([])
    assert list(warehouse.get([])) == []
    assert warehouse.history(uuid4()) == []
    assert warehouse.count([]) == 0
    assert warehouse.purge([]) == 0


def test_revisions_that_are_not_there_are_left_out(warehouse: Warehouse) -> None:
    warehouse.put([revision()])
    assert [found.id for found in warehouse.get([uuid4(), revision().id])] == [revision().id]


def test_more_revisions_than_one_read_takes_all_come(warehouse: Warehouse) -> None:
    many = [revision(f"{number}.md") for number in range(150)]
    warehouse.put(many)
    assert {found.id for found in warehouse.get([one.id for one in many])} == {one.id for one in many}


def test_history_is_oldest_first(warehouse: Warehouse) -> None:
    states = [revision(text=f"State {day}", fetched_at=WHEN + timedelta(days=day)) for day in (2, 0, 1)]
    warehouse.put([*states, revision("other.md")])
    assert [found.body for found in warehouse.history(states[0].document_id)] == [b"State 0", b"State 1", b"State 2"]


def test_purging_takes_every_revision_and_no_other_document(warehouse: Warehouse) -> None:
    document, other = revision().document_id, revision("b.md").document_id
    warehouse.put([revision(), revision(text="Two."), revision("b.md")])
    assert warehouse.purge([document, uuid4()]) == 2
    assert (warehouse.count([document]), warehouse.count([other])) == (0, 1)
    assert warehouse.purge([document]) == 0


def test_metadata_that_no_server_can_hold_is_made_plain(warehouse: Warehouse) -> None:
    odd = {"when": WHEN, "nul": "a\0b", "nan": float("nan"), "half": "\ud800", "big": 2**70, "set": {1}, 3: b"x"}
    warehouse.put([revision(metadata=odd, title="nul \0 title")])
    found = next(warehouse.get([revision().id]))
    assert found.title == "nul  title"
    assert found.metadata == {
        "when": WHEN.isoformat(), "nul": "ab", "nan": "nan", "half": "?", "big": str(2**70), "set": [1], "3": "b'x'",
    }  # fmt: skip


def test_it_answers_a_ping(warehouse: Warehouse) -> None:
    warehouse.ping()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    .map(lambda text: text.replace("\0", "")),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(["a", "b.c", "$d", "%2E", ""]), part, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200), metadata=st.dictionaries(st.sampled_from(["x", "y.z", "$w"]), _JSON, max_size=3))
def test_any_body_and_any_json_come_back(warehouse: Warehouse, body: bytes, metadata: dict[str, object]) -> None:
    warehouse.purge([revision().document_id])
    warehouse.put([revision(body=body, metadata=metadata)])
    found = next(warehouse.get([revision().id]))
    assert (found.body, found.metadata) == (body, metadata)


@pytest.mark.timeout(60)
def test_a_mongodb_that_is_down_is_a_missing_service() -> None:
    down = MongoWarehouse(f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=300")
    with pytest.raises(ServiceUnavailable, match="MongoDB does not answer"):
        down.ping()
    with pytest.raises(ServiceUnavailable):
        down.put([revision()])


def test_a_url_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(InvalidInput, match="TWIN_MONGO_URL"):
        MongoWarehouse("postgres://somewhere")


def test_a_postgres_that_is_down_is_a_missing_service() -> None:
    down = PostgresWarehouse(Database(f"postgresql://x@127.0.0.1:{free_port()}/twin"))
    with pytest.raises(ServiceUnavailable):
        down.ping()


def test_text_bodies_can_be_read_in_sql(database: Database) -> None:
    PostgresWarehouse(database).put([revision(text="Readable.")])
    with database.transaction() as conn:
        body = conn.exec_driver_sql("SELECT raw->>'body' FROM warehouse.raw_documents").scalar_one()
    assert body == "Readable."
