"""One contract for every engine: what is sent in each one's shape, what comes of an answer, and of every way to fail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic

import pytest

from tests.conftest import free_port
from tests.models.chat_server import ChatServer
from twin_core.models.chat import (
    ChatClient,
    ChatGarbled,
    ChatInterrupted,
    ChatRefused,
    ChatTimeout,
    ChatUnreachable,
    End,
    Message,
    Served,
    Token,
    Usage,
)
from twin_core.models.engine_health import engine_health
from twin_core.runtime.doctor import examine
from twin_core.settings import Settings

TURNS = [Message(role="system", content="You are Jane."), Message(role="user", content="What is the feature?")]
WHOLE = "Restore is the feature [1]."
SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}}}


@dataclass(frozen=True)
class Kind:
    """An engine as the settings name it."""

    name: str
    engine: str
    route: str = "chat"

    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"llm_engine": self.engine, "llm_route": self.route})


KINDS = [
    Kind("TGI", "tgi"),
    Kind("TGI's own route", "tgi", "generate"),
    Kind("vLLM", "vllm"),
    Kind("transformers serve", "transformers"),
    Kind("any other", "openai"),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest, engine: ChatServer) -> Kind:
    given: Kind = request.param
    engine.engine = given.engine
    return given


@pytest.fixture
def asked(kind: Kind, chat_settings: Settings) -> Settings:
    return kind.settings(chat_settings)


async def received(settings: Settings, **more: object) -> tuple[str, End | Exception]:
    """The text that arrived, and how it ended."""
    parts: list[str] = []
    async with ChatClient(settings) as client:
        try:
            async for event in client.stream(TURNS, **more):
                if isinstance(event, End):
                    return "".join(parts), event
                parts.append(event.text)
        except Exception as error:
            return "".join(parts), error
    raise AssertionError("a stream ends with its End")


async def test_the_whole_answer_with_its_reason_and_its_tokens(asked: Settings) -> None:
    text, end = await received(asked)
    assert text == WHOLE
    assert isinstance(end, End)
    assert (end.reason, end.model, end.usage) == ("stop", "someone-v1", Usage(prompt_tokens=11, completion_tokens=4))


async def test_tokens_arrive_one_by_one(asked: Settings, engine: ChatServer) -> None:
    engine.pause = 0.1
    async with ChatClient(asked) as client:
        arrivals = [monotonic() async for event in client.stream(TURNS) if isinstance(event, Token)]
    assert len(arrivals) == 4
    assert arrivals[-1] - arrivals[0] > 0.2


async def test_the_adapter_is_named_as_the_engine_takes_it(asked: Settings, engine: ChatServer, kind: Kind) -> None:
    async with ChatClient(asked) as client:
        done = await client.asking(Served(model="jane-v17")).complete(TURNS)
    assert done.end.model == "jane-v17"
    (request,) = engine.requests
    if kind.route == "generate":
        assert request["parameters"]["adapter_id"] == "jane-v17"
        assert engine.paths == ["/chat_tokenize", "/generate_stream"]
    else:
        assert request["model"] == "jane-v17"
        assert engine.paths == ["/v1/chat/completions"]


async def test_temperature_seed_length_and_form_are_asked_for_in_its_words(
    asked: Settings, engine: ChatServer, kind: Kind
) -> None:
    await received(asked, max_tokens=9, temperature=0.8, seed=3, schema=SCHEMA)
    (request,) = engine.requests
    if kind.route == "generate":
        assert request["inputs"] == "<|system|>You are Jane.<|user|>What is the feature?<|assistant|>"
        assert request["parameters"] == {
            "max_new_tokens": 9,
            "details": True,
            "return_full_text": False,
            "adapter_id": "someone-v1",
            "do_sample": True,
            "temperature": 0.8,
            "seed": 3,
            "grammar": {"type": "json", "value": SCHEMA},
        }
        return
    assert (request["max_tokens"], request["temperature"], request["seed"], request["stream"]) == (9, 0.8, 3, True)
    forms = {
        "tgi": {"type": "json_object", "value": SCHEMA},
        "transformers": None,
        "vllm": (
            strict := {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}
        ),
        "openai": strict,
    }
    assert request.get("response_format") == forms[kind.engine]


async def test_the_base_model_and_no_sampling_are_what_tgi_takes_them_for(
    engine: ChatServer, chat_settings: Settings
) -> None:
    engine.engine = "tgi"
    plain = KINDS[1].settings(chat_settings).model_copy(update={"llm_model": None})
    await received(plain, temperature=0.0)
    assert {"adapter_id", "temperature", "do_sample"} & set(engine.requests[0]["parameters"]) == set()


@pytest.mark.parametrize("status", ["422", "424", "500"])
async def test_an_error_that_would_come_again_is_asked_for_once(
    asked: Settings, engine: ChatServer, status: str
) -> None:
    engine.fault = status
    text, error = await received(asked)
    assert (text, type(error)) == ("", ChatRefused)
    assert f"HTTP {status}: fault {status}" in str(error)
    assert len(engine.requests) == 1


@pytest.mark.parametrize("fault", ["429", "503", "drop"])
async def test_not_now_is_asked_again_before_the_first_token(asked: Settings, engine: ChatServer, fault: str) -> None:
    engine.faults = [fault]
    assert (await received(asked))[0] == WHOLE
    assert len(engine.requests) == 2


async def test_retry_after_is_waited_for(asked: Settings, engine: ChatServer) -> None:
    engine.faults, engine.retry_after = ["429"], "0.8"
    began = monotonic()
    assert (await received(asked))[0] == WHOLE
    assert monotonic() - began >= 0.8


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("reset", ChatInterrupted),
        ("error mid-stream", ChatInterrupted),
        ("bad json", ChatGarbled),
        ("goes silent", ChatInterrupted),
    ],
)
async def test_after_the_first_token_nothing_is_asked_again_and_what_came_is_kept(
    asked: Settings, engine: ChatServer, fault: str, error: type[Exception]
) -> None:
    engine.fault = fault
    text, ended = await received(asked.model_copy(update={"llm_idle_seconds": 0.5}))
    assert (text, type(ended)) == ("Restore is the", error)
    assert len(engine.requests) == 1


async def test_an_error_as_data_on_http_200_is_no_answer(asked: Settings, engine: ChatServer) -> None:
    engine.fault = "error first"
    text, error = await received(asked)
    assert (text, type(error)) == ("", ChatRefused)


async def test_silence_is_timed_and_names_its_setting(asked: Settings, engine: ChatServer) -> None:
    engine.fault = "slow first token"
    _, error = await received(asked.model_copy(update={"llm_first_token_seconds": 0.5}))
    assert isinstance(error, ChatTimeout)
    assert "TWIN_LLM_FIRST_TOKEN_SECONDS" in str(error)


async def test_nobody_there_is_said_with_the_address(asked: Settings) -> None:
    nowhere = asked.model_copy(update={"llm_url": f"http://127.0.0.1:{free_port()}"})
    _, error = await received(nowhere)
    assert isinstance(error, ChatUnreachable)
    assert str(nowhere.llm_url) in str(error)
    assert not engine_health(nowhere).up


async def test_who_leaves_ends_the_generation(asked: Settings, engine: ChatServer) -> None:
    engine.pause = 0.3
    async with ChatClient(asked) as client:
        events = client.stream(TURNS)
        assert isinstance(await anext(events), Token)
        await events.aclose()
        assert await asyncio.to_thread(engine.cancelled.wait, 10)


async def test_health_says_what_the_engine_says_of_itself(asked: Settings, engine: ChatServer, kind: Kind) -> None:
    health = await asyncio.to_thread(engine_health, asked)
    assert (health.up, health.problem) == (True, None)
    said = {
        "tgi": (("someone-v1",), 4096, "3.3.6"),
        "transformers": ((), None, None),
        "vllm": (("someone-v1",), 8192, None),
        "openai": (("someone-v1",), 8192, None),
    }
    assert (health.models, health.window, health.version) == said[kind.engine]
    async with ChatClient(asked) as client:
        assert await client.answers()
        engine.fault = "loading"
        assert not await client.answers()
    assert not (await asyncio.to_thread(engine_health, asked)).up


def test_the_doctor_shows_it_and_says_when_the_model_is_not_served(chat_settings: Settings, engine: ChatServer) -> None:
    def found(settings: Settings) -> tuple[str, str, str]:
        (one,) = [finding for finding in examine(settings) if finding.subject == "LLM server"]
        return one.level, one.found, one.advice

    assert found(chat_settings)[:2] == ("ok", f"{engine.url} answers (vllm: someone-v1; 8192 tokens)")
    level, _, advice = found(chat_settings.model_copy(update={"llm_model": "jane-v9"}))
    assert level == "warn"
    assert "does not serve jane-v9" in advice
    assert "someone-v1" in advice


async def test_a_tgi_without_a_chat_template_says_so(engine: ChatServer, chat_settings: Settings) -> None:
    engine.engine, engine.fault = "tgi", "no template"
    _, error = await received(KINDS[1].settings(chat_settings))
    assert isinstance(error, ChatRefused)
    assert "fault no template" in str(error)


async def test_an_answer_that_takes_longer_than_allowed_ends_as_one_that_is_too_long(
    asked: Settings, engine: ChatServer
) -> None:
    engine.pause, engine.words = 0.2, ("more ",) * 100
    text, end = await received(asked.model_copy(update={"llm_total_seconds": 0.9}))
    assert isinstance(end, End)
    assert (end.reason, end.usage) == ("length", None)
    assert 0 < text.count("more") <= 6
    assert await asyncio.to_thread(engine.cancelled.wait, 10)
