"""`/v1/embeddings`: texts to vectors, in OpenAI's shape, by the model that the twin searches with.

The vectors are those of passages; a query is embedded by the search itself. What OpenAI's clients may send and this cannot
do is refused with the reason, never ignored: a vector of another size would look like an answer.
"""

from __future__ import annotations

import asyncio
import struct
from base64 import b64encode
from typing import Annotated, Literal

from litestar import Controller, post
from litestar.exceptions import ValidationException
from litestar.openapi.spec import Example
from litestar.params import Body
from msgspec import Meta, Struct

from twin_api.auth import requires
from twin_api.idempotency import REPEATABLE
from twin_api.schemas import ERRORS, NOT_FOUND
from twin_api.services import Services
from twin_api.tokens import check_tokens, spend_tokens
from twin_core.errors import NotFound
from twin_core.models.embedder import Embedder, embedder
from twin_core.store.keys import KeyHolder

TEXTS = 128
"""In one request."""
CHARACTERS = 20_000
"""Of one text; of it the model reads its window."""
_EXAMPLES = [
    Example(summary="One text", value={"model": "all-MiniLM-L6-v2", "input": "How do I restore a backup?"}),
    Example(
        summary="Several, packed",
        value={"model": "all-MiniLM-L6-v2", "input": ["one", "two"], "encoding_format": "base64"},
    ),
]


class EmbeddingRequest(Struct, kw_only=True):
    """OpenAI's request."""

    model: Annotated[str, Meta(max_length=200, description="See GET /v1/models; the name without its hash will do.")]
    input: Annotated[
        str | list[str | int | list[int]],
        Meta(description=f"A text, or up to {TEXTS}. Token ids are refused: they are of another model's alphabet."),
    ]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: (
        Annotated[int, Meta(ge=1, description="Only the model's own size: its vectors cannot be cut.")] | None
    ) = None
    user: Annotated[str, Meta(max_length=1_000, description="Accepted, without effect.")] | None = None


class EmbeddingView(Struct, kw_only=True):
    """One vector, of length 1."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: Annotated[list[float] | str, Meta(description="base64: little-endian 32-bit floats.")]


class EmbeddingUsage(Struct, kw_only=True):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingResponse(Struct, kw_only=True):
    """OpenAI's response."""

    object: Literal["list"] = "list"
    model: str
    data: list[EmbeddingView]
    usage: EmbeddingUsage


class EmbeddingsController(Controller):
    """Vectors of texts."""

    path = "/v1/embeddings"
    tags = ("search",)
    guards = (requires("read"),)

    @post("/", status_code=200, opt={REPEATABLE: True}, summary="Embed texts", responses=ERRORS | NOT_FOUND)
    async def embed(
        self, data: Annotated[EmbeddingRequest, Body(examples=_EXAMPLES)], holder: KeyHolder, services: Services
    ) -> EmbeddingResponse:
        """A vector per text, in their order. A text longer than the model's window is read up to there."""
        await services.embedder_ready()
        model = embedder(services.settings)
        _check_model(data, model)
        texts = _texts(data)
        await check_tokens(services, holder)
        vectors, tokens = await asyncio.to_thread(_vectors, model, texts)
        await spend_tokens(services, holder, tokens)
        packed = data.encoding_format == "base64"
        return EmbeddingResponse(
            model=model.model_id,
            data=[EmbeddingView(index=at, embedding=_packed(one) if packed else one) for at, one in enumerate(vectors)],
            usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        )


def _check_model(data: EmbeddingRequest, model: Embedder) -> None:
    if data.model not in {model.model_id, model.model_id.rpartition("-")[0]}:
        raise NotFound(f"There is no embedding model `{data.model[:80]}` here. There is `{model.model_id}`.")
    if data.dimensions not in {None, model.dimension}:
        raise ValidationException(
            f"{model.model_id} has vectors of {model.dimension} numbers, and they mean nothing when they are cut. "
            f"Leave `dimensions` out."
        )


def _texts(data: EmbeddingRequest) -> list[str]:
    given = [data.input] if isinstance(data.input, str) else data.input
    texts = [one for one in given if isinstance(one, str)]
    if len(texts) != len(given):
        raise ValidationException("`input` is a text or a list of texts. Token ids are of another model's alphabet.")
    if not 1 <= len(texts) <= TEXTS:
        raise ValidationException(f"`input` has 1 to {TEXTS} texts. Send more in further requests.")
    if any(not text.strip() for text in texts):
        raise ValidationException("A text of `input` is empty.")
    if any(len(text) > CHARACTERS for text in texts):
        raise ValidationException(f"A text of `input` is longer than {CHARACTERS:,} characters. Cut it into passages.")
    return texts


def _vectors(model: Embedder, texts: list[str]) -> tuple[list[list[float]], int]:
    tokens = sum(min(count, model.window) for count in model.count(texts))
    return model.encode(texts).tolist(), tokens


def _packed(vector: list[float]) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
