"""Questions over HTTP, streamed and whole: OpenAI's shape, citations in both, and every way an answer can fail."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text

from tests.api.conftest import Api
from tests.models.chat_server import ChatServer
from twin_api.limits import Limits

ASKED = "How do I restore a backup?"
QUESTION = {"model": "jane", "messages": [{"role": "user", "content": ASKED}]}
WHOLE = "Restore is the feature [1]."


def events(response: httpx2.Response) -> list[str]:
    return [line[6:] for line in response.text.split("\n\n") if line.startswith("data: ")]


def stream(api: Api, **more: object) -> tuple[httpx2.Response, list[dict[str, object]]]:
    with api.client() as client:
        response = client.post("/v1/chat/completions", json={**QUESTION, "stream": True, **more})
    data = events(response)
    assert data[-1] == "[DONE]"
    return response, [json.loads(one) for one in data[:-1]]


def traces(api: Api) -> list[dict[str, object]]:
    with api.database.transaction() as conn:
        return [dict(row) for row in conn.execute(text("SELECT * FROM serving.traces ORDER BY at")).mappings()]


def test_a_whole_answer_carries_its_citations_and_leaves_a_trace(api: Api) -> None:
    with api.client() as client:
        body = client.post("/v1/chat/completions", json=QUESTION).json()
    assert body["choices"][0]["message"]["content"] == WHOLE
    assert body["outcome"] == "answered"
    assert body["usage"]["total_tokens"] == 15
    first = body["citations"][0]
    assert first["title"] == "Restore is the feature"
    assert first["cited"] is True
    assert not any(one["cited"] for one in body["citations"][1:])
    with api.database.transaction() as conn:
        rows = conn.execute(
            text("""SELECT label, cited, p.text, c.text AS whole, start_at, end_at FROM serving.trace_passages p
                    JOIN features.cleaned_documents c USING (revision_id) WHERE trace_id = :id ORDER BY label"""),
            {"id": UUID(body["trace_id"])},
        ).all()
    assert [row.cited for row in rows] == [one["cited"] for one in body["citations"]]
    assert all(row.whole[row.start_at : row.end_at] == row.text for row in rows)
    assert traces(api)[0]["question"] == ASKED


def test_a_stream_ends_with_its_citations_before_done(api: Api) -> None:
    response, chunks = stream(api, stream_options={"include_usage": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    written = "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])  # type: ignore[attr-defined]
    assert written == WHOLE
    last, usage = chunks[-2:]
    assert last["choices"][0]["delta"] == {}  # type: ignore[index]
    assert last["choices"][0]["finish_reason"] == "stop"  # type: ignore[index]
    assert last["citations"][0]["title"] == "Restore is the feature"  # type: ignore[index]
    assert usage["usage"]["completion_tokens"] == 4  # type: ignore[index]


def test_the_openai_client_works_unmodified(api: Api) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(
        base_url=f"{api.url}/v1", api_key=api.key, http_client=openai.DefaultHttpxClient(trust_env=False)
    )
    assert next(iter(client.models.list())).id == "jane"
    whole = client.chat.completions.create(**QUESTION)
    assert whole.choices[0].message.content == WHOLE
    assert whole.model_extra["citations"][0]["label"] == 1
    pieces, citations = [], None
    for chunk in client.chat.completions.create(**QUESTION, stream=True):
        pieces += [choice.delta.content or "" for choice in chunk.choices]
        citations = (chunk.model_extra or {}).get("citations") or citations
    assert "".join(pieces) == WHOLE
    assert citations[0]["title"] == "Restore is the feature"
    with pytest.raises(openai.NotFoundError, match="jane"):
        client.chat.completions.create(model="mallory", messages=QUESTION["messages"])


def test_the_prompt_labels_its_passages_and_carries_the_conversation(api: Api, engine: ChatServer) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Do you take backups?"},
        {"role": "assistant", "content": "Yes [1]."},
        {"role": "user", "content": [{"type": "text", "text": ASKED}]},
    ]
    with api.client() as client:
        assert client.post("/v1/chat/completions", json={"model": "jane", "messages": turns}).status_code == 200
    sent = engine.requests[0]["messages"]
    assert [turn["role"] for turn in sent] == ["system", "user", "user", "assistant", "user"]
    assert "Jane" in sent[0]["content"]
    assert "[1] Restore is the feature (article, 2025-01-01, https://jane.example/0)" in sent[-1]["content"]
    assert sent[-1]["content"].endswith(f"Question: {ASKED}")


def test_without_a_language_model_the_passages_are_the_answer_and_say_so(api: Api, engine: ChatServer) -> None:
    engine.fault = "500"
    with api.client() as client:
        body = client.post("/v1/chat/completions", json=QUESTION).json()
    assert body["outcome"] == "retrieval_only"
    assert body["choices"][0]["message"]["content"].startswith("**Retrieval only: no language model answered.**")
    assert "Everybody wants to restore" in body["choices"][0]["message"]["content"]
    assert body["citations"]
    assert engine.url not in json.dumps(body)
    _, chunks = stream(api)
    assert chunks[-1]["outcome"] == "retrieval_only"
    assert [trace["outcome"] for trace in traces(api)] == ["retrieval_only"] * 2


def test_an_engine_that_breaks_off_is_an_event_after_the_citations(api: Api, engine: ChatServer) -> None:
    engine.fault = "error mid-stream"
    _, chunks = stream(api)
    assert chunks[-2]["outcome"] == "failed"
    assert chunks[-2]["citations"]
    assert "broke off" in chunks[-1]["error"]["message"]  # type: ignore[index]
    with api.client() as client:
        assert client.post("/v1/chat/completions", json=QUESTION).status_code == 502
    assert [trace["outcome"] for trace in traces(api)] == ["failed"] * 2


def leave_early(api: Api, *, streamed: bool) -> None:
    """Ask, wait until the answer is being written, and close the connection."""
    with api.client() as client:
        client.post("/v1/search", json={"query": "x"})  # the embedding model is there from here on
        asked = client.build_request("POST", "/v1/chat/completions", json={**QUESTION, "stream": streamed})
        asked.extensions["timeout"] = {"connect": 10, "read": 60 if streamed else 10, "write": 10, "pool": 10}
        with suppress(httpx2.ReadTimeout):
            response = client.send(asked, stream=True)
            read = response.iter_text()
            while "word" not in next(read):
                pass
            response.close()


@pytest.mark.parametrize("streamed", [True, False])
def test_a_caller_who_leaves_ends_the_generation(api: Api, engine: ChatServer, streamed: bool) -> None:
    engine.words, engine.pause = ("word ",) * 600, 0.05
    leave_early(api, streamed=streamed)
    assert engine.cancelled.wait(30)
    for _ in range(300):
        if found := traces(api):
            assert found[0]["outcome"] == "interrupted"
            return
        time.sleep(0.1)
    raise AssertionError("an interrupted answer left no trace")


class TestWithFewSlots:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(streams_per_key=1, heartbeat_seconds=0.3)

    def test_one_key_cannot_take_every_place_and_gets_its_own_back(self, api: Api, engine: ChatServer) -> None:
        engine.words, engine.pause = ("word ",) * 600, 0.05
        with api.client() as client:
            with client.stream("POST", "/v1/chat/completions", json={**QUESTION, "stream": True}) as response:
                assert response.status_code == 200
                assert client.post("/v1/chat/completions", json=QUESTION).status_code == 429
            assert engine.cancelled.wait(30)
            engine.words, engine.pause = ("Done.",), 0
            for _ in range(100):
                if (after := client.post("/v1/chat/completions", json=QUESTION)).status_code == 200:
                    return
                time.sleep(0.1)
        raise AssertionError(after.text)

    def test_a_silent_stream_shows_that_it_lives(self, api: Api, engine: ChatServer) -> None:
        engine.pause = 1.5
        response, _ = stream(api)
        assert ": the answer is being written" in response.text


def test_a_question_that_nothing_fits_is_answered_plainly_without_a_model(api: Api, engine: ChatServer) -> None:
    empty = {**QUESTION, "filters": {"written_from": "2030-01-01T00:00:00Z"}}
    with api.client() as client:
        body = client.post("/v1/chat/completions", json=empty).json()
    assert body["choices"][0]["message"]["content"].startswith("Nothing that Jane wrote")
    assert body["citations"] == []
    assert engine.requests == []
