"""A model that answers with an adapter: the same answers, and no layers of the adapter's own where they can be saved."""

from __future__ import annotations

from typing import Any

import pytest

from twin_core.models import bases


@pytest.fixture
def adapted() -> Any:
    """A Llama of random weights with an adapter that changes what it says."""
    torch, peft, transformers = (pytest.importorskip(name) for name in ("torch", "peft", "transformers"))
    torch.manual_seed(0)
    shape = transformers.LlamaConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=64
    )
    lora = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    return peft.get_peft_model(transformers.LlamaForCausalLM(shape), lora).eval()


def test_in_full_precision_the_adapter_goes_into_the_weights_and_the_scores_stay(adapted: Any) -> None:
    import torch

    tokens = torch.arange(20)[None]
    with torch.inference_mode():
        with adapted.disable_adapter():
            bare = adapted(tokens).logits
        before = adapted(tokens).logits
        lighter = bases.light(adapted)
        after = lighter(tokens).logits
    assert not torch.allclose(bare, before, atol=1e-3)
    assert torch.allclose(before, after, atol=1e-5)
    assert not [name for name, _ in lighter.named_modules() if "lora" in name]


def test_where_weights_would_be_rounded_the_adapter_stays_beside_them(adapted: Any) -> None:
    import torch

    half = adapted.to(torch.bfloat16)
    assert bases.light(half) is half
    assert [name for name, _ in half.named_modules() if "lora" in name]
