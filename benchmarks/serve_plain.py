"""What `serve.py` measures beside the product: an engine whose time is known, and the same two routes written plainly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import httpx2
import psycopg
from fastapi import Body, FastAPI
from fastapi.responses import StreamingResponse
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg_pool import ConnectionPool

from twin_core.models.embedder import embedder
from twin_core.runtime.urls import url_for
from twin_core.settings import Settings

FIRST_TOKEN_SECONDS, TOKEN_SECONDS, TOKENS = 0.030, 0.005, 20


def engine_app() -> FastAPI:
    """A model that takes the time it says and no more."""
    app = FastAPI()

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    @app.post("/v1/chat/completions")
    async def complete() -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            for number in range(TOKENS):
                await asyncio.sleep(TOKEN_SECONDS if number else FIRST_TOKEN_SECONDS)
                yield event({"content": "word "}, None)
            yield event({}, "stop") + "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


def event(delta: dict[str, str], reason: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return (
        f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', 'model': 'word', 'choices': [choice]})}\n\n"
    )


def plain_app(author: str) -> FastAPI:
    """The same routes as one would write them first: embed, ask Postgres for the nearest, put it into a prompt."""
    settings = Settings()
    network = embedder(settings.model_copy(update={"embedding_dtype": "float32"}))._network()  # noqa: SLF001 - the same weights, called plainly
    pool: ConnectionPool[psycopg.Connection] = ConnectionPool(
        url_for(settings).replace("postgresql+psycopg", "postgresql"), configure=register_vector, max_size=16, open=True
    )
    app = FastAPI()

    def nearest(query: str, k: int) -> list[dict[str, str]]:
        vector = network.encode([query], normalize_embeddings=True, show_progress_bar=False)[0]
        with pool.connection() as conn:
            rows = conn.execute(
                "SELECT c.id, c.text FROM features.embeddings e JOIN features.chunks c ON c.id = e.chunk_id "
                "WHERE e.author_id = %s ORDER BY e.embedding::halfvec(384) <=> %s LIMIT %s",
                (author, HalfVector(vector), k),
            ).fetchall()
        return [{"id": str(row[0]), "text": str(row[1])} for row in rows]

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    @app.post("/v1/search")
    def find(query: Annotated[str, Body()], k: Annotated[int, Body()] = 10) -> list[dict[str, str]]:
        return nearest(query, k)

    @app.post("/v1/chat/completions")
    def complete(
        messages: Annotated[list[dict[str, str]], Body()], max_tokens: Annotated[int, Body()] = 64
    ) -> StreamingResponse:
        question = messages[-1]["content"]
        passages = "\n\n".join(one["text"] for one in nearest(question, settings.context_passages))
        asked = [{"role": "user", "content": f"Answer from these passages.\n\n{passages}\n\nQuestion: {question}"}]

        def events() -> Iterator[bytes]:
            body = {"model": "word", "messages": asked, "stream": True, "max_tokens": max_tokens}
            with (
                httpx2.Client(trust_env=False, timeout=60) as client,
                client.stream("POST", f"{settings.llm_base_url}/chat/completions", json=body) as response,
            ):
                yield from response.iter_bytes()

        return StreamingResponse(events(), media_type="text/event-stream")

    return app
