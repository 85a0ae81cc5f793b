"""How to train: one frozen configuration, read from one YAML file, for every size and family of model.

A profile is such a file with settings that fit a size. Families (Llama, Mistral, Qwen, Gemma, SmolLM) differ by `base` alone:
chat template, special tokens and layers are asked of the model's own files, never written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twin_core.errors import InvalidInput, NotFound

TINY = "tiny"


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Shape(_Plain):
    """What the size of a decoder follows from: for dry runs where the model's own configuration is not at hand."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    inner: int = Field(description="Width of the feed-forward layers.")
    vocabulary: int
    tied: bool = Field(default=False, description="Whether input and output embeddings are one matrix.")
    attention_bias: bool = Field(default=False, description="Whether query, key and value have biases (Qwen 2).")
    head_size: int | None = Field(default=None, description="Default: hidden / heads.")


class Preference(_Plain):
    """What DPO has beyond SFT. `beta` is searched (`search.py`), never assumed: published results disagree on it."""

    beta: float = Field(default=0.1, gt=0)
    learning_rate: float = Field(default=5e-6, gt=0, description="About a tenth to a fortieth of the SFT rate.")
    epochs: float = Field(default=1.0, gt=0)
    loss: str = "sigmoid"


class TrainingConfig(_Plain):
    """Everything that decides what comes out, except the data."""

    base: str | None = Field(default=None, description="Hugging Face id or folder. Default: TWIN_BASE_MODEL.")
    shape: Shape | None = None

    peft: Literal["lora", "qlora", "none"] = "lora"
    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: str | list[str] = "all-linear"

    learning_rate: float = Field(default=2e-4, gt=0, description="LoRA takes about ten times the rate of full tuning.")
    epochs: float = Field(default=3.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1, description="Stop here, whatever `epochs` says.")
    schedule: str = "cosine"
    warmup: float = Field(default=0.03, ge=0, lt=1, description="Share of all steps.")
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0, description="Largest norm of the gradient.")

    batch: int = Field(default=4, ge=1, description="Rows per device and step.")
    accumulate: int = Field(default=4, ge=1, description="Steps whose gradients are added before the weights move.")
    max_length: int = Field(default=2048, ge=64, description="Tokens of prompt and completion together.")
    packing: bool | Literal["auto"] = Field(default="auto", description="auto: where FlashAttention is there.")
    checkpointing: bool = Field(default=True, description="Recompute activations instead of keeping them.")

    preference: Preference = Preference()

    seed: int = 0
    save_every: int = Field(default=50, ge=1, description="Steps between checkpoints.")
    log_every: int = Field(default=5, ge=1)
    gpus: int | Literal["all"] = Field(default="all", description="Several are driven through `accelerate launch`.")
    strategy: Literal["ddp", "fsdp"] = Field(default="ddp", description="fsdp: weights do not fit one GPU.")


def profiles() -> dict[str, Path]:
    """Name -> file of every profile that comes with the product, the smallest first."""
    folder = Path(str(files("twin_core.training") / "profiles"))
    found = {path.stem: path for path in folder.glob("*.yaml")}
    return dict(sorted(found.items(), key=lambda entry: _billions(entry[0])))


def _billions(name: str) -> float:
    return 0.0 if name == TINY else float(name.removesuffix("b"))


def load_config(profile: str, changes: Mapping[str, Any] | None = None) -> TrainingConfig:
    """The configuration of a profile's name or a YAML file's path, with `changes` on top (`preference` merged by key).

    Raises NotFound for an unknown profile, InvalidInput for what the file or the changes say wrongly.
    """
    path = profiles().get(profile.lower())
    if path is None:
        path = Path(profile)
        if path.suffix not in {".yaml", ".yml"} or not path.is_file():
            raise NotFound(
                f"There is no profile `{profile}`. Take one of {', '.join(profiles())}, or name a YAML file."
            )
    try:
        said = yaml.safe_load(path.read_text("utf-8")) or {}
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path} is not YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(said, dict):
        raise InvalidInput(f"{path} must hold names with values, such as `learning_rate: 2e-4`.")
    for name, value in (changes or {}).items():
        said[name] = {**said.get(name, {}), **value} if isinstance(value, Mapping) else value
    return parse_config(said, where=str(path))


def parse_config(said: Mapping[str, Any], *, where: str) -> TrainingConfig:
    """A configuration from plain values. Raises InvalidInput that names each wrong one."""
    try:
        return TrainingConfig.model_validate(said)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors(include_url=False)
        )
        raise InvalidInput(f"The training configuration in {where} cannot be used. {wrong}.") from error


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested values by dotted names: `preference.beta`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found
