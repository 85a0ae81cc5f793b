"""Counting and placing tokens with the embedding model's own tokenizer, without torch.

Chunking needs nothing else of the model. What to cut where is decided in `features/packing.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from twin_core.models.embedding_model import EmbeddingModel, embedding_model
from twin_core.settings import Settings


class TokenCounter:
    """The tokenizer of one embedding model. Threads share it freely."""

    def __init__(self, model: EmbeddingModel) -> None:
        from tokenizers import Tokenizer

        self.model = model
        self._tokenizer: Any = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
        # As shipped, many tokenizers cut at the window and pad to it: every text would seem to fit exactly.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.specials: int = len(self._tokenizer.encode("").ids)
        """Special tokens added to every input."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as the model reads it: special tokens and the model's own prompt included."""
        prompt = self.model.document_prompt
        whole = [prompt + text for text in texts] if prompt else list(texts)
        return [len(encoding.ids) for encoding in self._tokenizer.encode_batch_fast(whole)]

    def starts(self, text: str) -> list[int]:
        """Where each token of the text starts, in characters, ascending. Special tokens are left out."""
        found = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return [start for start, end in found if end > start]


def token_counter(settings: Settings) -> TokenCounter:
    """The counter for the settings' embedding model, loaded once per process."""
    return counter_of(embedding_model(settings))


@lru_cache(maxsize=4)
def counter_of(model: EmbeddingModel) -> TokenCounter:
    """The counter of a model that is known already."""
    return TokenCounter(model)
