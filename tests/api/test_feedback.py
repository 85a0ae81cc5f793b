"""Feedback over HTTP: given with an answer's trace id, kept under its author, and the source of preference pairs."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.api.conftest import Api
from tests.api.test_keys_and_limits import QUESTION, is_problem
from twin_core.store.feedback import feedback_of, preferred


@pytest.fixture
def trace(api: Api) -> str:
    with api.client() as client:
        return client.post("/v1/chat/completions", json=QUESTION).json()["trace_id"]


def test_an_edit_becomes_a_preference_over_the_answer_that_was_given(api: Api, trace: str) -> None:
    key = api.new_key(api.jane, "write")
    with api.client(key.secret) as client:
        given = client.post(
            "/v1/feedback", json={"trace_id": trace, "verdict": "down", "edited": "Restore, every month."}
        )
    assert given.status_code == 201, given.text
    with api.database.transaction() as conn:
        (one,) = feedback_of(conn, api.jane.id)
        (pair,) = preferred(conn, api.jane.id)
    assert str(one.id) == given.json()["id"]
    assert one.key_id == key.key.id
    assert (pair.origin, pair.chosen, pair.rejected) == ("edit", "Restore, every month.", "Restore is the feature [1].")
    assert pair.question == "How do I restore a backup?"
    assert pair.passages


def test_who_may_only_ask_cannot_teach(api: Api, trace: str) -> None:
    with api.client() as client:
        is_problem(client.post("/v1/feedback", json={"trace_id": trace, "verdict": "up"}), 403)


def test_another_authors_answer_is_not_found(api: Api, trace: str) -> None:
    with api.client(api.new_key(api.mallory, "write").secret) as client:
        for asked in (trace, str(uuid4())):
            is_problem(client.post("/v1/feedback", json={"trace_id": asked, "verdict": "down"}), 404)
    with api.database.transaction() as conn:
        assert feedback_of(conn, api.jane.id) == []


@pytest.mark.parametrize(
    "said", [{}, {"verdict": "meh"}, {"edited": ""}, {"verdict": "up", "text": "x"}, {"edited": "x" * 40_001}]
)
def test_what_says_nothing_or_too_much_is_refused(api: Api, trace: str, said: dict[str, str]) -> None:
    with api.client(api.new_key(api.jane, "write").secret) as client:
        is_problem(client.post("/v1/feedback", json={"trace_id": trace, **said}), 400)
