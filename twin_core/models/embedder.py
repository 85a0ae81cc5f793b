"""Turning texts into vectors: the embedding model, loaded once per process, batched by token budget.

Which model and what its files say is in `embedding_model.py`; counting tokens without torch in `tokenizer.py`;
what is embedded, and where vectors are kept, in `features`.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from twin_core.errors import ServiceUnavailable, ValidationFailed
from twin_core.models.embedding_model import EmbeddingModel, embedding_model
from twin_core.models.together import Together
from twin_core.models.tokenizer import TokenCounter, counter_of
from twin_core.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

Dtype = Literal["auto", "float32", "bfloat16"]
# Matrix units that compute in bfloat16. Elsewhere it is emulated, and slower than float32.
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


class Embedder:
    """One embedding model. Torch is imported and the weights are read at the first `encode`, not before."""

    def __init__(self, model: EmbeddingModel, counter: TokenCounter, *, dtype: Dtype, batch_tokens: int) -> None:
        self.model_id = model.id
        self.dimension = model.dimension
        self.window = model.window
        self._model = model
        self._counter = counter
        self._wanted = dtype
        self._batch_tokens = batch_tokens
        self._loaded: Any = None
        self._lock = Lock()
        self._queries: Together[str, NDArray[np.float32]] = Together(
            lambda texts: list(self._encode(texts, model.query_prompt))
        )

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens included. Loads no torch."""
        return self._counter.count(texts)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector per passage: float32, shape (len(texts), dimension), length 1. Order is kept.

        Texts are sorted by length and batched within the token budget, so that little is padded. A text longer than
        the window is cut there. Raises ValidationFailed when a vector is not finite.
        """
        return self._encode(texts, self._model.document_prompt)

    def encode_query(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same for queries, in front of which some models want a prompt; threads that ask at once share a batch.

        In bfloat16 a vector then differs from the one of its text alone in the third digit, as padding rounds it.
        """
        return np.asarray(self._queries(texts), dtype=np.float32).reshape(len(texts), self.dimension)

    def _encode(self, texts: Sequence[str], prompt: str) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return vectors
        network = self._network()
        import torch

        whole = [prompt + text for text in texts]
        lengths = self._counter.count(whole if not self._model.document_prompt else list(texts))
        for batch in batches(lengths, window=self.window, budget=self._batch_tokens):
            with torch.inference_mode():
                features = network.preprocess([whole[index] for index in batch])
                features = {
                    key: value.to(network.device) if hasattr(value, "to") else value for key, value in features.items()
                }
                for position, module in enumerate(network):
                    features = module(features)
                    if position == 0:  # what follows sums over tokens: bfloat16 would lose the third digit
                        features["token_embeddings"] = features["token_embeddings"].float()
                found = features["sentence_embedding"].float().cpu().numpy()
            vectors[batch] = found
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or (norms == 0).any():
            raise ValidationFailed(f"The embedding model {self.model_id} gave vectors that are not finite or zero.")
        normalised: NDArray[np.float32] = vectors / norms
        return normalised

    def _network(self) -> Any:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load_network(self._model, self._wanted)
            return self._loaded


def embedder(settings: Settings) -> Embedder:
    """The embedder of these settings, made once per process."""
    return embedder_of(embedding_model(settings), settings)


def embedder_of(model: EmbeddingModel, settings: Settings) -> Embedder:
    """The embedder of another model, run as these settings say."""
    return _make(model, settings.embedding_dtype, settings.embedding_batch_tokens)


@lru_cache(maxsize=4)
def _make(model: EmbeddingModel, dtype: Dtype, batch_tokens: int) -> Embedder:
    return Embedder(model, counter_of(model), dtype=dtype, batch_tokens=batch_tokens)


def batches(lengths: Sequence[int], *, window: int, budget: int) -> Iterator[list[int]]:
    """Indices into `lengths`, longest first, in batches whose padded size stays within `budget` tokens.

    A batch holds at least one text, whatever the budget.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    at = 0
    while at < len(order):
        longest = max(min(lengths[order[at]], window), 1)
        size = max(budget // longest, 1)
        yield order[at : at + size]
        at += size


@lru_cache(maxsize=1)
def processor_has_bfloat16() -> bool:
    """Whether this processor multiplies matrices in bfloat16 by itself (avx512_bf16, amx_bf16, ARM bf16)."""
    if platform.system() != "Linux":
        return False
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return bool(_BFLOAT16_FLAGS & set(flags.split()))


def _load_network(model: EmbeddingModel, wanted: Dtype) -> Any:
    try:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise ServiceUnavailable(
            'Embedding needs the packages of the extra "models": `pip install "llm-twin[models]"`.'
        ) from error

    disable_progress_bar()  # a bar over the tensors of a model that is there in a second
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = SentenceTransformer(str(model.folder), device=device, local_files_only=True)
    network.max_seq_length = model.window
    network.eval()
    if wanted == "bfloat16" or (
        wanted == "auto" and (torch.cuda.is_bf16_supported() if device == "cuda" else processor_has_bfloat16())
    ):
        network[0].to(torch.bfloat16)
    return network
