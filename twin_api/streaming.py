"""Server-sent events: what every stream does (`EventStream`), and an answer in OpenAI's shape (`ChatStream`).

A stream owns what it holds (its place among the streams, the generation behind it) and gives it back exactly once,
whether the answer ended, failed, or nobody listens any more.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field
from time import time
from typing import Generic, TypeVar
from uuid import uuid4

import msgspec
from anyio import CancelScope

from twin_api.schemas import ChatChunk, ChunkChoice, CitationView, Delta, UsageView
from twin_core.writing.answer import Answer, Event, Piece

log = logging.getLogger("twin_api")

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "X-Accel-Buffering": "no",
    "Cache-Control": "no-store",
}
"""nginx would otherwise hold a stream back until it ends. The type is here because a handler's own, JSON, goes before
the media type of a stream."""

_DONE = b"data: [DONE]\n\n"
_STILL_HERE = b": the answer is being written\n\n"


E = TypeVar("E")


@dataclass(slots=True, kw_only=True)
class EventStream(ABC, Generic[E]):
    """One stream of events on its way to one caller; what its frames look like is for each kind of stream."""

    events: AsyncGenerator[E]
    heartbeat: float
    """Seconds of silence after which a comment frame is sent."""
    on_close: Callable[[], None]
    id: str
    _next: asyncio.Task[E | None] | None = None
    _closed: bool = False

    async def start(self) -> None:
        """Run up to the first event. What goes wrong until then is raised here, before any header is sent."""
        self._next = asyncio.ensure_future(anext(self.events, None))
        await asyncio.wait({self._next})
        self._next.result()

    async def frames(self) -> AsyncGenerator[bytes]:
        """The bytes of the stream. Errors are events: the headers are out."""
        try:
            for frame in self.opening():
                yield frame
            while True:
                if self._next is None:
                    self._next = asyncio.ensure_future(anext(self.events, None))
                done, _ = await asyncio.wait({self._next}, timeout=self.heartbeat)
                if not done:
                    yield _STILL_HERE
                    continue
                event, self._next = self._next.result(), None
                if event is None:
                    break
                for frame in self.frames_of(event):
                    yield frame
            for frame in self.closing():
                yield frame
        except Exception:
            log.exception("stream %s", self.id)
            for frame in self.broken():
                yield frame
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Cancel what still runs and give everything back. May be called any number of times, from any task."""
        if self._closed:
            return
        self._closed = True
        self.on_close()
        # The caller's departure cancels this task again and again: what ends the generation must run through.
        with CancelScope(shield=True):
            if self._next is not None and not self._next.done():
                self._next.cancel()
                await asyncio.wait({self._next})
            await self.events.aclose()

    def opening(self) -> Iterable[bytes]:
        """What is sent before the first event."""
        return ()

    @abstractmethod
    def frames_of(self, event: E) -> Iterable[bytes]:
        """What is sent for an event."""

    def closing(self) -> Iterable[bytes]:
        """What is sent after the last event."""
        return ()

    @abstractmethod
    def broken(self) -> Iterable[bytes]:
        """What is sent when something went wrong on our side."""


@dataclass(slots=True, kw_only=True)
class ChatStream(EventStream[Event]):
    """One answer in OpenAI's shape: chunks, a last one with the citations, `[DONE]`."""

    model: str
    include_usage: bool
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time()))

    def opening(self) -> Iterable[bytes]:
        """The role, as OpenAI's clients expect it first."""
        yield self._chunk(Delta(role="assistant", content=""))

    def frames_of(self, event: Event) -> Iterable[bytes]:
        """Text as it comes; at the end citations, and what the answer cost."""
        if isinstance(event, Piece):
            yield self._chunk(Delta(content=event.text))
        elif isinstance(event, Answer):
            yield from self._ending(event)

    def closing(self) -> Iterable[bytes]:
        """OpenAI's last word."""
        yield _DONE

    def broken(self) -> Iterable[bytes]:
        """An error in OpenAI's shape."""
        yield _error("Something went wrong on our side; the answer is not complete.", self.id)
        yield _DONE

    def _ending(self, answer: Answer) -> list[bytes]:
        usage = usage_view(answer)
        last = ChatChunk(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=[ChunkChoice(delta=Delta(), finish_reason=answer.finish_reason)],
            citations=[CitationView.of(citation) for citation in answer.citations],
            outcome=answer.outcome,
            trace_id=answer.trace_id,
            cached_from=answer.cached_from,
            retrieval=answer.retrieval,
            notices=list(answer.notices),
        )
        frames = [_frame(last)]
        if answer.outcome == "failed":
            frames.append(_error("The language model broke off in the middle of its answer. Ask again.", self.id))
        if self.include_usage:
            counted = ChatChunk(id=self.id, created=self.created, model=self.model, choices=[], usage=usage)
            frames.append(_frame(counted))
        return frames

    def _chunk(self, delta: Delta) -> bytes:
        return _frame(ChatChunk(id=self.id, created=self.created, model=self.model, choices=[ChunkChoice(delta=delta)]))


def usage_view(answer: Answer) -> UsageView | None:
    """The usage in OpenAI's shape; None when no engine counted."""
    if answer.usage is None:
        return None
    prompt, completion = answer.usage.prompt_tokens, answer.usage.completion_tokens
    return UsageView(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def _frame(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _error(message: str, stream: str) -> bytes:
    return _frame({"error": {"message": message, "type": "server_error", "code": 500, "param": None, "id": stream}})
