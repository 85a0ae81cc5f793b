"""The base model that is fine-tuned: which one it is, its fingerprint, and loading it with or without an adapter.

Which one serves, and how, is in `local_server.py`. Whoever loads here has the models in this process: training, evaluation, merging.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any, Literal

from twin_core.errors import InvalidInput
from twin_core.models.local_server import STAND_IN, models_folder
from twin_core.models.stand_in import HEADS, HIDDEN, INNER, LAYERS, VOCABULARY, Progress
from twin_core.models.tiny_base import ensure_tiny_base, tiny_base_folder
from twin_core.settings import Settings

TINY_SHAPE = {
    "hidden": HIDDEN, "layers": LAYERS, "heads": HEADS, "kv_heads": HEADS, "inner": INNER, "vocabulary": VOCABULARY, "tied": True,
}  # fmt: skip
"""Of the tiny base, which may not be made yet."""
_WEIGHTS = ("*.safetensors", "*.bin")
_DECIDING = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def base_name(settings: Settings, named: str | None = None) -> str:
    """What to train on: the given id or folder, else TWIN_BASE_MODEL, where `stand-in` means the tiny base.

    A name and not a path for the tiny base, so that it may be stored: its folder differs between machines.
    """
    chosen = named or settings.base_model
    return tiny_base_folder(models_folder(settings)).name if chosen == STAND_IN else chosen


def shown(base: str) -> str:
    """A base's name where others read it: of a folder its last part, because the rest is this machine's affair."""
    return Path(base).name if Path(base).is_dir() else base


def find_base(settings: Settings, name: str, *, progress: Progress | None = None) -> str:
    """The folder or Hugging Face id behind a `base_name`; the tiny base is made when it is not there."""
    own = tiny_base_folder(models_folder(settings))
    if name == own.name:
        return str(ensure_tiny_base(models_folder(settings), progress=progress).absolute())
    if name.startswith(own.name.rpartition("-")[0] + "-"):
        folder = models_folder(settings) / name
        if not folder.is_dir():
            raise InvalidInput(
                f"{name} was made by another version of Python or of this product and is not here. Train anew."
            )
        return str(folder.absolute())
    return name


def fingerprint(base: str, model: Any | None = None) -> str:
    """What tells this base from any other of the same name: hash of a folder's weights and configuration, or the commit
    from which the loaded `model` came. Raises InvalidInput where neither is known.
    """
    folder = Path(base)
    if folder.is_dir():
        digest = hashlib.sha256()
        paths = {path for pattern in (*_WEIGHTS, *_DECIDING) for path in folder.glob(pattern)}
        for path in sorted(paths):
            with path.open("rb") as stream:
                digest.update(f"{path.name}\x1f{hashlib.file_digest(stream, 'sha256').hexdigest()}\x1f".encode())
        return f"sha256:{digest.hexdigest()}"
    commit = getattr(getattr(model, "config", None), "_commit_hash", None)
    if not commit:
        raise InvalidInput(f"Which revision of {base} this is cannot be told. Name a folder, or a Hugging Face id.")
    return f"commit:{commit}"


def load_tokenizer(base: str) -> Any:
    """The base's tokenizer. Raises InvalidInput when it has no chat template: such a base follows no instructions."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise InvalidInput(_unavailable(base, error)) from error
    if not tokenizer.chat_template:
        raise InvalidInput(f"{base} has no chat template. Take the instruction-tuned model of its family.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(base: str, *, quantised: bool = False, attention: str | None = None) -> Any:
    """The base, to be moved to the best device: bfloat16 where a GPU computes in it, else float32.

    `quantised` loads it in four bits (QLoRA), on the GPU already. `attention` is an implementation in transformers' words,
    which chooses one itself where none is named. Raises InvalidInput where that is impossible or the base is not found.
    """
    if quantised:
        check_quantisation()
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    dtype = torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32
    extra: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    if quantised:
        from transformers import BitsAndBytesConfig

        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    try:
        return AutoModelForCausalLM.from_pretrained(base, dtype=dtype, **extra)
    except (OSError, ValueError) as error:
        raise InvalidInput(_unavailable(base, error)) from error


def check_quantisation() -> None:
    """Raise InvalidInput, saying what to do, where QLoRA cannot run."""
    import torch

    if not torch.cuda.is_available():
        raise InvalidInput("QLoRA needs a CUDA GPU, and there is none here. Set `peft: lora`, which runs anywhere.")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InvalidInput("QLoRA needs bitsandbytes: pip install bitsandbytes. Or set `peft: lora`.")


def attach(model: Any, adapter: Path, *, trainable: bool = False) -> Any:
    """The model with an adapter on top; what was trained in full is loaded in its place."""
    if not (adapter / "adapter_config.json").is_file():
        return load_model(str(adapter))
    from peft import PeftModel

    attached = PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)
    # The stored name is one for people. PEFT would ask the Hub about it when it saves.
    attached.peft_config["default"].base_model_name_or_path = model.name_or_path
    return attached


def light(model: Any) -> Any:
    """A model to answer with: its adapter added into its weights, where that rounds nothing away (float32). Layers of their own take a third
    of the time on a processor.
    """
    exact = all(str(weight.dtype) == "torch.float32" for weight in model.parameters())
    return model.merge_and_unload() if exact and hasattr(model, "merge_and_unload") else model


def merge(base: str, adapter: Path, folder: Path, *, fingerprint_of_base: str | None = None) -> Path:
    """Write base and adapter as one model into `folder`, for servers that load no adapters.

    Raises InvalidInput when the base is not the one that the adapter was trained on.
    """
    model = load_model(base)
    if fingerprint_of_base is not None and fingerprint(base, model) != fingerprint_of_base:
        raise InvalidInput(
            f"{base} is not what it was when this adapter was trained on it. Bring it back, or train anew."
        )
    merged = attach(model, adapter)
    if hasattr(merged, "merge_and_unload"):
        merged = merged.merge_and_unload()
    merged.save_pretrained(folder)
    load_tokenizer(base).save_pretrained(folder)
    return folder


def adapter_kind(folder: Path) -> Literal["adapter", "full"]:
    """Whether a folder of weights is an adapter or a whole model."""
    return "adapter" if (folder / "adapter_config.json").is_file() else "full"


def shape_of(base: str) -> dict[str, Any] | None:
    """Sizes from a folder's own config.json, in the names of `training.config.Shape`. None when it is not on this machine."""
    path = Path(base) / "config.json"
    if not path.is_file():
        return None
    said = json.loads(path.read_text())
    return {
        "hidden": said["hidden_size"],
        "layers": said["num_hidden_layers"],
        "heads": said["num_attention_heads"],
        "kv_heads": said.get("num_key_value_heads") or said["num_attention_heads"],
        "inner": said["intermediate_size"],
        "vocabulary": said["vocab_size"],
        "tied": bool(said.get("tie_word_embeddings")),
        "attention_bias": bool(said.get("attention_bias")) or said.get("model_type") == "qwen2",
        "head_size": said.get("head_dim"),
    }


def _unavailable(base: str, error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    return f"The base model {base} cannot be loaded: {first} Name a folder that holds it, or fetch it first."
