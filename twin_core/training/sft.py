"""Supervised fine-tuning: the author's text as the answer to the prompts that the product asks, loss on the answer alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from twin_core.models import bases
from twin_core.training import arguments
from twin_core.training.arguments import Trained
from twin_core.training.config import TrainingConfig
from twin_core.training.progress import Tell, reporting
from twin_core.training.rows import instruct_rows

if TYPE_CHECKING:
    import polars as pl


def train_sft(
    config: TrainingConfig,
    frame: pl.DataFrame,
    folder: Path,
    *,
    base: str,
    base_name: str | None = None,
    held_out: pl.DataFrame | None = None,
    tell: Tell = lambda _: None,
    resume: bool = True,
) -> Trained:
    """Train on the rows of an instruct frame (`read_version`) and write the adapter into `folder`/adapter.

    The same configuration, rows and base give the same weights, also when a run was killed on the way and goes on from its last
    checkpoint in `folder`. `held_out` is measured once at the end. Raises InvalidInput for a base or rows that cannot be used.
    """
    if config.peft == "qlora":
        bases.check_quantisation()
    tokenizer = bases.load_tokenizer(base)
    rows = instruct_rows(frame, tokenizer, config.max_length)
    measured = (
        None if held_out is None or not held_out.height else instruct_rows(held_out, tokenizer, config.max_length)
    )

    from trl import SFTConfig, SFTTrainer

    given = SFTConfig(
        **arguments.shared(config, folder),
        learning_rate=config.learning_rate,
        num_train_epochs=config.epochs,
        packing=arguments.packs(config),
        packing_strategy="bfd",
        eval_packing=False,
        completion_only_loss=True,
    )
    model = bases.load_model(base, quantised=config.peft == "qlora", attention=arguments.attention(config))
    base_hash = bases.fingerprint(base, model)
    trainer = SFTTrainer(
        model=model,
        args=given,
        train_dataset=arguments.dataset(rows),
        eval_dataset=arguments.dataset(measured) if measured else None,
        processing_class=tokenizer,
        peft_config=arguments.lora(config),
        callbacks=[reporting(tell)],
    )
    outcome = arguments.train(trainer, rows, resume=resume)
    held = {}
    if measured:
        held = {"held_out_loss": float(trainer.evaluate()["eval_loss"]), "held_out_rows": float(len(measured.rows))}
    made = arguments.save(trainer, tokenizer, folder, base_name or base)
    return Trained(
        folder=made,
        base_hash=base_hash,
        rows=rows,
        model=trainer.accelerator.unwrap_model(trainer.model),
        tokenizer=tokenizer,
        figures=arguments.figures(trainer, outcome, rows, held),
    )
