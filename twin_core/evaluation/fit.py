"""How well a model expects what the author wrote: bits per byte of held-out text. Lower is better.

Per byte and not per token, so that models with different tokenizers can be compared: every token of the text is counted, the
first one too (after the model's own start token or the prompt), and the bytes are those of the text, not of its tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from twin_core.errors import InvalidInput
from twin_core.writing.without_server import DEFAULT_WINDOW


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model needs to write down one text."""

    bits: float
    bytes: int
    tokens: int

    @property
    def bits_per_byte(self) -> float:
        return self.bits / self.bytes


def fit(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    prompts: Sequence[str] | None = None,
    window: int | None = None,
    stride: int | None = None,
) -> list[Fit]:
    """One Fit per text under a causal language model of transformers, in the order of the texts.

    `prompts` stand before their text, already in the model's chat template, and are not counted. A text longer than
    `window` is read in windows that move on by `stride` (default: half a window), so that every counted token has at least
    `window - stride` tokens before it; each token is counted once. A prompt longer than half a window keeps its end.
    Raises InvalidInput for an empty text, or a stride that leaves tokens out.
    """
    if prompts is not None and len(prompts) != len(texts):
        raise InvalidInput(f"{len(texts)} texts need as many prompts; here are {len(prompts)}.")
    longest = getattr(model.config, "max_position_embeddings", None) or DEFAULT_WINDOW
    window = min(window or DEFAULT_WINDOW, longest)
    stride = stride or window // 2
    if not 0 < stride < window:
        raise InvalidInput(f"A stride must lie between 1 and the window less one ({window - 1}); here is {stride}.")
    was_training = model.training
    model.eval()
    try:
        return [
            _fit_of(model, tokenizer, text, prompts[index] if prompts else "", window=window, stride=stride)
            for index, text in enumerate(texts)
        ]
    finally:
        model.train(was_training)


def bits_per_byte(fits: Sequence[Fit]) -> float:
    """Of several texts together: all bits over all bytes. Raises InvalidInput when there are none."""
    if not fits:
        raise InvalidInput("Bits per byte need at least one held-out text.")
    return sum(one.bits for one in fits) / sum(one.bytes for one in fits)


def windows(length: int, before: int, window: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """(start, end, first counted) over `length` tokens of which the first `before`, less than a window, are not counted.

    Every token from `before` on is counted exactly once, and only with another token in front of it in its window.
    """
    start, counted = 0, before
    while counted < length:
        end = min(start + window, length)
        yield start, end, counted
        counted = end
        start = end - (window - stride)


def _fit_of(model: Any, tokenizer: Any, text: str, prompt: str, *, window: int, stride: int) -> Fit:
    import torch

    if not text:
        raise InvalidInput("Bits per byte of an empty text are not defined: leave it out.")
    # Prompt and text are tokenised apart, so that no token holds the end of one and the beginning of the other.
    own = tokenizer(text, add_special_tokens=False)["input_ids"]
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []
    if not before:
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if start is None:
            raise InvalidInput(
                "The tokenizer has neither a start nor an end token, so the first token has nothing before it."
            )
        before = [start]
    before = before[-max(window // 2, 1) :]
    tokens = torch.tensor([*before, *own], device=model.device)
    nats = 0.0
    with torch.inference_mode():
        for start, end, counted in windows(len(tokens), len(before), window, stride):
            logits = model(tokens[None, start:end]).logits[0, counted - start - 1 : -1]
            nats += float(torch.nn.functional.cross_entropy(logits.float(), tokens[counted:end], reduction="sum"))
    return Fit(bits=nats / math.log(2), bytes=len(text.encode()), tokens=len(own))
