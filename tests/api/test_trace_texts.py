"""What an operator lets be kept of questions and answers, over the whole way: asked, drafted, edited, and then looked for."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.api.conftest import Api
from tests.api.test_keys_and_limits import QUESTION, is_problem
from tests.api.test_traces import get
from tests.models.chat_server import ChatServer
from twin_core.settings import Settings

MAIL = "joan@harbour-office.com"
ASKED = {**QUESTION, "messages": [{"role": "user", "content": f"How do I restore the backup of {MAIL}?"}]}


def held(api: Api, word: str) -> list[str]:
    """The tables of `serving` in which the word stands anywhere."""
    with api.database.transaction() as conn:
        tables = conn.execute(
            text(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'serving' AND table_type = 'BASE TABLE'"
            )
        ).scalars()
        return [
            name
            for name in tables
            if conn.execute(
                text(f"SELECT count(*) FROM serving.{name} t WHERE t::text LIKE :w"), {"w": f"%{word}%"}
            ).scalar()
        ]


class TestRedacted:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"trace_redact": True})

    def test_who_asks_gets_the_answer_as_it_is_and_the_store_a_placeholder(self, api: Api, engine: ChatServer) -> None:
        engine.words = ("Write to ", MAIL, " [1].")
        with api.client(api.new_key(api.jane, "write").secret) as client:
            answered = client.post("/v1/chat/completions", json=ASKED).json()
            written = client.post("/v1/write", json={"kind": "reply", "brief": f"Answer {MAIL}"}).json()
            edited = {"trace_id": answered["trace_id"], "edited": f"Do not write to {MAIL}."}
            assert client.post("/v1/feedback", json=edited).status_code == 201
        assert answered["choices"][0]["message"]["content"] == f"Write to {MAIL} [1]."
        assert MAIL in written["drafts"][0]["text"]
        assert MAIL in str(engine.requests[0]["messages"]), "the model is asked what was asked"
        assert held(api, MAIL) == []
        trace = get(api, f"/v1/traces/{answered['trace_id']}")
        assert (trace["question"], trace["answer"], trace["texts"]) == (
            "How do I restore the backup of <EMAIL>?", "Write to <EMAIL> [1].", "redacted",
        )  # fmt: skip
        assert trace["feedback"][0]["edited"] == "Do not write to <EMAIL>."
        assert trace["passages"][0]["cited"] is True


class TestWithoutTexts:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"trace_texts": 0.0})

    def test_figures_are_kept_and_no_word_and_a_draft_cannot_be_revised(self, api: Api) -> None:
        with api.client(api.new_key(api.jane, "write").secret) as client:
            answered = client.post("/v1/chat/completions", json=ASKED).json()
            written = client.post("/v1/write", json={"kind": "post", "brief": "Why I restore backups"}).json()
            again = {"revise": written["drafts"][0]["trace_id"], "instruction": "shorter"}
            said = is_problem(client.post("/v1/write", json=again), 400)
        assert "was not kept" in str(said["detail"])
        for word in (MAIL, "Restore is the feature", "Nobody wants backups", "Why I restore"):
            assert held(api, word) == [], word
        trace = get(api, f"/v1/traces/{answered['trace_id']}")
        assert (trace["texts"], trace["question"], trace["outcome"]) == ("dropped", "", "answered")
        assert trace["usage"] == {"prompt_tokens": 11, "completion_tokens": 4}
        assert trace["passages"][0]["title"] == "Restore is the feature", "what it rests on is known by its id"
