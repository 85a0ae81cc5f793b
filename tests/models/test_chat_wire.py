"""What the wire says is read or refused, and nothing that arrives breaks the reader."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twin_core.models.chat_wire import Finish, Malformed, Reported, Text, Usage, parse_body, parse_event

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
CHUNKS = st.fixed_dictionaries(
    {}, optional={"choices": JSON, "usage": JSON, "error": JSON, "object": JSON, "detail": JSON}
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text() | CHUNKS.map(json.dumps) | JSON.map(json.dumps))
def test_anything_is_pieces_or_one_of_two_errors(data: str) -> None:
    for parse in (parse_event, parse_body):
        with suppress(Reported, Malformed):
            parse(data)


def test_thinking_is_a_sign_of_life_without_text() -> None:
    chunk = {"choices": [{"delta": {"reasoning_content": "hm"}}]}
    assert parse_event(json.dumps(chunk)) == [Text("")]


def test_a_role_alone_is_no_first_token() -> None:
    assert parse_event('{"choices": [{"delta": {"role": "assistant", "content": ""}}]}') == []


def test_text_finish_and_usage_may_share_one_chunk() -> None:
    chunk = {
        "choices": [{"delta": {"content": "x"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    assert parse_event(json.dumps(chunk)) == [
        Text("x"),
        Finish("length"),
        Usage(prompt_tokens=1, completion_tokens=2),
    ]


@pytest.mark.parametrize(
    "data",
    [
        '{"error": "Input validation error", "error_type": "validation"}',
        '{"error": {"message": "boom", "code": 500}}',
        '{"object": "error", "message": "boom"}',
        '{"detail": "Server is pinned"}',
        '{"error": "it said "no""}',
    ],
)
def test_every_engines_way_of_saying_no_is_recognised(data: str) -> None:
    with pytest.raises(Reported):
        parse_event(data)
