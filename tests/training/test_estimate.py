"""The dry run: parameters are counted exactly, memory and speed lie near what others measured."""

from __future__ import annotations

import pytest

from twin_core.errors import InvalidInput
from twin_core.training.config import TrainingConfig, load_config, profiles
from twin_core.training.estimate import DEVICES, GIB, estimate

SIZES = [name for name in profiles() if name != "tiny"]
RTX_4090 = next(device for device in DEVICES if device.name == "RTX 4090")


@pytest.mark.parametrize("name", SIZES)
def test_parameters_are_those_of_the_model_itself(name: str):
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

    shape, config = load_config(name).shape, load_config(name)
    kind = Qwen2Config if shape.attention_bias else LlamaConfig
    described = kind(
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        intermediate_size=shape.inner,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(described)
        alone = model.num_parameters()
        adapted = peft.get_peft_model(
            model, peft.LoraConfig(r=config.rank, target_modules="all-linear", task_type="CAUSAL_LM")
        )
    trainable, everything = adapted.get_nb_trainable_parameters()
    found = estimate(config)
    assert (found.parameters, found.trainable) == (everything, trainable)
    assert estimate(config.model_copy(update={"peft": "none"})).parameters == alone
    assert float(name.removesuffix("b")) * 0.9 < alone / 1e9 < float(name.removesuffix("b")) * 1.1


@pytest.mark.parametrize(("peft", "gib", "tokens_per_second"), [("lora", 16.2, 3083), ("qlora", 7.4, 2413)])
def test_an_8b_on_a_4090_is_near_what_torchtune_publishes(peft: str, gib: float, tokens_per_second: float):
    """Llama-3.1-8B on one 4090, batch 2, 2,048 tokens (torchtune's README). Speed is calibrated on it, memory is not."""
    config = load_config("8b", {"peft": peft, "batch": 2, "max_length": 2048, "rank": 8})
    found = estimate(config)
    assert found.bytes / GIB == pytest.approx(gib, rel=1 / 3)
    assert found.tokens_per_second(RTX_4090) == pytest.approx(tokens_per_second, rel=1 / 3)


@pytest.mark.parametrize(
    ("size", "peft", "gib", "tokens_per_second"),
    [("8b", "lora", 18.5, 7332), ("8b", "qlora", 8.0, 7568), ("0.5b", "lora", 3.5, 49972), ("0.5b", "qlora", 2.7, 52191)],
)  # fmt: skip
def test_large_and_small_models_on_an_h200_are_near_what_was_measured(
    size: str, peft: str, gib: float, tokens_per_second: float
):
    """`benchmarks/gpu.py` on one H200, which computes as an H100 does. Speed is calibrated on it, memory is not."""
    h100 = next(device for device in DEVICES if device.name.startswith("H100"))
    found = estimate(load_config(size, {"peft": peft, "accumulate": 2}))
    assert found.bytes / GIB == pytest.approx(gib, rel=1 / 3)
    assert found.tokens_per_second(h100) == pytest.approx(tokens_per_second, rel=1 / 3)


def test_what_does_not_fit_says_so_and_four_bits_help():
    config = load_config("70b")
    assert not estimate(config).fits(RTX_4090)
    largest = max(DEVICES, key=lambda device: device.memory)
    assert estimate(config).fits(largest)
    assert not estimate(config.model_copy(update={"peft": "lora"})).fits(largest)


def test_without_a_size_there_is_no_estimate():
    with pytest.raises(InvalidInput, match="name a model folder"):
        estimate(TrainingConfig())
