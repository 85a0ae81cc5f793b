"""Tokens per key, and pages of other origins."""

from __future__ import annotations

import httpx2
import pytest
from sqlalchemy import text

from tests.api.conftest import Api
from tests.api.test_keys_and_limits import QUESTION, is_problem
from tests.models.chat_server import ChatServer
from twin_core.settings import Settings
from twin_core.store.token_use import tokens_used


def used(api: Api) -> int:
    with api.database.transaction() as conn:
        return int(conn.execute(text("SELECT coalesce(sum(tokens), 0) FROM serving.token_use")).scalar_one())


def test_an_answer_counts_what_the_engine_counted(api: Api) -> None:
    with api.client() as client:
        answer = client.post("/v1/chat/completions", json=QUESTION).json()
        assert used(api) == answer["usage"]["total_tokens"] == 15
        client.post("/v1/chat/completions", json={**QUESTION, "stream": True})
    assert used(api) == 30


def test_an_answer_that_nobody_waited_for_is_counted_all_the_same(api: Api, engine: ChatServer) -> None:
    engine.pause, engine.words = 0.2, ("word " * 40,) * 50
    with (
        api.client() as client,
        client.stream("POST", "/v1/chat/completions", json={**QUESTION, "stream": True}) as one,
    ):
        for line in one.iter_lines():
            if "word" in line:
                break
    assert engine.cancelled.wait(30)
    for _ in range(100):
        if used(api):
            break
        engine.cancelled.clear()
        engine.cancelled.wait(0.1)
    assert used(api) >= 50


def test_an_answer_that_no_model_wrote_costs_nothing(api: Api, engine: ChatServer) -> None:
    engine.fault = "500"
    with api.client() as client:
        assert client.post("/v1/chat/completions", json=QUESTION).json()["outcome"] == "retrieval_only"
    assert used(api) == 0


class TestWithFewTokens:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"api_tokens_per_minute": 10, "api_tokens_per_day": 40})

    def test_a_key_that_has_used_up_its_tokens_is_told_when_to_come_again(self, api: Api) -> None:
        with api.client() as client:
            assert client.post("/v1/chat/completions", json=QUESTION).status_code == 200
            late = client.post("/v1/chat/completions", json=QUESTION)
            assert "a minute" in str(is_problem(late, 429)["detail"])
            assert 1 <= int(late.headers["retry-after"]) <= 61
            assert client.post("/v1/search", json={"query": "backup"}).status_code == 200
        with api.client(api.new_key(api.jane).secret) as other:
            assert other.post("/v1/chat/completions", json=QUESTION).status_code == 200

    def test_the_day_is_counted_too(self, api: Api) -> None:
        with api.client() as client:
            client.post("/v1/chat/completions", json=QUESTION)
            with api.database.transaction() as conn:
                conn.execute(text("UPDATE serving.token_use SET tokens = 40"))
            late = client.post("/v1/chat/completions", json=QUESTION)
            assert "today" in str(is_problem(late, 429)["detail"])
            with api.database.transaction() as conn:
                key = conn.execute(text("SELECT key_id FROM serving.token_use")).scalar_one()
                left = tokens_used(conn, api.jane.id, key).seconds_left_of_day
            assert abs(int(late.headers["retry-after"]) - left) < 60


def asked_from(url: str, origin: str) -> httpx2.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    return httpx2.options(f"{url}/v1/search", headers=headers, trust_env=False)


def test_pages_of_other_origins_may_not_call_by_default(api: Api) -> None:
    assert "access-control-allow-origin" not in asked_from(api.url, "https://desk.example").headers
    with api.client() as client:
        answer = client.get("/v1/models", headers={"Origin": "https://desk.example"})
    assert "access-control-allow-origin" not in answer.headers


class TestWithAnOrigin:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"api_cors_origins": ["https://desk.example"]})

    def test_the_origins_that_are_set_may_call_with_a_key_and_no_other(self, api: Api) -> None:
        assert (
            asked_from(api.url, "https://desk.example").headers["access-control-allow-origin"] == "https://desk.example"
        )
        assert "access-control-allow-origin" not in asked_from(api.url, "https://evil.example").headers
        with api.client() as client:
            answer = client.get("/v1/models", headers={"Origin": "https://desk.example"})
        assert answer.headers["access-control-allow-origin"] == "https://desk.example"
        assert "access-control-allow-credentials" not in answer.headers
