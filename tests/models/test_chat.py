"""The chat client against a server that speaks as TGI, vLLM and transformers do, and breaks as they break."""

from __future__ import annotations

import asyncio
import json
from time import monotonic

import pytest

from tests.conftest import free_port
from tests.models.chat_server import ChatServer
from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.models.chat import (
    ChatClient,
    ChatGarbled,
    ChatInterrupted,
    ChatRefused,
    ChatTimeout,
    ChatUnreachable,
    End,
    Message,
    Token,
    Usage,
    model_name,
)
from twin_core.settings import Settings

QUESTION = [Message(role="user", content="What is the feature?")]
WHOLE = "Restore is the feature [1]."


async def ask(settings: Settings) -> tuple[str, End]:
    async with ChatClient(settings) as client:
        done = await client.complete(QUESTION)
        return done.text, done.end


@pytest.mark.parametrize("speaks", ["tgi", "vllm", "transformers"])
async def test_every_engine_gives_the_whole_answer_with_its_usage(
    engine: ChatServer, chat_settings: Settings, speaks: str
) -> None:
    engine.engine = speaks
    text, end = await ask(chat_settings.model_copy(update={"llm_engine": speaks}))
    assert text == WHOLE
    assert end.usage == Usage(prompt_tokens=11, completion_tokens=4)
    assert end.reason == "stop"


async def test_a_least_length_is_asked_for_as_each_engine_understands_it(
    engine: ChatServer, chat_settings: Settings
) -> None:
    for speaks in ("vllm", "transformers", "tgi"):
        engine.engine = speaks
        async with ChatClient(chat_settings.model_copy(update={"llm_engine": speaks})) as client:
            await client.complete(QUESTION, min_tokens=40)
    vllm, transformers, tgi = engine.requests
    assert vllm["min_tokens"] == 40
    assert json.loads(transformers["generation_config"]) == {"min_new_tokens": 40, "do_sample": True}
    assert not {"min_tokens", "generation_config"} & set(tgi)


async def test_tokens_arrive_as_they_are_written(engine: ChatServer, chat_settings: Settings) -> None:
    engine.pause = 0.1
    async with ChatClient(chat_settings) as client:
        arrivals = [monotonic() async for event in client.stream(QUESTION) if isinstance(event, Token)]
    assert len(arrivals) == 4
    assert arrivals[-1] - arrivals[0] > 0.2


async def test_an_engine_that_does_not_stream_is_understood(engine: ChatServer, chat_settings: Settings) -> None:
    engine.fault = "whole"
    assert (await ask(chat_settings))[0] == WHOLE


async def test_a_server_that_is_not_there_is_named_with_what_to_do(chat_settings: Settings) -> None:
    nowhere = chat_settings.model_copy(update={"llm_url": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(ChatUnreachable, match="TWIN_LLM_URL") as error:
        await ask(nowhere)
    assert error.value.exit_code == 3
    assert isinstance(error.value, ServiceUnavailable)


async def test_a_refused_connection_is_tried_again_before_it_is_an_error(
    engine: ChatServer, chat_settings: Settings
) -> None:
    engine.faults = ["drop", "503"]
    assert (await ask(chat_settings))[0] == WHOLE
    assert len(engine.requests) == 3


async def test_retry_after_is_honoured(engine: ChatServer, chat_settings: Settings) -> None:
    engine.faults, engine.retry_after = ["429"], "1"
    began = monotonic()
    assert (await ask(chat_settings))[0] == WHOLE
    assert monotonic() - began >= 1


async def test_a_retry_after_beyond_the_first_token_time_is_not_waited_for(
    engine: ChatServer, chat_settings: Settings
) -> None:
    engine.fault, engine.retry_after = "429", "60"
    with pytest.raises(ChatUnreachable, match="429"):
        await asyncio.wait_for(ask(chat_settings), 20)
    assert len(engine.requests) == 1


@pytest.mark.parametrize("fault", ["500", "422"])
async def test_an_error_that_would_come_again_is_not_asked_for_again(
    engine: ChatServer, chat_settings: Settings, fault: str
) -> None:
    engine.fault = fault
    with pytest.raises(ChatRefused, match=f"fault {fault}"):
        await ask(chat_settings)
    assert len(engine.requests) == 1


@pytest.mark.parametrize("fault", ["silent", "slow first token"])
async def test_silence_before_the_first_token_ends_in_a_timeout_that_names_its_setting(
    engine: ChatServer, chat_settings: Settings, fault: str
) -> None:
    engine.fault = fault
    with pytest.raises(ChatTimeout, match="TWIN_LLM_FIRST_TOKEN_SECONDS"):
        await ask(chat_settings.model_copy(update={"llm_first_token_seconds": 1}))
    assert len(engine.requests) <= 1


async def received(settings: Settings) -> tuple[str, Exception | None]:
    """What arrived, and how it ended."""
    parts: list[str] = []
    async with ChatClient(settings) as client:
        try:
            async for event in client.stream(QUESTION):
                parts.append(event.text if isinstance(event, Token) else "(end)")
        except ServiceUnavailable as error:
            return "".join(parts), error
    return "".join(parts), None


@pytest.mark.parametrize("fault", ["reset", "ends early", "error mid-stream"])
@pytest.mark.parametrize("speaks", ["tgi", "vllm", "transformers"])
async def test_after_the_first_token_nothing_is_repeated(
    engine: ChatServer, chat_settings: Settings, fault: str, speaks: str
) -> None:
    engine.fault, engine.engine = fault, speaks
    text, error = await received(chat_settings)
    assert text == "Restore is the"
    assert isinstance(error, ChatInterrupted)
    assert len(engine.requests) == 1


async def test_silence_between_tokens_has_a_limit_of_its_own(engine: ChatServer, chat_settings: Settings) -> None:
    engine.fault = "goes silent"
    _, error = await received(chat_settings.model_copy(update={"llm_idle_seconds": 1.5}))
    assert isinstance(error, ChatInterrupted)
    assert "TWIN_LLM_IDLE_SECONDS" in str(error)


async def test_an_error_sent_as_data_on_http_200_is_an_error(engine: ChatServer, chat_settings: Settings) -> None:
    engine.fault, engine.engine = "error first", "tgi"
    with pytest.raises(ChatRefused, match="failed during generation"):
        await ask(chat_settings)


@pytest.mark.parametrize("fault", ["html", "bad json"])
async def test_what_is_not_the_protocol_is_said_to_be_so(
    engine: ChatServer, chat_settings: Settings, fault: str
) -> None:
    engine.fault = fault
    with pytest.raises(ChatGarbled, match="chat protocol"):
        await ask(chat_settings)


async def test_leaving_closes_the_connection_so_that_generation_ends(
    engine: ChatServer, chat_settings: Settings
) -> None:
    engine.pause = 0.2
    async with ChatClient(chat_settings) as client:
        events = client.stream(QUESTION)
        await anext(events)
        await events.aclose()
        assert await asyncio.to_thread(engine.cancelled.wait, 30)


async def test_the_request_names_the_model_and_carries_the_token(engine: ChatServer, chat_settings: Settings) -> None:
    secret = Settings(llm_api_key="hush", _env_file=None).llm_api_key
    await ask(chat_settings.model_copy(update={"llm_api_key": secret}))
    assert engine.requests[0]["model"] == "someone-v1"
    assert engine.requests[0]["stream"] is True
    assert engine.headers[0]["authorization"] == "Bearer hush"


async def test_a_proxy_in_the_environment_never_sees_a_local_prompt(
    engine: ChatServer, chat_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    assert (await ask(chat_settings))[0] == WHOLE


async def test_whether_the_server_answers_is_told_without_an_error(engine: ChatServer, chat_settings: Settings) -> None:
    async with ChatClient(chat_settings) as client:
        assert await client.answers()
        engine.fault = "loading"
        assert not await client.answers()
    nowhere = chat_settings.model_copy(update={"llm_url": f"http://127.0.0.1:{free_port()}"})
    async with ChatClient(nowhere) as client:
        assert not await client.answers()


def test_the_model_is_named_as_each_engine_wants_it(chat_settings: Settings) -> None:
    def named(**update: object) -> str:
        return model_name(chat_settings.model_copy(update={"llm_model": None, **update}))

    assert named(llm_engine="tgi") == "tgi"
    assert named(llm_engine="tgi", llm_model="jane-v3") == "jane-v3"
    assert named(llm_engine="vllm", base_model="org/model") == "org/model"
    assert named(llm_engine="transformers", base_model="org/model") == "org/model"
    with pytest.raises(InvalidInput, match="TWIN_LLM_MODEL"):
        named(llm_engine="vllm")
    with pytest.raises(ChatUnreachable, match="twin up"):
        named(llm_engine="transformers", llm_url=None)
