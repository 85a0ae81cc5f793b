"""An answer as server-sent events in OpenAI's shape: chunks, a last one with the citations, `[DONE]`.

Owns what a stream holds (its place among the streams, the generation behind it) and gives it back exactly once,
whether the answer ended, failed, or nobody listens any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from time import time
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


@dataclass(slots=True, kw_only=True)
class ChatStream:
    """One answer on its way to one caller."""

    events: AsyncGenerator[Event]
    model: str
    heartbeat: float
    """Seconds of silence after which a comment frame is sent."""
    include_usage: bool
    on_close: Callable[[], None]
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time()))
    _next: asyncio.Task[Event | None] | None = None
    _closed: bool = False

    async def start(self) -> None:
        """Run up to the first event. What goes wrong until then is raised here, before any header is sent."""
        self._next = asyncio.ensure_future(anext(self.events, None))
        await asyncio.wait({self._next})
        self._next.result()

    async def frames(self) -> AsyncGenerator[bytes]:
        """The bytes of the stream. Errors are events: the headers are out."""
        try:
            yield self._chunk(Delta(role="assistant", content=""))
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
                if isinstance(event, Piece):
                    yield self._chunk(Delta(content=event.text))
                elif isinstance(event, Answer):
                    for frame in self._ending(event):
                        yield frame
            yield _DONE
        except Exception:
            log.exception("stream %s", self.id)
            yield _error("Something went wrong on our side; the answer is not complete.", self.id)
            yield _DONE
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
