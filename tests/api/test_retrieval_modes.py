"""What `retrieval` changes in a search, an answer and a draft, streamed or whole, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import pytest
from sqlalchemy import text

from tests.api.conftest import Api
from tests.models.chat_server import ChatServer
from tests.retrieval.conftest import ReadingServer
from twin_core.retrieval.retrieve import NOTHING_LOOKED_UP
from twin_core.settings import Settings

QUESTION = "How often did you restore a backup in 2025?"


@pytest.fixture
def engine() -> Iterator[ReadingServer]:
    served = ReadingServer(reading={"queries": ["monthly recovery drill"]})
    served.start()
    yield served
    served.stop()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"rerank_model": "", "answer_cache_hours": 1})


def data_of(response: httpx2.Response) -> list[str]:
    return [line[6:] for line in response.text.split("\n\n") if line.startswith("data: ")]


def ask(client: httpx2.Client, retrieval: str | None, **more: object) -> httpx2.Response:
    asked = {"model": "jane", "messages": [{"role": "user", "content": QUESTION}]} | more
    return client.post("/v1/chat/completions", json=asked | ({"retrieval": retrieval} if retrieval else {}))


def trace(api: Api, trace_id: str) -> dict[str, object]:
    with api.database.transaction() as conn:
        row = conn.execute(text("SELECT * FROM serving.traces WHERE id = :id"), {"id": trace_id}).mappings().one()
        return dict(row)


def test_a_search_says_how_it_was_done(api: Api, engine: ChatServer) -> None:
    with api.client() as client:
        fast = client.post("/v1/search", json={"query": QUESTION}).json()
        full = client.post("/v1/search", json={"query": QUESTION, "retrieval": "full"}).json()
        off = client.post("/v1/search", json={"query": QUESTION, "retrieval": "off"}).json()
        wrong = client.post("/v1/search", json={"query": QUESTION, "retrieval": "slow"})
    assert (fast["retrieval"], fast["queries"]) == ("fast", ["How often did you restore a backup?"])
    assert full["queries"] == ["How often did you restore a backup?", "monthly recovery drill"]
    assert full["preferred"]["written_from"] == fast["preferred"]["written_from"] == "2025-01-01T00:00:00Z"
    assert full["filters"]["written_from"] is None
    assert list(full["timings"]) == ["understand", "search", "rerank"]
    assert (off["passages"], off["notices"]) == ([], [NOTHING_LOOKED_UP])
    assert wrong.status_code == 400
    assert len(engine.requests) == 1


def test_a_full_answer_keeps_in_its_trace_what_was_searched_for(api: Api) -> None:
    with api.client() as client:
        answer = ask(client, "full").json()
    kept = trace(api, answer["trace_id"])
    assert answer["retrieval"] == kept["retrieval"] == "full"
    assert kept["queries"] == ["How often did you restore a backup?", "monthly recovery drill"]
    period = {"written_from": "2025-01-01T00:00:00+00:00", "written_to": "2026-01-01T00:00:00+00:00"}
    assert kept["filters"] == {"preferred": period}
    timings = kept["timings"]
    assert isinstance(timings, dict)
    assert 0 < timings["understand"] <= timings["search"] <= timings["rerank"] <= timings["prompt"] <= timings["total"]


@pytest.mark.parametrize("retrieval", ["off", "fast", "full"])
def test_a_stream_ends_well_in_every_mode(api: Api, retrieval: str) -> None:
    with api.client() as client:
        events = data_of(ask(client, retrieval, stream=True))
    assert events[-1] == "[DONE]"
    last = json.loads(events[-2])
    assert (last["retrieval"], last["outcome"]) == (retrieval, "answered")
    assert bool(last["citations"]) is (retrieval != "off")


def test_off_answers_without_passages_and_says_so(api: Api, engine: ChatServer) -> None:
    with api.client() as client:
        answer = ask(client, "off").json()
    assert (answer["outcome"], answer["citations"], answer["notices"]) == ("answered", [], [NOTHING_LOOKED_UP])
    system, user = (message["content"] for message in engine.requests[-1]["messages"])
    assert "without having looked anything up" in system
    assert user == f"Question: {QUESTION}"
    kept = trace(api, answer["trace_id"])
    assert (kept["retrieval"], kept["queries"]) == ("off", [])
    assert str(kept["prompt_version"]).startswith("answer_unsourced.v1+")


def test_off_without_a_language_model_is_a_failure_and_not_an_empty_answer(api: Api, engine: ChatServer) -> None:
    engine.fault = "500"
    with api.client() as client:
        whole = ask(client, "off")
        events = data_of(ask(client, "off", stream=True))
    assert whole.status_code == 502
    assert "did not answer" in whole.json()["detail"]
    assert "error" in json.loads(events[-2])


def test_an_answer_to_a_question_that_could_not_be_read_is_not_given_again(api: Api, engine: ReadingServer) -> None:
    read, engine.reading = engine.reading, "I would rather not."
    with api.client() as client:
        unread = ask(client, "full").json()
        engine.reading = read
        answers = [ask(client, mode).json() for mode in ("full", "full", "fast", "off", "off")]
    assert "no JSON object" in unread["notices"][0]
    assert [bool(one["cached_from"]) for one in answers] == [False, True, False, False, True]
    assert answers[-1]["notices"] == [NOTHING_LOOKED_UP]


def test_a_draft_is_written_with_and_without_looking_up(api: Api, engine: ChatServer) -> None:
    key = api.new_key(api.jane, "write").secret
    with api.client(key) as client:
        brief = {"kind": "post", "brief": "on restoring backups"}
        looked = client.post("/v1/write", json=brief | {"retrieval": "full"}).json()
        off = client.post("/v1/write", json=brief | {"retrieval": "off"}).json()
        engine.fault = "500"
        nothing = client.post("/v1/write", json=brief | {"retrieval": "off"})
    assert looked["citations"]
    assert trace(api, looked["drafts"][0]["trace_id"])["retrieval"] == "full"
    assert (off["outcome"], off["citations"], off["notices"]) == ("answered", [], [NOTHING_LOOKED_UP])
    assert nothing.status_code == 502
