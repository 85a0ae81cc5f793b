"""What `training.py` and `gpu.py` measure beside the product: the same training, written as a script from TRL's documentation is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twin_core.training.config import TrainingConfig
from twin_core.training.rows import instruct_rows

if TYPE_CHECKING:
    import polars as pl


def plain_trl(
    config: TrainingConfig, rows: pl.DataFrame, folder: str, base: str, *, step_ended: Callable[[int], None]
) -> None:
    """The same rows and settings: no progress, no checkpoints, nothing of ours. `step_ended` is told the tokens seen so far."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    gpu = torch.cuda.is_available()
    tokenizer = AutoTokenizer.from_pretrained(base)
    four_bit = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )  # fmt: skip
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.bfloat16 if gpu else torch.float32, quantization_config=four_bit if config.peft == "qlora" else None
        ),
        args=SFTConfig(
            folder, per_device_train_batch_size=config.batch, gradient_accumulation_steps=config.accumulate,
            num_train_epochs=config.epochs, max_steps=config.max_steps or -1, max_length=config.max_length,
            learning_rate=config.learning_rate, lr_scheduler_type=config.schedule, warmup_steps=config.warmup,
            gradient_checkpointing=config.checkpointing, bf16=gpu, use_cpu=not gpu,
            save_strategy="no", report_to="none", disable_tqdm=True, logging_strategy="no",
        ),
        train_dataset=Dataset.from_list(instruct_rows(rows, tokenizer, config.max_length).rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=config.targets, task_type="CAUSAL_LM"),
    )  # fmt: skip

    class Marking(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: object, **__: object) -> None:
            step_ended(int(trainer._total_train_tokens))  # noqa: SLF001

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Marking())
    trainer.train()
