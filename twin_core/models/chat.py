"""The client of the language model: OpenAI's `/v1/chat/completions`, which TGI, vLLM and `transformers serve` all speak.

What is here is transport: timeouts, retries, the event stream and typed errors. What is asked is decided in
`prompts/` and `writing/`; which local server answers, in `local_server.py`; what is on the wire, in `chat_wire.py`, and
in `tgi_wire.py` for TGI's own route (`TWIN_LLM_ROUTE=generate`). Why this is written on httpx2 and not on
a ready-made client: docs/decisions/0005-chat-client.md.
"""

from __future__ import annotations

import asyncio
import copy
import ipaddress
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

import httpx2

from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.models import local_server, tgi_wire
from twin_core.models.chat_wire import Finish, Malformed, Reported, Text, Usage, parse_body, parse_event
from twin_core.settings import Settings
from twin_core.store.registry import Deployment

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.3
"""Before the second attempt; doubled before the third. A server that restarts needs seconds: `twin up` sees to that."""
AFTER_FINISH_SECONDS = 1.0
"""How long the usage, which follows the last token, is waited for: the answer is already complete."""
PIECES_PER_TOKEN = 4
"""A server may cut a token into several pieces. One that sends more than this does not stop where it was told to."""
MOST_BYTES = 4_000_000
"""Of an answer that is one document; the longest that fits any model's window has less."""


class ChatError(ServiceUnavailable):
    """The language model did not give a whole answer. Always one of the classes below."""


class ChatUnreachable(ChatError):
    """Nothing answers, or it says "not now" (429, 503) to the end. No token was received."""


class ChatTimeout(ChatError):
    """The server accepted the request and then stayed silent for longer than the settings allow."""


class ChatRefused(ChatError):
    """The server answered with an error that a repetition would not change: a wrong model name, a prompt too long."""


class ChatInterrupted(ChatError):
    """The answer broke off after its first token. What was received before is all there is."""


class ChatGarbled(ChatError):
    """The server sent something that is not this protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A piece of the answer, in order."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The last event of a whole answer."""

    reason: str
    """Why the model stopped: `stop`, `length`, or what the engine says."""
    model: str
    usage: Usage | None
    """None when the engine does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A whole answer at once."""

    text: str
    end: End


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """An adapter in the LLM server, as a request names it."""

    model: str
    url: str | None = None
    """Of a server of its own, without /v1. None: the one of the settings."""


def served_by(deployment: Deployment | None, settings: Settings) -> Served | None:
    """How a request reaches the deployed adapter; None when the settings' own model answers.

    TGI and vLLM take the adapter's name as the request's model; a local server is one process for one model. A
    deployment of another engine than the settings name is none: that server is not asked. Raises ChatUnreachable while
    the local server of the adapter is not up.
    """
    if deployment is None or deployment.engine != settings.llm_engine:
        return None
    if deployment.engine == "transformers":
        if settings.llm_url is not None:
            return None
        if deployment.url is None:
            raise ChatUnreachable(f"The server of {deployment.served_name} is not up. `twin up` starts it.")
    return Served(model=deployment.served_name, url=deployment.url)


def model_name(settings: Settings) -> str:
    """What the request's `model` must say for this engine.

    TGI without an adapter takes `tgi`; `transformers serve` insists on the very name it was started with; vLLM and
    others name the base model. Raises InvalidInput when nothing tells the name.
    """
    if settings.llm_model:
        return settings.llm_model
    if settings.llm_engine == "tgi":
        return "tgi"
    if settings.llm_engine == "transformers" and (served := local_server.served_model(settings)):
        return served
    if settings.base_model != local_server.STAND_IN:
        return settings.base_model
    if settings.llm_url is None:
        raise ChatUnreachable(
            "The local language model is not there yet: `twin up` starts it, once there is writing to make it from."
        )
    raise InvalidInput(
        f"Which model does {settings.llm_url} serve? Set TWIN_LLM_MODEL to its name (its /v1/models lists them)."
    )


class ChatClient:
    """An asynchronous client over one engine. Make one per process and close it; it pools its connections."""

    def __init__(self, settings: Settings, *, attempts: int = ATTEMPTS) -> None:
        self._settings = settings
        self._attempts = attempts
        self._base = settings.llm_base_url
        self._served: Served | None = None
        key = settings.llm_api_key
        self._client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
            timeout=httpx2.Timeout(None, connect=settings.llm_connect_seconds),
            # A proxy named in the environment is nobody's setting of ours: the prompt to a local server stays local.
            trust_env=not is_local(self._base),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def asking(self, served: Served | None) -> ChatClient:
        """The same client, over the same connections, asking this adapter. It need not be closed."""
        if served is None:
            return self
        other = copy.copy(self)
        vars(other).update(_served=served, _base=f"{served.url.rstrip('/')}/v1" if served.url else self._base)
        return other

    async def aclose(self) -> None:
        """Close the pooled connections."""
        await self._client.aclose()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int | None = None,
        min_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        schema: Mapping[str, object] | None = None,
    ) -> AsyncGenerator[Token | End]:
        """The answer as it is written: tokens, then one End. Close the generator to cancel the generation.

        `min_tokens` asks for an answer of at least that length: vLLM and `transformers serve` give one, TGI has no way to be asked.

        `schema` asks for JSON of this JSON Schema. Engines that constrain the answer to it do; `transformers serve`
        cannot, so validate what comes.

        Repeated only before the first token, on connection errors, 429 and 503, honouring Retry-After, within the
        first-token time. Raises one of the ChatError classes, whose text says what to do.
        """
        asked = _Asked(messages, max_tokens, min_tokens, temperature, seed, schema)
        deadline = monotonic() + self._settings.llm_first_token_seconds
        for attempt in range(1, self._attempts + 1):
            try:
                async with aclosing(self._attempt(asked, deadline)) as events:
                    async for event in events:
                        yield event
                return
            except _Repeatable as again:
                pause = again.after if again.after is not None else FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)
                if attempt == self._attempts or monotonic() + pause > deadline:
                    raise ChatUnreachable(self._unreachable(again.why)) from again
                await asyncio.sleep(pause)

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int | None = None,
        min_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        schema: Mapping[str, object] | None = None,
    ) -> Completion:
        """The whole answer. Streamed underneath, so that the same timeouts and errors hold."""
        parts: list[str] = []
        asked = self.stream(
            messages, max_tokens=max_tokens, min_tokens=min_tokens, temperature=temperature, seed=seed, schema=schema
        )
        async with aclosing(asked) as events:
            async for event in events:
                if isinstance(event, End):
                    return Completion(text="".join(parts), end=event)
                parts.append(event.text)
        raise ChatInterrupted(self._broke_off("the answer ended without an end"))

    async def answers(self) -> bool:
        """Whether the server is up and ready, asked with a short timeout. Never raises."""
        path = "/models" if self._settings.llm_engine == "openai" else None
        url = self._base + path if path else self._base.removesuffix("/v1") + "/health"
        try:
            response = await self._client.get(url, timeout=min(2.0, self._settings.llm_connect_seconds))
        except (httpx2.HTTPError, OSError):
            return False
        return response.status_code == httpx2.codes.OK

    @property
    def _model(self) -> str:
        return self._served.model if self._served else model_name(self._settings)

    @property
    def _native(self) -> bool:
        return self._settings.llm_engine == "tgi" and self._settings.llm_route == "generate"

    async def _call(self, asked: _Asked, deadline: float) -> tuple[str, dict[str, object]]:
        """Where the request goes and what it says."""
        if not self._native:
            return f"{self._base}/chat/completions", self._chat_body(asked)
        root = self._base.removesuffix("/v1")
        prompt = await self._templated(f"{root}/chat_tokenize", asked, deadline)
        body = tgi_wire.generate_body(
            prompt,
            model=self._model,
            max_tokens=asked.max_tokens or self._settings.llm_max_tokens,
            temperature=asked.temperature,
            seed=asked.seed,
            schema=asked.schema,
        )
        return f"{root}/generate_stream", body

    def _chat_body(self, asked: _Asked) -> dict[str, object]:
        body: dict[str, object] = {
            "model": self._model,
            "messages": asked.turns,
            "max_tokens": asked.max_tokens or self._settings.llm_max_tokens,
            "stream": True,
        }
        if asked.temperature is not None:
            body["temperature"] = asked.temperature
        if asked.seed is not None:
            body["seed"] = asked.seed
        if asked.schema is not None and (wanted := self._response_format(asked.schema)):
            body["response_format"] = wanted
        if asked.min_tokens is not None:
            body |= self._at_least(asked.min_tokens)
        if self._settings.llm_engine != "transformers":  # that one always counts, and warns about the field
            body["stream_options"] = {"include_usage": True}
        return body

    def _at_least(self, tokens: int) -> dict[str, object]:
        if self._settings.llm_engine == "vllm":
            return {"min_tokens": tokens}
        if self._settings.llm_engine == "transformers":  # what is said here counts in place of the model's own settings
            return {"generation_config": json.dumps({"min_new_tokens": tokens, "do_sample": True})}
        return {}

    def _response_format(self, schema: Mapping[str, object]) -> dict[str, object] | None:
        if self._settings.llm_engine == "transformers":
            return None
        if self._settings.llm_engine == "tgi":
            return {"type": "json_object", "value": schema}
        return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}

    async def _templated(self, url: str, asked: _Asked, deadline: float) -> str:
        response = await self._send(url, {"model": tgi_wire.BASE, "messages": asked.turns}, deadline)
        try:
            if response.status_code != httpx2.codes.OK:
                await self._raise_for(response, deadline)
            return tgi_wire.parse_templated(await self._body(response, deadline))
        except Reported as error:
            raise ChatRefused(f"The language model server at {self._base} reports: {error}.") from error
        except Malformed as error:
            raise ChatGarbled(self._not_chat(str(error))) from error
        finally:
            await response.aclose()

    async def _send(self, url: str, body: dict[str, object], deadline: float) -> httpx2.Response:
        request = self._client.build_request("POST", url, json=body)
        try:
            async with asyncio.timeout(max(deadline - monotonic(), 0.001)):
                return await self._client.send(request, stream=True)
        except TimeoutError as error:
            raise ChatTimeout(self._silent("first token", self._settings.llm_first_token_seconds)) from error
        except (httpx2.TransportError, OSError) as error:
            raise _Repeatable(_reason(error)) from error

    async def _attempt(self, asked: _Asked, deadline: float) -> AsyncGenerator[Token | End]:
        url, body = await self._call(asked, deadline)
        response = await self._send(url, body, deadline)
        try:
            if response.status_code != httpx2.codes.OK:
                await self._raise_for(response, deadline)
            async for event in self._read(response, deadline, asked.max_tokens or self._settings.llm_max_tokens):
                yield event
        finally:
            await response.aclose()

    async def _read(self, response: httpx2.Response, deadline: float, tokens: int) -> AsyncGenerator[Token | End]:
        model = self._model
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            for token_or_end in self._whole(await self._body(response, deadline), model):
                yield token_or_end
            return
        events = aiter(httpx2.EventSource(response))
        started, reason, usage = False, None, None
        pieces_left, until = PIECES_PER_TOKEN * tokens, monotonic() + self._settings.llm_total_seconds
        while True:
            if reason is None and (pieces_left <= 0 or monotonic() > until):
                reason = "length"  # it was told how much to write, and goes on; closing the stream cancels it
                break
            try:
                async with asyncio.timeout(self._patience(deadline, started=started, finished=reason is not None)):
                    event = await anext(events)
            except (StopAsyncIteration, TimeoutError, httpx2.HTTPError) as error:
                if reason is not None:
                    break
                raise self._broken(error, started=started) from error
            if event.data.strip() == "[DONE]":
                reason = reason or "stop"
                break
            for piece in self._pieces(event.data, started=started):
                if isinstance(piece, Text):
                    started = True
                    if piece.text:
                        pieces_left -= 1
                        yield Token(text=piece.text)
                elif isinstance(piece, Finish):
                    reason = piece.reason
                elif isinstance(piece, Usage):
                    usage = piece
        yield End(reason=reason, model=model, usage=usage)

    def _pieces(self, data: str, *, started: bool) -> list[Text | Finish | Usage]:
        try:
            return tgi_wire.parse_generated(data) if self._native else parse_event(data)
        except Reported as error:
            # TGI and vLLM report errors inside a stream that began with HTTP 200.
            if started:
                raise ChatInterrupted(self._broke_off(str(error))) from error
            raise ChatRefused(f"The language model server at {self._base} reports: {error}.") from error
        except Malformed as error:
            raise ChatGarbled(self._not_chat(str(error))) from error

    def _whole(self, text: str, model: str) -> list[Token | End]:
        """An engine that ignores `stream` sends one JSON document."""
        try:
            answer, reason, usage = parse_body(text)
        except Reported as error:
            raise ChatRefused(f"The language model server at {self._base} reports: {error}.") from error
        except Malformed as error:
            raise ChatGarbled(self._not_chat(str(error))) from error
        return [Token(text=answer), End(reason=reason, model=model, usage=usage)]

    def _patience(self, deadline: float, *, started: bool, finished: bool) -> float:
        if finished:
            return AFTER_FINISH_SECONDS
        return self._settings.llm_idle_seconds if started else max(deadline - monotonic(), 0.001)

    def _broken(self, error: Exception, *, started: bool) -> ChatError:
        if isinstance(error, TimeoutError):
            if started:
                return ChatInterrupted(self._silent("next token", self._settings.llm_idle_seconds))
            return ChatTimeout(self._silent("first token", self._settings.llm_first_token_seconds))
        why = "the connection ended" if isinstance(error, StopAsyncIteration) else _reason(error)
        if isinstance(error, httpx2.SSEError):
            return ChatGarbled(self._not_chat(why))
        return ChatInterrupted(self._broke_off(why)) if started else ChatUnreachable(self._unreachable(why))

    async def _raise_for(self, response: httpx2.Response, deadline: float) -> None:
        said = (await self._body(response, deadline))[:2000]
        try:
            parse_body(said)
            why = "no reason given"
        except Reported as error:
            why = str(error)
        except Malformed:
            why = " ".join(said.split())[:200] or "no reason given"
        status = response.status_code
        if status in {429, 503}:
            raise _Repeatable(f"HTTP {status}: {why}", after=_retry_after(response.headers.get("retry-after")))
        raise ChatRefused(f"The language model server at {self._base} refused the request (HTTP {status}: {why}).")

    async def _body(self, response: httpx2.Response, deadline: float) -> str:
        try:
            async with asyncio.timeout(max(deadline - monotonic(), 0.001)):
                read = bytearray()
                async for part in response.aiter_bytes():
                    read += part
                    if len(read) > MOST_BYTES:
                        raise ChatGarbled(self._not_chat(f"more than {MOST_BYTES:,} bytes"))
                return read.decode("utf-8", "replace")
        except TimeoutError as error:
            raise ChatTimeout(self._silent("answer", self._settings.llm_first_token_seconds)) from error
        except httpx2.HTTPError as error:
            raise ChatUnreachable(self._unreachable(_reason(error))) from error

    def _unreachable(self, why: str) -> str:
        advice = "Start it, or check TWIN_LLM_URL" if self._settings.llm_url else "Start it with `twin up`"
        return f"The language model at {self._base} does not answer ({why}). {advice}."

    def _silent(self, what: str, seconds: float) -> str:
        setting = "TWIN_LLM_IDLE_SECONDS" if what == "next token" else "TWIN_LLM_FIRST_TOKEN_SECONDS"
        return (
            f"The language model at {self._base} gave no {what} within {seconds:g} s. "
            f"Try again, or allow more with {setting}."
        )

    def _broke_off(self, why: str) -> str:
        return f"The language model at {self._base} broke off in the middle of its answer ({why}). Ask again."

    def _not_chat(self, why: str) -> str:
        return f"What answers at {self._base} does not speak the chat protocol ({why}). Check TWIN_LLM_URL."


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, before it is put into the shape of an engine."""

    messages: Sequence[Message]
    max_tokens: int | None
    min_tokens: int | None
    temperature: float | None
    seed: int | None
    schema: Mapping[str, object] | None

    @property
    def turns(self) -> list[dict[str, str]]:
        return [{"role": message.role, "content": message.content} for message in self.messages]


class _Repeatable(Exception):
    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.after = after


def _retry_after(value: str | None) -> float | None:
    """Seconds; the HTTP-date form is not used by any engine and is taken as "soon"."""
    try:
        return max(float(value), 0.0) if value else None
    except ValueError:
        return None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def is_local(url: str) -> bool:
    """Whether a server is on this machine: then no proxy of the environment stands before it."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


__all__ = [
    "ChatClient", "ChatError", "ChatGarbled", "ChatInterrupted", "ChatRefused", "ChatTimeout", "ChatUnreachable",
    "Completion", "End", "Message", "Served", "Token", "Usage", "is_local", "model_name", "served_by",
]  # fmt: skip
