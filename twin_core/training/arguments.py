"""What SFT and DPO tell transformers alike, made from the configuration; and what they leave behind.

Options are named as they are today: tutorials still say `max_seq_length`, `evaluation_strategy`, `tokenizer`, `warmup_ratio`.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin_core.training.config import TrainingConfig
from twin_core.training.progress import last_checkpoint, peak_memory
from twin_core.training.rows import Rows

ADAPTER, CHECKPOINTS = "adapter", "checkpoints"
_NOT_OURS = ("README.md", "training_args.bin")
"""PEFT's card is mostly placeholders and names local paths; ours is written by `card.py`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What came out of one training."""

    folder: Path
    """Adapter (or whole model) and tokenizer."""
    base_hash: str
    """`bases.fingerprint` of what it was trained on."""
    rows: Rows
    model: Any
    """As it is in memory, the adapter on its base; for whoever goes on with it in this process."""
    tokenizer: Any
    figures: dict[str, float]
    """loss, held_out_loss, tokens, seconds, tokens_per_second, peak_memory, steps; rows, cut, left_out."""


def shared(config: TrainingConfig, folder: Path) -> dict[str, Any]:
    """Keyword arguments for SFTConfig and DPOConfig. Nothing is reported anywhere but to our own callback."""
    import torch

    gpu = torch.cuda.is_available()
    return {
        "output_dir": str(folder / CHECKPOINTS),
        "per_device_train_batch_size": config.batch,
        "per_device_eval_batch_size": config.batch,
        "gradient_accumulation_steps": config.accumulate,
        "max_steps": config.max_steps or -1,
        "lr_scheduler_type": config.schedule,
        "warmup_steps": config.warmup,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.clip,
        "max_length": config.max_length,
        "gradient_checkpointing": config.checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "bf16": gpu and torch.cuda.is_bf16_supported(),
        "fp16": False,
        "use_cpu": not gpu,
        "dataloader_pin_memory": gpu,
        "seed": config.seed,
        "data_seed": config.seed,
        "logging_steps": config.log_every,
        "logging_first_step": True,
        "save_strategy": "steps",
        "save_steps": config.save_every,
        "save_total_limit": 2,
        "eval_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def train(trainer: Any, rows: Rows, *, resume: bool) -> Any:
    """Train on every row, from the last checkpoint where there is one and it is wanted. Returns the trainer's outcome.

    Raises RuntimeError when the trainer left rows out, which TRL does without a word. Packed rows cannot be counted.
    """
    from transformers import PrinterCallback

    if not getattr(trainer.args, "packing", False) and len(trainer.train_dataset) != len(rows.rows):
        raise RuntimeError(
            f"The trainer kept {len(trainer.train_dataset)} of {len(rows.rows)} rows and does not say why."
        )
    trainer.remove_callback(PrinterCallback)  # progress goes where `tell` says
    checkpoint = last_checkpoint(Path(trainer.args.output_dir)) if resume else None
    return trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def dataset(rows: Rows) -> Any:
    """The rows as the datasets library holds them, in memory: none of the text is cached in a file."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    return Dataset.from_list(rows.rows)


def packs(config: TrainingConfig) -> bool:
    """Whether rows are packed. Only FlashAttention keeps packed rows from seeing each other."""
    return _flash() if config.packing == "auto" else config.packing


def attention(config: TrainingConfig) -> str | None:
    """What the base must be loaded with. FlashAttention is never taken unasked, and what is taken instead masks packed rows
    from each other over the whole pack, at the cost of its length squared.
    """
    return "flash_attention_2" if packs(config) and _flash() else None


def _flash() -> bool:
    """Whether FlashAttention 2 is there and can be used: it computes in bfloat16 alone here."""
    import torch
    from transformers.utils import is_flash_attn_2_available

    return bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported() and is_flash_attn_2_available())


def lora(config: TrainingConfig) -> Any:
    """PEFT's configuration, or None for full fine-tuning."""
    if config.peft == "none":
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=config.targets,
        task_type="CAUSAL_LM",
    )


def save(trainer: Any, tokenizer: Any, folder: Path, base_name: str) -> Path:
    """Write what was trained into `folder`/adapter, without what libraries leave beside it. Every process calls it."""
    target = folder / ADAPTER
    if trainer.is_world_process_zero():
        shutil.rmtree(target, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(target))
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(target)
        for name in _NOT_OURS:
            (target / name).unlink(missing_ok=True)
        # The frozen copy that DPO measures against.
        shutil.rmtree(target / "ref", ignore_errors=True)
        described = target / "adapter_config.json"
        if described.is_file():
            said = json.loads(described.read_text())
            said["base_model_name_or_path"] = base_name
            described.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n")
    trainer.accelerator.wait_for_everyone()
    return target


def figures(trainer: Any, outcome: Any, rows: Rows, held_out: dict[str, float]) -> dict[str, float]:
    """What is worth keeping of a training that ended."""
    seconds = float(outcome.metrics["train_runtime"])
    tokens = int(getattr(trainer, "_total_train_tokens", 0))
    return {
        "loss": float(outcome.training_loss),
        **held_out,
        "steps": trainer.state.global_step,
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds if seconds else 0.0,
        "peak_memory": peak_memory(),
        "rows": len(rows.rows),
        "cut": rows.cut,
        "left_out": rows.left_out,
        "answer_tokens": rows.answer_tokens,
    }
