"""Asking for a collection and watching it: over real HTTP, while a real run writes its ledger."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.conftest import Api
from tests.api.test_keys_and_limits import is_problem
from tests.collect.scripted import END, Desk, found
from twin_api.limits import Limits
from twin_core.collect import run
from twin_core.records import Failed
from twin_core.settings import Settings
from twin_core.store import authors, collect_requests
from twin_core.store.database import Database

NOTES = [found(f"{number}.md", f"Note {number}.") for number in range(5)]


@pytest.fixture
def limits() -> Limits:
    return Limits(watch_interval_seconds=0.05, heartbeat_seconds=0.2)


@pytest.fixture
def desk(api: Api, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Jane's, with a source whose items a test hands out."""
    made = Desk(database, settings, slug=api.jane.slug, name=api.jane.name)
    monkeypatch.setattr(run, "collector_for", lambda platform: made.collector)
    return made


@pytest.fixture
def writer(api: Api) -> Iterator[httpx2.Client]:
    with api.client(api.new_key(api.jane, "write").secret) as client:
        yield client


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    name, event_id = "", None
    for line in lines:
        if line.startswith("id: "):
            event_id = line[4:]
        elif line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:]), event_id
            event_id = None


def test_a_request_is_fulfilled_by_the_run_and_says_so(writer: httpx2.Client, desk: Desk) -> None:
    asked = writer.post("/v1/collect", json={"source_ids": [str(desk.source.id)]})
    assert asked.status_code == 202, asked.text
    (request,) = asked.json()["requests"]
    assert (request["state"], request["run"]) == ("requested", None)
    again = writer.post("/v1/collect", json={"source_ids": [str(desk.source.id)]}).json()["requests"]
    assert [one["id"] for one in again] == [request["id"]]
    desk.sync(*NOTES, Failed(native_id="x", location="x", reason="torn"), END)
    found = writer.get(f"/v1/collect/{request['id']}").json()
    assert (found["request"]["state"], found["request"]["run"]["fetched"], found["request"]["run"]["failed"]) == (
        "done",
        5,
        1,
    )
    assert {one["native_id"] for one in found["latest"]} >= {"x"}
    assert writer.get("/v1/collect", params={"state": "requested"}).json()["requests"] == []
    assert [one["id"] for one in writer.get("/v1/collect", params={"state": "done"}).json()["requests"]] == [
        request["id"]
    ]


def test_everything_is_collected_but_what_is_paused(api: Api, writer: httpx2.Client, desk: Desk) -> None:
    with api.database.transaction() as conn:
        sources = authors.list_sources(conn, api.jane.id)
        authors.pause_source(conn, desk.source.id, paused=True)
    asked = writer.post("/v1/collect", json={}).json()["requests"]
    assert {one["source_id"] for one in asked} == {str(one.id) for one in sources} - {str(desk.source.id)}


def test_the_ledger_is_streamed_while_it_is_written_and_goes_on_where_it_broke_off(
    writer: httpx2.Client, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BATCH_ITEMS", 1)
    (request,) = writer.post("/v1/collect", json={"source_ids": [str(desk.source.id)]}).json()["requests"]
    go_on = threading.Event()

    def slowly(source: object, known: object, settings: object) -> Iterator[object]:
        yield from NOTES[:2]
        assert go_on.wait(60)
        yield from NOTES[2:]
        yield END

    monkeypatch.setattr(desk.collector, "collect", slowly)
    working = threading.Thread(target=desk.sync, daemon=True)
    working.start()
    seen: list[str] = []
    states: list[str] = []
    last_id = None
    address = f"/v1/collect/events?request_id={request['id']}"
    with writer.stream("GET", address) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for name, data, event_id in events(stream.iter_lines()):
            if name == "state":
                states.append(data["state"])
            elif name == "items":
                seen += [one["native_id"] for one in data["items"]]
                last_id = event_id
                break
    go_on.set()
    working.join(60)
    assert last_id is not None
    with writer.stream("GET", address, headers={"Last-Event-ID": last_id}) as stream:
        for name, data, _ in events(stream.iter_lines()):
            if name == "state":
                states.append(data["state"])
            elif name == "items":
                seen += [one["native_id"] for one in data["items"]]
    assert name == "done"
    assert states[-1] == "done"
    assert sorted(seen) == [f"{number}.md" for number in range(5)]


def test_another_authors_collection_does_not_exist_for_this_key(api: Api, writer: httpx2.Client, desk: Desk) -> None:
    (request,) = writer.post("/v1/collect", json={"source_ids": [str(desk.source.id)]}).json()["requests"]
    with api.client(api.new_key(api.mallory, "admin").secret) as client:
        is_problem(client.post("/v1/collect", json={"source_ids": [str(desk.source.id)]}), 404)
        is_problem(client.get(f"/v1/collect/{request['id']}"), 404)
        is_problem(client.get("/v1/collect/events", params={"request_id": request["id"]}), 404)
        assert client.get("/v1/collect").json()["requests"] == []
    with api.client() as reader:
        is_problem(reader.post("/v1/collect", json={}), 403)


def test_a_stream_of_nothing_ends_at_once_and_too_many_are_refused(api: Api, writer: httpx2.Client, desk: Desk) -> None:
    assert "event: done" in writer.get("/v1/collect/events").text
    writer.post("/v1/collect", json={})
    opened = [writer.stream("GET", "/v1/collect/events") for _ in range(4)]
    answers = [one.__enter__() for one in opened]
    assert [one.status_code for one in answers] == [200] * 4
    is_problem(writer.get("/v1/collect/events"), 429)
    for one in opened:
        one.__exit__(None, None, None)
    is_problem(writer.get(f"/v1/collect/{uuid4()}"), 404)
    is_problem(writer.get("/v1/collect/events", headers={"Last-Event-ID": "WzFd"}), 400)
    with api.database.transaction() as conn:
        assert len(collect_requests.page_of_collections(conn, api.mallory.id, limit=10)) == 0
