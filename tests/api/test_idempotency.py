"""Sent twice, done once: what an `Idempotency-Key` promises, over real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.api.conftest import Api
from tests.api.test_keys_and_limits import QUESTION, is_problem
from tests.models.chat_server import ChatServer
from twin_core import forgetting
from twin_core.settings import Settings
from twin_core.store import kept_responses
from twin_core.store.kept_responses import Claim
from twin_core.warehouse.postgres import PostgresWarehouse

NAME = "Idempotency-Key"


@pytest.fixture
def admin(api: Api) -> Iterator[httpx2.Client]:
    with api.client(api.new_key(api.jane, "admin").secret) as client:
        yield client


def count(api: Api, table: str) -> int:
    with api.database.transaction() as conn:
        return int(conn.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_the_same_request_is_done_once_and_answered_twice(api: Api, admin: httpx2.Client, engine: ChatServer) -> None:
    once = {NAME: str(uuid4())}
    first, second = (admin.post("/v1/chat/completions", json=QUESTION, headers=once) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["content-type"] == first.headers["content-type"]
    assert len(engine.requests) == count(api, "serving.traces") == 1


def test_a_stream_is_replayed_whole(admin: httpx2.Client, engine: ChatServer) -> None:
    once = {NAME: "a-stream"}
    first, second = (
        admin.post("/v1/chat/completions", json={**QUESTION, "stream": True}, headers=once) for _ in range(2)
    )
    assert first.content == second.content
    assert second.headers["content-type"].startswith("text/event-stream")
    assert b"citations" in second.content
    assert len(engine.requests) == 1


def test_the_same_key_for_another_request_is_refused(api: Api, admin: httpx2.Client) -> None:
    assert admin.post("/v1/keys", json={"name": "one"}, headers={NAME: "k"}).status_code == 201
    is_problem(admin.post("/v1/keys", json={"name": "two"}, headers={NAME: "k"}), 422)
    is_problem(admin.post("/v1/collect", json={}, headers={NAME: "k"}), 422)
    with api.client(api.new_key(api.mallory, "admin").secret) as other:
        assert other.post("/v1/keys", json={"name": "two"}, headers={NAME: "k"}).status_code == 201


def test_a_request_that_is_at_work_is_told_so(admin: httpx2.Client, engine: ChatServer) -> None:
    engine.pause = 0.5
    once = {NAME: "slow"}
    answers = []
    working = threading.Thread(
        target=lambda: answers.append(admin.post("/v1/chat/completions", json=QUESTION, headers=once))
    )
    working.start()
    while not engine.requests:
        threading.Event().wait(0.05)
    meanwhile = admin.post("/v1/chat/completions", json=QUESTION, headers=once)
    working.join(60)
    is_problem(meanwhile, 409)
    assert meanwhile.headers["retry-after"]
    assert answers[0].status_code == 200


def test_of_many_at_once_one_is_done(api: Api, admin: httpx2.Client) -> None:
    there = count(api, "serving.api_keys")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: admin.post("/v1/keys", json={"name": "x"}, headers={NAME: "many"}), range(8)))
    assert {one.status_code for one in answers} <= {201, 409}
    assert count(api, "serving.api_keys") == there + 1


def test_a_secret_that_is_shown_once_is_not_kept(api: Api, admin: httpx2.Client) -> None:
    first, second = (admin.post("/v1/keys", json={"name": "x"}, headers={NAME: "k"}).json() for _ in range(2))
    assert first["secret"].startswith("twin_")
    assert second == {**first, "secret": None}
    with api.database.transaction() as conn:
        kept = conn.execute(text("SELECT convert_from(body, 'UTF8') FROM serving.kept_responses")).scalar_one()
    assert first["secret"] not in kept


def test_what_was_refused_may_be_asked_again_with_the_same_key(admin: httpx2.Client) -> None:
    is_problem(admin.post("/v1/keys", json={"name": ""}, headers={NAME: "k"}), 400)
    assert admin.post("/v1/keys", json={"name": "x"}, headers={NAME: "k"}).status_code == 201


def test_an_upload_sent_twice_is_one_import(api: Api, admin: httpx2.Client, settings: Settings) -> None:
    first, second = (admin.post("/v1/imports", files={"file": ("a.zip", b"x")}, headers={NAME: "up"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert second.headers["location"] == first.headers["location"]
    assert count(api, "warehouse.import_requests") == 1
    assert len([one for one in (settings.home / "uploads").rglob("*") if one.is_file()]) == 1
    is_problem(admin.post("/v1/imports", files={"file": ("a.zip", b"y")}, headers={NAME: "up"}), 422)


def test_a_document_that_is_forgotten_leaves_no_kept_response(
    api: Api, admin: httpx2.Client, settings: Settings
) -> None:
    answered = admin.post("/v1/chat/completions", json=QUESTION, headers={NAME: "k"}).json()
    document = UUID(answered["citations"][0]["document_id"])
    receipt = forgetting.forget(api.database, PostgresWarehouse(api.database), api.jane, [document], settings=settings)
    assert receipt.stores["kept responses"].before == 1
    assert count(api, "serving.kept_responses") == 0


def test_a_kept_response_expires_and_a_claim_of_a_dead_process_too(api: Api) -> None:
    key = api.new_key(api.jane).key
    asked = {"author_id": api.jane.id, "key_id": key.id, "key": "k", "fingerprint": "f"}
    with api.database.transaction() as conn:
        assert kept_responses.claim(conn, **asked, lease_seconds=100) is Claim.OURS
        assert kept_responses.claim(conn, **asked, lease_seconds=100) is Claim.IN_FLIGHT
        conn.execute(text("UPDATE serving.kept_responses SET expires_at = now() - interval '1 second'"))
        assert kept_responses.claim(conn, **asked, lease_seconds=100) is Claim.OURS


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.lists(st.integers(0x20, 0xFF).filter(lambda one: one != 0x7F), max_size=300).map(bytes).map(bytes.strip))
def test_whatever_is_sent_as_a_key_is_taken_or_a_problem(api: Api, key: bytes) -> None:
    with api.client() as client:
        client.headers.update({"Authorization": f"Bearer {api.new_key(api.jane, 'write').secret}"})
        answer = client.post("/v1/feedback", json={"trace_id": str(uuid4()), "verdict": "up"}, headers={NAME: key})
    assert answer.status_code in {400, 404}, answer.text
