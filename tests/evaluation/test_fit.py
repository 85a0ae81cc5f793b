"""Bits per byte on tiny models made on the spot, against what arithmetic says they must be."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

from twin_core.errors import InvalidInput
from twin_core.evaluation.fit import bits_per_byte, fit, windows

TEXT = "The tide comes in twice a day, and nobody has to be told. Boats rise with it, whoever owns them. " * 3


class Letters:
    """A tokenizer of bytes, which needs no file. Token 256 begins a text."""

    bos_token_id = 256
    eos_token_id = None

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        return {"input_ids": list(text.encode())}


class Pairs(Letters):
    """Two bytes a token, whose number is that of the first: as a larger vocabulary, half as many tokens."""

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": list(text.encode())[::2]}


def tiny(*, window: int = 64, seed: int = 0) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=257,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=window,
        )
    )


def test_a_model_that_knows_nothing_needs_the_logarithm_of_its_vocabulary_per_token() -> None:
    import torch

    model = tiny()
    with torch.no_grad():
        model.lm_head.weight.zero_()
    (byte,) = fit(model, Letters(), [TEXT])
    assert byte.bits_per_byte == pytest.approx(math.log2(257), rel=1e-6)
    assert (byte.bytes, byte.tokens) == (len(TEXT), len(TEXT))
    # Half the tokens for the same bytes is half the bits: comparable across tokenizers.
    (pair,) = fit(model, Pairs(), [TEXT])
    assert pair.bits_per_byte == pytest.approx(math.log2(257) / 2, rel=0.01)


def test_a_text_within_the_window_costs_what_the_library_itself_computes() -> None:
    import torch

    model = tiny(window=512)
    tokens = torch.tensor([[256, *TEXT.encode()]])
    with torch.no_grad():
        expected = float(model(tokens, labels=tokens).loss) * len(TEXT) / math.log(2)
    assert fit(model, Letters(), [TEXT])[0].bits == pytest.approx(expected, rel=1e-5)


def test_windows_count_every_token_once_with_context_before_it() -> None:
    for length, before, window, stride in (
        (300, 1, 64, 32),
        (300, 20, 64, 1),
        (64, 1, 64, 63),
        (65, 1, 64, 63),
        (2, 1, 64, 32),
    ):
        found = list(windows(length, before, window, stride))
        assert found[0][2] == before
        assert all(first[1] == second[2] for first, second in pairwise(found))
        assert found[-1][1] == length
        assert all(start < counted < end and end - start <= window for start, end, counted in found)
        assert all(counted - start >= window - stride for start, _, counted in found[1:])


def test_a_shorter_stride_gives_every_token_more_context_and_a_window_costs_little() -> None:
    model = tiny(window=512)
    whole = fit(model, Letters(), [TEXT])[0].bits
    strided = fit(model, Letters(), [TEXT], window=64, stride=16)[0].bits
    assert strided == pytest.approx(whole, rel=0.02)
    assert strided != whole


def test_a_prompt_is_seen_and_not_counted() -> None:
    model = tiny(window=512)
    alone, told = fit(model, Letters(), [TEXT])[0], fit(model, Letters(), [TEXT], prompts=["Write about tides."])[0]
    assert (told.bytes, told.tokens) == (alone.bytes, alone.tokens)
    assert told.bits != alone.bits


def test_texts_add_up_by_bytes_and_not_by_mean() -> None:
    model = tiny()
    short, long = fit(model, Letters(), ["Ebb.", TEXT])
    assert bits_per_byte([short, long]) == pytest.approx((short.bits + long.bits) / (short.bytes + long.bytes))


def test_training_on_the_author_lowers_the_bits_of_their_other_text_and_shuffling_raises_them() -> None:
    import torch

    model = tiny()
    seen = "The ebb goes out twice a day, and nobody has to be asked. Ships fall with it, whoever sails them. "
    tokens = torch.tensor([[256, *(seen * 2).encode()][:64]])
    before = fit(model, Letters(), [TEXT])[0]
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        adam.zero_grad()
        model(tokens, labels=tokens).loss.backward()
        adam.step()
    after = fit(model, Letters(), [TEXT])[0]
    shuffled = fit(model, Letters(), [" ".join(sorted(TEXT.split()))])[0]
    assert after.bits_per_byte < before.bits_per_byte
    assert shuffled.bits_per_byte > after.bits_per_byte
    assert model.training  # as it was


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InvalidInput, match="empty text"):
        fit(tiny(), Letters(), [""])
    with pytest.raises(InvalidInput, match="between 1 and the window"):
        fit(tiny(), Letters(), [TEXT], stride=64)
    with pytest.raises(InvalidInput, match="as many prompts"):
        fit(tiny(), Letters(), [TEXT], prompts=[])
    with pytest.raises(InvalidInput, match="at least one"):
        bits_per_byte([])
