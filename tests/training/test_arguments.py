"""What the configuration means for the libraries that train, where it depends on the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from twin_core.models import bases
from twin_core.training import arguments
from twin_core.training.config import load_config


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Says whether there is a GPU, and FlashAttention."""
    torch = pytest.importorskip("torch")

    def said(*, gpu: bool, flash: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: gpu)
        monkeypatch.setattr("transformers.utils.is_flash_attn_2_available", lambda: flash)

    return said


@pytest.mark.parametrize(
    ("gpu", "flash", "packing", "packed", "attention"),
    [
        (True, True, "auto", True, "flash_attention_2"),
        (True, False, "auto", False, None),
        (False, True, "auto", False, None),
        (True, True, False, False, None),
        (True, False, True, True, None),
    ],
)
def test_rows_that_are_packed_are_read_with_flash_attention_where_it_is_there(
    machine, gpu, flash, packing, packed, attention
):
    machine(gpu=gpu, flash=flash)
    config = load_config("8b", {"packing": packing})
    assert (arguments.packs(config), arguments.attention(config)) == (packed, attention)


def test_a_base_is_loaded_with_the_attention_that_is_named(tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    small = transformers.LlamaConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=8
    )
    transformers.LlamaForCausalLM(small).save_pretrained(tmp_path)
    own = bases.load_model(str(tmp_path)).config
    named = bases.load_model(str(tmp_path), attention="eager").config
    assert (own._attn_implementation, named._attn_implementation) == ("sdpa", "eager")
