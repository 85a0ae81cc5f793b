"""A chat server on loopback that answers as the engines document, and misbehaves on demand.

The shapes are those of TGI 3.3.6 (its own routes too), vLLM and `transformers serve` 5; which one, and which fault, is
said per test. It records what it was asked, and whether the caller left.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

WORDS = ("Restore", " is the", " feature", " [1].")

_TYPES = {"422": "validation", "424": "generation", "429": "overloaded", "500": "incomplete_generation"}
"""TGI's names of what went wrong, by status."""

Send = Callable[[bytes], Any]


@dataclass
class ChatServer:
    """What to answer, and what was seen. Change the fields at any time; each request reads them anew."""

    engine: str = "vllm"
    """tgi, vllm or transformers: how it streams, counts and ends."""
    words: tuple[str, ...] = WORDS
    fault: str | None = None
    """See `_answer`. None: answer well."""
    faults: list[str | None] = field(default_factory=list)
    """One per request to come; when it runs out, `fault` holds."""
    retry_after: str | None = None
    pause: float = 0.0
    """Seconds before each token."""
    models: tuple[str, ...] = ("someone-v1",)
    """What it says it serves."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Bodies that asked for an answer, on any route."""
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set when a caller left before its answer was complete."""
    port: int = 0
    at_once: int = 0
    most_at_once: int = 0
    """Most requests that were being answered at the same time."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(60)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stopping.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            method, path, headers, body = await _request(reader)
            self.paths.append(path)
            if method == "GET":
                await self._said(writer, path)
                return
            if path == "/chat_tokenize" and self.fault != "no template":
                await _respond(writer, 200, json.dumps(self._templated(json.loads(body))).encode())
                return
            self.requests.append(json.loads(body))
            self.headers.append(headers)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            fault = self.faults.pop(0) if self.faults else self.fault
            gone = asyncio.ensure_future(reader.read())
            answering = asyncio.ensure_future(self._answer(writer, path, json.loads(body), fault))
            done, _ = await asyncio.wait({gone, answering}, return_when=asyncio.FIRST_COMPLETED)
            if answering not in done:
                self.cancelled.set()
            for task in (gone, answering):
                task.cancel()
            await asyncio.gather(gone, answering, return_exceptions=True)
            self.at_once -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _said(self, writer: asyncio.StreamWriter, path: str) -> None:
        """What the engine says of itself, where it says anything."""
        if self.fault == "loading":
            await _respond(writer, 503, b'{"error": "unhealthy", "error_type": "healthcheck"}')
        elif path == "/info" and self.engine == "tgi":
            said = {"model_id": self.models[0], "version": "3.3.6", "max_total_tokens": 4096, "max_input_tokens": 4095}
            await _respond(writer, 200, json.dumps(said).encode())
        elif path == "/v1/models":
            data = [{"id": name, "object": "model", "max_model_len": 8192} for name in self.models]
            await _respond(writer, 200, json.dumps({"object": "list", "data": data}).encode())
        elif path == "/health":
            await _respond(writer, 200, b"")
        else:
            await _respond(writer, 404, b'{"detail": "Not Found"}')

    def _templated(self, body: dict[str, Any]) -> dict[str, Any]:
        turns = "".join(f"<|{turn['role']}|>{turn['content']}" for turn in body["messages"])
        return {"tokenize_response": [], "templated_text": f"{turns}<|assistant|>"}

    async def _answer(self, writer: asyncio.StreamWriter, path: str, body: dict[str, Any], fault: str | None) -> None:
        if fault in {"429", "503", "500", "422", "424"}:
            extra = {"Retry-After": self.retry_after} if self.retry_after else {}
            await _respond(writer, int(fault), self._error(f"fault {fault}", _TYPES.get(fault, "overloaded")), extra)
        elif fault == "no template":
            await _respond(writer, 404, self._error("fault no template", "template"))
        elif fault == "drop":
            writer.transport.abort()
        elif fault == "html":
            await _respond(writer, 200, b"<html>A router's login page</html>", {"Content-Type": "text/html"})
        elif fault == "silent":
            await asyncio.sleep(60)
        elif fault == "whole":
            await _respond(writer, 200, json.dumps(self._whole()).encode())
        else:
            events = self._generated(fault) if path == "/generate_stream" else self._events(body, fault)
            await self._stream(writer, events)

    async def _stream(self, writer: asyncio.StreamWriter, events: AsyncIterator[bytes | None]) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        async for event in events:
            if event is None:
                writer.transport.abort()
                return
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _events(self, body: dict[str, Any], fault: str | None) -> AsyncIterator[bytes | None]:
        if fault == "slow first token":
            await asyncio.sleep(60)
        if fault == "error first":
            yield self._data_error()
            return
        yield self._chunk({"role": "assistant", "content": ""})
        for number, word in enumerate(self.words):
            if number == 2:  # after two tokens
                if fault == "reset":
                    yield None
                    return
                if fault == "ends early":
                    return
                if fault == "error mid-stream":
                    yield self._data_error()
                    return
                if fault == "bad json":
                    yield b'data: {"choices": [{"delta": {"cont\n\n'
                    return
                if fault == "goes silent":
                    yield b": ping\n\n"
                    await asyncio.sleep(60)
            await asyncio.sleep(self.pause)
            yield self._chunk({"content": word})
        counted = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
        if self.engine == "transformers":  # usage in the last chunk, no [DONE]
            yield self._chunk({}, finish="stop", usage=counted)
        elif self.engine == "tgi":
            yield self._chunk({"content": ""}, finish="stop")
            if body.get("stream_options", {}).get("include_usage"):
                yield self._chunk(None, usage=counted)
            yield b"data: [DONE]\n\n"
        else:
            yield self._chunk({}, finish="stop")
            if body.get("stream_options", {}).get("include_usage"):
                yield self._chunk(None, usage=counted)
            yield b"data: [DONE]\n\n"

    async def _generated(self, fault: str | None) -> AsyncIterator[bytes | None]:
        """TGI's own stream: one item a token, the last with all of it, errors as items, no `[DONE]`."""
        if fault == "slow first token":
            await asyncio.sleep(60)
        if fault == "error first":
            yield self._data_error()
            return
        for number, word in enumerate(self.words, start=1):
            if number == 3 and fault is not None:  # after two tokens
                if fault == "reset":
                    yield None
                if fault == "error mid-stream":
                    yield self._data_error()
                if fault == "bad json":
                    yield b'data: {"index": 3, "token": {"te\n\n'
                if fault == "goes silent":
                    yield b": ping\n\n"
                    await asyncio.sleep(60)
                return
            await asyncio.sleep(self.pause)
            yield self._item(number, word)
        ending = {"finish_reason": "eos_token", "generated_tokens": len(self.words), "input_length": 11, "seed": None}
        yield self._item(len(self.words) + 1, "</s>", special=True, details=ending)

    def _item(self, index: int, text: str, *, special: bool = False, details: Any = None) -> bytes:
        whole = "".join(self.words) if details else None
        token = {"id": index, "text": text, "logprob": -0.5, "special": special}
        item = {"index": index, "token": token, "generated_text": whole, "details": details}
        return b"data:" + json.dumps(item).encode() + b"\n\n"

    def _chunk(self, delta: dict[str, str] | None, *, finish: str | None = None, usage: Any = None) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
        chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
        if usage is not None:
            chunk["usage"] = usage
        return b"data: " + json.dumps(chunk).encode() + b"\n\n"

    def _whole(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(self.words)}
        return {
            "id": "c1",
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15},
        }

    def _error(self, text: str, kind: str = "overloaded") -> bytes:
        if self.engine == "tgi":
            return json.dumps({"error": text, "error_type": kind}).encode()
        if self.engine == "transformers":
            return json.dumps({"detail": text}).encode()
        return json.dumps({"error": {"message": text, "type": "ServerError", "param": None, "code": 500}}).encode()

    def _data_error(self) -> bytes:
        if self.engine == "transformers":  # its message is not escaped
            return b'data: {"error": "it said "no" to that"}\n\n'
        return b"data: " + self._error("Request failed during generation", "generation") + b"\n\n"


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return method, path, headers, await reader.readexactly(int(headers.get("content-length", "0")))


async def _respond(writer: asyncio.StreamWriter, status: int, body: bytes, extra: dict[str, str] | None = None) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"} | (
        extra or {}
    )
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body)
    await writer.drain()
