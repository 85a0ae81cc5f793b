"""The answer cache: the same question under the same conditions is answered once, anything else anew, and never a
forgotten or another author's answer.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.api.conftest import Api
from tests.api.test_keys_and_limits import QUESTION
from tests.api.test_traces import adapter_for_jane, get
from tests.models.chat_server import ChatServer
from twin_core import forgetting
from twin_core.settings import Settings
from twin_core.warehouse.postgres import PostgresWarehouse


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"answer_cache_hours": 1.0})


def ask(api: Api, key: str | None = None, **more: Any) -> dict[str, Any]:
    with api.client(key) as client:
        answer = client.post("/v1/chat/completions", json={**QUESTION, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def cached(api: Api) -> int:
    with api.database.transaction() as conn:
        return int(conn.execute(text("SELECT count(*) FROM serving.cached_answers")).scalar_one())


def test_the_same_question_is_answered_once_and_the_second_time_says_so(api: Api, engine: ChatServer) -> None:
    first, second = ask(api), ask(api)
    assert len(engine.requests) == 1
    assert first["cached_from"] is None
    assert second["cached_from"] == first["trace_id"]
    assert second["trace_id"] != first["trace_id"]
    for same in ("choices", "citations", "outcome"):
        assert second[same] == first[same], same
    assert second["citations"][0]["cited"] is True
    trace = get(api, f"/v1/traces/{second['trace_id']}")
    assert (trace["cached_from"], trace["answer"], trace["cost"], trace["usage"]) == (
        first["trace_id"], "Restore is the feature [1].", 0.0, {},
    )  # fmt: skip
    assert (trace["model"], trace["prompt_version"]) == (
        "jane-v1",
        get(api, f"/v1/traces/{first['trace_id']}")["prompt_version"],
    )
    assert [day["cached"] for day in get(api, "/v1/monitor")["days"]] == [1]


def test_a_stream_is_answered_from_it_too(api: Api, engine: ChatServer) -> None:
    first = ask(api)
    with api.client() as client:
        answer = client.post("/v1/chat/completions", json={**QUESTION, "stream": True})
    chunks = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    assert (
        "".join(c["delta"].get("content", "") for chunk in chunks for c in chunk["choices"])
        == "Restore is the feature [1]."
    )
    assert chunks[-1]["cached_from"] == first["trace_id"]
    assert len(engine.requests) == 1


CONVERSATION = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}, *QUESTION["messages"]]


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [{"role": "user", "content": "How do I restore a database?"}]},
        {"messages": CONVERSATION},
        {"filters": {"categories": ["article"]}},
        {"k": 2},
        {"max_tokens": 50},
        {"temperature": 0.7},
        {"fresh": True},
    ],
    ids=str,
)
def test_another_question_history_filter_length_or_wish_is_asked_anew(
    api: Api, engine: ChatServer, other: dict[str, Any]
) -> None:
    ask(api)
    assert ask(api, **other)["cached_from"] is None
    assert len(engine.requests) == 2


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE features.chunked_documents SET chunked_at = now() WHERE author_id = :author",
        "DELETE FROM features.chunked_documents WHERE document_id = (SELECT min(document_id::text)::uuid FROM features.chunked_documents WHERE author_id = :author)",
        "UPDATE warehouse.authors SET language = 'de' WHERE id = :author",
        "UPDATE serving.cached_answers SET at = at - interval '61 minutes'",
        "UPDATE serving.traces SET texts = 'dropped', answer = ''",
    ],
)
def test_a_document_that_changed_or_went_or_an_answer_too_old_is_no_answer_any_more(
    api: Api, engine: ChatServer, change: str
) -> None:
    ask(api)
    with api.database.transaction() as conn:
        conn.execute(text(change), {"author": api.jane.id} if ":author" in change else {})
    assert ask(api)["cached_from"] is None
    assert len(engine.requests) == 2


def test_another_adapter_answers_for_itself(api: Api, engine: ChatServer) -> None:
    ask(api)
    adapter_for_jane(api)
    assert ask(api)["cached_from"] is None
    assert [request["model"] for request in engine.requests] == ["jane-v1", "jane-v9"]


@pytest.mark.parametrize("fault", ["500", "error mid-stream"])
def test_what_is_no_whole_answer_of_a_model_is_not_kept(api: Api, engine: ChatServer, fault: str) -> None:
    engine.fault = fault
    with api.client() as client:
        client.post("/v1/chat/completions", json=QUESTION)
    assert cached(api) == 0


def test_nothing_is_kept_while_passages_wait_for_their_vectors(api: Api) -> None:
    with api.database.transaction() as conn:
        conn.execute(
            text(
                "DELETE FROM features.embeddings WHERE chunk_id = (SELECT min(chunk_id::text)::uuid FROM features.embeddings WHERE author_id = :a)"
            ),
            {"a": api.jane.id},
        )
    ask(api)
    assert cached(api) == 0


def test_a_forgotten_documents_answers_leave_the_cache(api: Api, engine: ChatServer, settings: Settings) -> None:
    first = ask(api)
    ask(api)
    document = UUID(first["citations"][0]["document_id"])
    receipt = forgetting.forget(api.database, PostgresWarehouse(api.database), api.jane, [document], settings=settings)
    assert receipt.stores["cached answers"] == forgetting.Counted(before=1, after=0)
    assert receipt.stores["traces"] == forgetting.Counted(before=2, after=0)
    assert receipt.stores["trace candidates"].before >= 1
    after = ask(api)
    assert after["cached_from"] is None
    assert str(document) not in str(after)
    assert len(engine.requests) == 2


def test_another_authors_same_question_is_that_authors_own(api: Api, engine: ChatServer) -> None:
    ask(api)
    theirs = ask(api, api.new_key(api.mallory).secret, model="mallory")
    assert theirs["cached_from"] is None
    assert "Restore is the feature" not in str(theirs["citations"])
    with api.database.as_author(api.mallory.id) as conn:
        conn.execute(text("SET LOCAL ROLE twin_api"))
        assert conn.execute(text("SELECT author_id FROM serving.cached_answers")).scalars().all() == [api.mallory.id]


class TestByDefault:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"answer_cache_hours": Settings.model_fields["answer_cache_hours"].default})

    def test_every_question_is_answered_anew_and_nothing_is_kept(self, api: Api, engine: ChatServer) -> None:
        ask(api)
        assert ask(api)["cached_from"] is None
        assert (len(engine.requests), cached(api)) == (2, 0)
