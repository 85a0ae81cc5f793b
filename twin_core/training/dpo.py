"""Direct preference optimisation: goes on from the SFT adapter, towards the author's text and away from what models wrote.

Its reference is a frozen copy of that adapter, so that it moves from the author's voice and not from the base's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from twin_core.models import bases
from twin_core.training import arguments
from twin_core.training.arguments import Trained
from twin_core.training.config import TrainingConfig
from twin_core.training.progress import Tell, reporting
from twin_core.training.rows import preference_rows

if TYPE_CHECKING:
    import polars as pl


def train_dpo(
    config: TrainingConfig,
    frame: pl.DataFrame,
    folder: Path,
    *,
    base: str,
    parent: Path,
    base_name: str | None = None,
    held_out: pl.DataFrame | None = None,
    tell: Tell = lambda _: None,
    resume: bool = True,
) -> Trained:
    """Train on the rows of a preference frame, starting at the SFT adapter in `parent`; as `train_sft` otherwise."""
    if config.peft == "qlora":
        bases.check_quantisation()
    tokenizer = bases.load_tokenizer(base)
    rows = preference_rows(frame, tokenizer, config.max_length)
    measured = (
        None if held_out is None or not held_out.height else preference_rows(held_out, tokenizer, config.max_length)
    )

    from trl import DPOConfig, DPOTrainer

    wanted = config.preference
    given = DPOConfig(
        **arguments.shared(config, folder),
        learning_rate=wanted.learning_rate,
        num_train_epochs=wanted.epochs,
        beta=wanted.beta,
        loss_type=[wanted.loss],
    )
    model = bases.load_model(base, quantised=config.peft == "qlora")
    base_hash = bases.fingerprint(base, model)
    model = bases.attach(model, parent, trainable=True)
    trainer = DPOTrainer(
        model=model,
        args=given,
        train_dataset=arguments.dataset(rows),
        eval_dataset=arguments.dataset(measured) if measured else None,
        processing_class=tokenizer,
        callbacks=[reporting(tell)],
    )
    outcome = arguments.train(trainer, rows, resume=resume)
    held = {}
    if measured:
        said = trainer.evaluate()
        held = {
            "held_out_loss": float(said["eval_loss"]),
            "held_out_rows": float(len(measured.rows)),
            "held_out_preferred": float(said["eval_rewards/accuracies"]),
        }
    made = arguments.save(trainer, tokenizer, folder, base_name or base)
    return Trained(
        folder=made,
        base_hash=base_hash,
        rows=rows,
        model=trainer.accelerator.unwrap_model(trainer.model),
        tokenizer=tokenizer,
        figures=arguments.figures(trainer, outcome, rows, held),
    )
