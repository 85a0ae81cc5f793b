"""A TCP proxy that stands before the language model and spoils what passes through it, as networks and servers do."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal[
    "refused", "slow first token", "reset before", "reset mid-stream", "429", "500", "malformed from the start",
    "malformed mid-stream", "endless stream", "endless document",
]  # fmt: skip

_TOO_MANY = b'{"error": "Model is overloaded", "error_type": "overloaded"}'
_BROKEN = b'{"error": "Request failed during generation", "error_type": "generation"}'
_MARK = b'"content": " is the"'
"""In the second token: from here on a stream is spoilt."""


@dataclass
class FaultProxy:
    """Passes on to `target`, unless `break_with` said otherwise."""

    target: int
    fault: Fault | None = None
    connections: int = 0
    """How often the API asked."""
    open: set[int] = field(default_factory=set)
    """Connections that are still held."""
    left: threading.Event = field(default_factory=threading.Event)
    """Set when the API closed a connection that still had something to say."""
    port: int = 0

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(60)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)

    def break_with(self, fault: Fault | None) -> None:
        """From the next connection on. `refused` stops listening; anything else listens again, at the same port."""
        self.fault = fault
        asyncio.run_coroutine_threadsafe(self._listen(wanted=fault != "refused"), self._loop).result(10)

    async def _listen(self, *, wanted: bool) -> None:
        if wanted and self._server is None:
            self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
        elif not wanted and self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._server: asyncio.Server | None = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        ready.set()
        await self._stopping.wait()
        await self._listen(wanted=False)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        name, fault = self.connections, self.fault
        self.open.add(name)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._spoilt(reader, writer, fault)
        finally:
            self.open.discard(name)
            writer.close()

    async def _spoilt(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None) -> None:
        request = await _request(reader)
        if fault == "reset before":
            _reset(writer)
        elif fault == "429":
            writer.write(_response(429, _TOO_MANY, b"Retry-After: 0\r\n"))
        elif fault == "500":
            writer.write(_response(500, _BROKEN))
        elif fault == "endless document":
            await self._forever(reader, writer, b"application/json", b'{"choices": [' + b" " * 65_536)
        elif fault == "endless stream":
            chunk = {"choices": [{"index": 0, "delta": {"content": "and so on "}, "finish_reason": None}]}
            await self._forever(reader, writer, b"text/event-stream", b"data: " + json.dumps(chunk).encode() + b"\n\n")
        elif fault == "slow first token":
            await self._until_left(reader)
        elif fault == "malformed from the start":
            writer.write(_response(200, b'data: {"choices": [{"delta": {"cont\n\n', kind=b"text/event-stream"))
        else:
            await self._passed_on(request, writer, fault)
        with suppress(ConnectionError):
            await writer.drain()

    async def _forever(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: bytes, piece: bytes
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        leaving = asyncio.ensure_future(self._until_left(reader))
        try:
            while not leaving.done():
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
                await asyncio.sleep(0)
        finally:  # only the other side ends this
            leaving.cancel()
            self.left.set()

    async def _until_left(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            await reader.read()
        self.left.set()

    async def _passed_on(self, request: bytes, writer: asyncio.StreamWriter, fault: Fault | None) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", self.target)
        downstream.write(request)
        try:
            while data := await upstream.read(4_096):
                before, mark, _ = data.partition(_MARK)
                if fault is not None and mark:
                    await self._broken_off(writer, before + mark, fault)
                    return
                writer.write(data)
                await writer.drain()
        finally:
            downstream.close()

    async def _broken_off(self, writer: asyncio.StreamWriter, data: bytes, fault: Fault) -> None:
        """The second token arrives, and then."""
        if fault == "reset mid-stream":
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0.1)
            _reset(writer)
        else:
            writer.write(data.replace(b'"content": " is the"', b'"content": " is t\n\ndata: {"'))
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, as a process that is killed with unread data does."""
    given = writer.get_extra_info("socket")
    given.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    return head + await reader.readexactly(length)


def _response(status: int, body: bytes, extra: bytes = b"", *, kind: bytes = b"application/json") -> bytes:
    return (
        b"HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n" % (status, kind, len(body))
        + extra
        + b"\r\n"
        + body
    )
