"""What a training tells while it runs: steps, loss, tokens per second, time left. And which checkpoints may be resumed from.

One callback for both trainers. Whom it tells is the caller's: a file, the terminal, the attempt's row, Dagster, MLflow.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

COMPLETE = ".complete"
"""Written into a checkpoint after everything else: one without it was cut short by the end of its process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a training is. Figures that the trainer logged since the last time."""

    step: int
    steps: int
    loss: float | None
    tokens: int
    """Seen in this process; after resuming, without those of before."""
    tokens_per_second: float
    eta_seconds: float
    memory: int
    """Peak bytes: of the GPU where there is one, else of this process."""
    figures: dict[str, float]
    """Everything else that the trainer logged, by name."""


Tell = Callable[[Progress], None]


def reporting(tell: Tell) -> Any:
    """A transformers callback that tells, and marks checkpoints complete."""
    from transformers import TrainerCallback

    class Reporting(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.began = 0.0
            self.first = 0
            self.tokens = 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            self.began, self.first = monotonic(), state.global_step

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
            said = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
            self.tokens = int(said.pop("num_tokens", self.tokens))
            seconds = max(monotonic() - self.began, 1e-9)
            done = state.global_step - self.first
            if state.is_world_process_zero and "loss" in said:
                tell(
                    Progress(
                        step=state.global_step,
                        steps=state.max_steps,
                        loss=said.pop("loss"),
                        tokens=self.tokens,
                        tokens_per_second=self.tokens / seconds,
                        eta_seconds=seconds / max(done, 1) * (state.max_steps - state.global_step),
                        memory=peak_memory(),
                        figures=said,
                    )
                )

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if state.is_world_process_zero:
                _mark(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    return Reporting()


def _mark(checkpoint: Path) -> None:
    for path in checkpoint.rglob("*"):
        if path.is_file():
            with path.open("rb") as written:
                os.fsync(written.fileno())
    (checkpoint / COMPLETE).touch()


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint under `folder`, or None. What was cut short is removed."""
    complete = []
    for path in folder.glob("checkpoint-*"):
        if (path / COMPLETE).is_file():
            complete.append(path)
        else:
            shutil.rmtree(path)
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def peak_memory() -> int:
    """Peak bytes of the GPU where there is one, else of this process."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
