"""What a training will need before anything is downloaded: parameters, trainable share, memory, time.

Parameters are counted exactly from the model's shape (a test compares them with the models themselves). Memory and time are
estimates by stated rules, held against a published pair of runs; expect them within a third, not closer.
"""

from __future__ import annotations

from dataclasses import dataclass

from twin_core.errors import InvalidInput
from twin_core.training.config import Shape, TrainingConfig

GIB = 2**30
_FOUR_BIT = (4 + 0.127) / 8
"""Bytes per weight in NF4 with double quantisation: 4 bits and 0.127 bits of constants (Dettmers et al. 2023)."""
_BF16, _FP32, _ADAM = 2, 4, 8
FRAMEWORK = 0.8 * GIB
"""CUDA context, kernels and what the allocator keeps."""
_LIVE_PER_LAYER = 34
"""Bytes per token and unit of width that one layer keeps while its gradient is computed (Korthikanti et al. 2022, without the
attention matrix, which FlashAttention never writes)."""
_QLORA_SLOWER = 0.78
"""Dequantising on the way: 2,413 to 3,083 tokens/s in the same published pair."""
_NARROW, _WIDE = 2000, 4096
"""Narrow layers keep a GPU waiting: of its teraflops a model reaches width / (width + _NARROW), taken as whole at the width of an 8B.
From runs of 0.5B and 8B on one H200 (docs/train.md)."""


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of device: memory in GiB, and the teraflops that training an 8B reaches on it, which are fewer than its maker states."""

    name: str
    memory: float
    teraflops: float
    gpu: bool = True

    def reached(self, width: int) -> float:
        """Teraflops with layers of this width."""
        whole = _WIDE / (_WIDE + _NARROW)
        return self.teraflops * (min(width / (width + _NARROW) / whole, 1.0) if self.gpu else 1.0)


DEVICES = (
    Device("2 CPU cores", 16, 0.1, gpu=False),
    Device("RTX 4090", 24, 140),
    Device("A100 80 GB", 80, 140),
    Device("H100 80 GB", 80, 400),
)
"""The 4090 as in the published run of the test; A100 and H100 at the 45 and 40 percent of their peaks (312 and 989 in dense bf16)
that training with FlashAttention usually reaches; the processor is a guess that real models confirm to be too slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one training needs. Memory in bytes, on one device."""

    parameters: int
    trainable: int
    tokens_per_step: int
    """At most: rows times `max_length`. Shorter rows make fewer."""
    memory: dict[str, int]
    flops_per_token: float
    slower: float
    width: int

    @property
    def share(self) -> float:
        return self.trainable / self.parameters

    @property
    def bytes(self) -> int:
        return sum(self.memory.values())

    def tokens_per_second(self, device: Device) -> float:
        return device.reached(self.width) * 1e12 / self.flops_per_token * self.slower

    def fits(self, device: Device) -> bool:
        return self.bytes <= device.memory * GIB


def estimate(config: TrainingConfig, shape: Shape | None = None) -> Estimate:
    """The estimate for a configuration; `shape` is the base's own where it could be read. Raises InvalidInput without one."""
    shape = shape or config.shape
    if shape is None:
        raise InvalidInput(
            "The base model's size is not known: name a model folder, or give `shape` in the configuration."
        )
    total = parameters(shape)
    trainable = total if config.peft == "none" else adapter_parameters(shape, config.rank)
    tokens = config.batch * config.max_length
    return Estimate(
        parameters=total if config.peft == "none" else total + trainable,
        trainable=trainable,
        tokens_per_step=tokens * config.accumulate,
        memory=_memory(config, shape, total, trainable, tokens),
        flops_per_token=_flops(config, shape, total),
        slower=_QLORA_SLOWER if config.peft == "qlora" else 1.0,
        width=shape.hidden,
    )


def parameters(shape: Shape) -> int:
    """Of a decoder of the Llama and Qwen 2 kind: embeddings, attention, gated feed-forward, norms."""
    biases = sum(out for _, out in _attention(shape)[:3]) if shape.attention_bias else 0
    per_layer = sum(width * out for width, out in _linear(shape)) + biases + 2 * shape.hidden
    embeddings = shape.vocabulary * shape.hidden * (1 if shape.tied else 2)
    return shape.layers * per_layer + embeddings + shape.hidden


def adapter_parameters(shape: Shape, rank: int) -> int:
    """Of a LoRA of this rank on every linear layer but the output embedding: rank x (in + out) each."""
    return shape.layers * sum(rank * (width + out) for width, out in _linear(shape))


def _attention(shape: Shape) -> list[tuple[int, int]]:
    head = shape.head_size or shape.hidden // shape.heads
    query, key = shape.heads * head, shape.kv_heads * head
    return [(shape.hidden, query), (shape.hidden, key), (shape.hidden, key), (query, shape.hidden)]


def _linear(shape: Shape) -> list[tuple[int, int]]:
    forward = [(shape.hidden, shape.inner), (shape.hidden, shape.inner), (shape.inner, shape.hidden)]
    return _attention(shape) + forward


def _memory(config: TrainingConfig, shape: Shape, total: int, trainable: int, tokens: int) -> dict[str, int]:
    embeddings = shape.vocabulary * shape.hidden * (1 if shape.tied else 2)
    if config.peft == "qlora":  # embeddings and norms stay in bf16
        weights = (total - embeddings) * _FOUR_BIT + embeddings * _BF16
    elif config.peft == "lora":
        weights = total * _BF16
    else:
        weights = total * _FP32  # the weights that the optimiser moves are kept in full precision
    adapter = trainable * _FP32 if config.peft != "none" else 0
    kept = shape.hidden * _BF16 if config.checkpointing else shape.hidden * _LIVE_PER_LAYER
    working = tokens * shape.hidden * _LIVE_PER_LAYER
    return {
        "weights": int(weights),
        "adapter": int(adapter),
        "gradients": int(trainable * _FP32),
        "optimiser": int(trainable * _ADAM),
        "activations": int(tokens * shape.layers * kept + working),
        # One chunk of the vocabulary's scores at a time: TRL computes the loss without the whole matrix.
        "scores": int(min(tokens, 1024) * shape.vocabulary * (_BF16 + _FP32)),
        "framework": int(FRAMEWORK),
    }


def _flops(config: TrainingConfig, shape: Shape, total: int) -> float:
    """Per token: 2 per weight forward, 2 for the gradient of the activations, 2 for that of the weights where they are
    trained, 2 again where activations are recomputed (Kaplan et al. 2020), and attention over half of the length.
    """
    embedding = 0 if shape.tied else shape.vocabulary * shape.hidden
    weights = total - embedding
    passes = 4 + (2 if config.peft == "none" else 0) + (2 if config.checkpointing else 0)
    attention = passes * shape.layers * shape.hidden * config.max_length
    return passes * weights + attention


def seconds_of(estimated: Estimate, device: Device, tokens: int) -> float:
    """Time to train on so many tokens, all epochs together."""
    return tokens / estimated.tokens_per_second(device)
