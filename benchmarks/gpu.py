"""What does training cost on one GPU? (docs/train.md)

    python benchmarks/gpu.py [--shapes 0.5b 8b] [--methods lora qlora] [--steps 8] [--rounds N] [--json FILE]

Tokens per second and peak memory of our training step and of a plain TRL script's, on the same rows, model and settings, beside what
the dry run (`training/estimate.py`) says. Models have the shape of a profile and random weights, which cost what trained ones cost;
rows are this project's documentation, each of exactly `max_length` tokens, so that nothing is padded. `--accumulate` is below
the 8b profile's, to keep steps short: what a step costs once counts more by that. Of the 8B shape DPO is measured too. What fails is
said in its place, the rest goes on, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any

import polars as pl
import torch  # noqa: TID253  nothing here runs without it
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.plain_trl import plain_trl
from twin_core.models import bases
from twin_core.models.stand_in import save_tokenizer, tokenizer_of
from twin_core.training.config import TrainingConfig, load_config
from twin_core.training.dpo import train_dpo
from twin_core.training.estimate import DEVICES, GIB, Device, estimate
from twin_core.training.rows import Lengths
from twin_core.training.sft import train_sft

ROOT = Path(__file__).parents[1]
TEXTS = [path.read_text("utf-8") for part in ("demo/articles", "docs") for path in sorted((ROOT / part).glob("*.md"))]
LIBRARIES = ("torch", "transformers", "trl", "peft", "bitsandbytes")
WARM_UP = 2
"""Steps at the beginning that are not counted."""
TRIAL: dict[str, Any] = {
    "shape": {"hidden": 64, "layers": 2, "heads": 4, "kv_heads": 2, "inner": 128, "vocabulary": 2048, "tied": True},
    "batch": 2, "max_length": 128, "checkpointing": True,
}  # fmt: skip
"""`--shapes trial`: whether this script runs, on a processor too. Its figures mean nothing."""
GPU = torch.cuda.is_available()

Mark = Callable[[int, float | None], None]
"""Told the tokens seen, and the loss where it is known, at the end of each step."""


@dataclass(slots=True)
class Measured:
    """One training. Memory in GiB, None where there is no GPU to ask; `not_freed` is what was allocated when it began."""

    shape: str
    method: str
    whose: str
    tokens_per_second: float = 0.0
    allocated: float | None = None
    reserved: float | None = None
    not_freed: float | None = None
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    """All of it: loading, hashing, saving too."""
    failed: str = ""

    def __str__(self) -> str:
        peak = "" if self.allocated is None else f", peak {self.allocated:.1f} GiB, reserved {self.reserved:.1f}"
        held = f", {self.not_freed:.1f} GiB not freed before" if (self.not_freed or 0) > 0.1 else ""
        losses = f", loss {self.losses[0]:.2f} to {self.losses[-1]:.2f}" if self.losses else ""
        said = self.failed or (f"{self.tokens_per_second:,.0f} tokens/s" if self.tokens_per_second else "done")
        return f"{self.shape} {self.method} {self.whose}: {said}{peak}{held}{losses}; {self.seconds:.0f} s in all"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--shapes", nargs="+", choices=["0.5b", "8b", "trial"], default=["0.5b", "8b"])
    arguments.add_argument("--methods", nargs="+", choices=["lora", "qlora"], default=["lora", "qlora"])
    arguments.add_argument("--steps", type=int, default=8, help=f"the first {WARM_UP} are not counted")
    arguments.add_argument("--accumulate", type=int, default=2)
    arguments.add_argument("--rounds", type=int, help="ours and plain in turn; default: 1 for 8b, 2 else")
    arguments.add_argument("--json", type=Path)
    asked = arguments.parse_args()
    if asked.steps <= WARM_UP:
        arguments.error(f"--steps must be more than {WARM_UP}")
    card = torch.cuda.get_device_name() if GPU else "no GPU: memory is not measured"
    versions = {name: version(name) for name in LIBRARIES if find_spec(name)}
    print(card, *(f"{name} {number}" for name, number in versions.items()), sep=", ", flush=True)
    done: list[Measured] = []

    def keep(one: Measured) -> None:
        done.append(one)
        print(one, flush=True)
        if asked.json:
            said = {"card": card, "versions": versions, "measured": [asdict(each) for each in done]}
            asked.json.write_text(json.dumps(said, indent=2) + "\n")

    def config(shape: str, method: str) -> TrainingConfig:
        changes: dict[str, Any] = {"peft": method, "max_steps": asked.steps, "accumulate": asked.accumulate}
        changes |= {"log_every": 1, "save_every": 10_000, "packing": False}
        return load_config("tiny", {**TRIAL, **changes}) if shape == "trial" else load_config(shape, changes)

    for shape in asked.shapes:
        with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
            base = f"{folder}/base"
            keep(measured(shape, "-", "making the model", partial(make_model, config(shape, "lora"), base)))
            if done[-1].failed:
                continue
            for method in asked.methods:
                wanted, ours = config(shape, method), Path(folder, f"ours-{method}")
                rows = frame(wanted, base)
                for _ in range(asked.rounds or (1 if shape == "8b" else 2)):
                    keep(measured(shape, method, "ours", partial(with_ours, wanted, rows, ours, base)))
                    keep(measured(shape, method, "plain TRL", partial(with_plain_trl, wanted, rows, folder, base)))
                if method == "lora" and shape != "0.5b":
                    pairs = rows.rename({"completion": "chosen"}).with_columns(rejected=pl.col("chosen").reverse())
                    dpo = partial(with_ours, wanted, pairs, ours / "dpo", base, parent=ours / "adapter")
                    keep(measured(shape, "dpo", "ours", dpo))
    known = [device for device in DEVICES if any(len(word) == 4 and word in card for word in device.name.split())]
    show(done, config, (known or DEVICES[-1:])[0] if GPU else DEVICES[0])
    return int(any(one.failed for one in done))


def make_model(config: TrainingConfig, base: str, _: Mark) -> None:
    """A model of the shape with random weights, with a tokenizer of its own; its rows use a part of its vocabulary."""
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

    shape, tokenizer = config.shape, tokenizer_of(TEXTS)
    assert shape is not None
    configuration = (Qwen2Config if shape.attention_bias else LlamaConfig)(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, intermediate_size=shape.inner,
        max_position_embeddings=max(4096, config.max_length), tie_word_embeddings=shape.tied, bos_token_id=None,
        eos_token_id=tokenizer.token_to_id("<|end|>"), pad_token_id=tokenizer.token_to_id("<|pad|>"),
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device("cuda" if GPU else "cpu"):
        model = AutoModelForCausalLM.from_config(configuration, dtype=torch.bfloat16)
    model.save_pretrained(base)
    save_tokenizer(tokenizer, Path(base))


def frame(config: TrainingConfig, base: str) -> pl.DataFrame:
    """Rows for all steps: as many words as fit into `max_length`, then a word of one token until it is full."""
    tokenizer, prompt = bases.load_tokenizer(base), [{"role": "user", "content": "Write on."}]
    lengths, words, found = Lengths(tokenizer, config.max_length), cycle(" ".join(TEXTS).split(" ")), []
    for number in range((config.max_steps or 1) * config.batch * config.accumulate):
        answer, used = "a", lengths.whole(prompt, "a")
        while (used := used + len(tokenizer(f" {(word := next(words))}")["input_ids"])) <= config.max_length:
            answer += f" {word}"
        answer += " a" * (config.max_length - lengths.whole(prompt, answer))
        assert lengths.whole(prompt, answer) == config.max_length, "a row that is not full would be padded"
        found.append({"id": str(number), "prompt": prompt, "completion": answer})
    return pl.DataFrame(found)


def measured(shape: str, method: str, whose: str, work: Callable[[Mark], None]) -> Measured:
    """Wall clock from the end of the last warm-up step to the end of the last step, and the peak of the whole training."""
    gc.collect()
    made, marks = Measured(shape, method, whose), list[tuple[float, int]]()
    if GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        made.not_freed = torch.cuda.memory_allocated() / GIB

    def mark(tokens: int, loss: float | None) -> None:
        if GPU:
            torch.cuda.synchronize()
        marks.append((time.perf_counter(), tokens))
        made.losses += [] if loss is None else [loss]

    began = time.monotonic()
    try:
        work(mark)
        if marks:
            (start, before), (end, after) = marks[WARM_UP - 1], marks[-1]
            made.tokens_per_second = (after - before) / (end - start)
        if not all(math.isfinite(loss) for loss in made.losses):
            made.failed = f"failed: losses {made.losses}"
    except Exception as error:  # noqa: BLE001  the others go on
        made.failed = f"failed: {type(error).__name__}: {(str(error).strip() or '-').splitlines()[0][:200]}"
    if GPU:
        made.allocated, made.reserved = torch.cuda.max_memory_allocated() / GIB, torch.cuda.max_memory_reserved() / GIB
    made.seconds = time.monotonic() - began
    return made


def with_ours(
    config: TrainingConfig, rows: pl.DataFrame, folder: Path, base: str, mark: Mark, parent: Path | None = None
) -> None:
    """SFT, or DPO that goes on from the adapter in `parent`."""
    known: dict[str, Any] = {"base": base, "resume": False, "tell": lambda said: mark(said.tokens, said.loss)}
    train_dpo(config, rows, folder, parent=parent, **known) if parent else train_sft(config, rows, folder, **known)


def with_plain_trl(config: TrainingConfig, rows: pl.DataFrame, folder: str, base: str, mark: Mark) -> None:
    plain_trl(config, rows, f"{folder}/plain", base, step_ended=lambda tokens: mark(tokens, None))


def show(done: list[Measured], config: Callable[[str, str], TrainingConfig], device: Device) -> None:
    title = f"Median tokens per second, largest peak in GiB; the dry run's speed is for {device.name}"
    table = Table("model", "method", "tokens/s ours", "plain TRL", "ratio", "dry run", "GiB ours", "plain TRL", "dry run",
                  "our losses", title=title)  # fmt: skip
    for shape, method in dict.fromkeys((one.shape, one.method) for one in done if one.method != "-"):
        of = [one for one in done if (one.shape, one.method) == (shape, method)]
        sides = [[one for one in of if one.whose == whose] for whose in ("ours", "plain TRL")]
        failed = [next((one.failed for one in side if one.failed), "") for side in sides]
        speeds = [statistics.median([one.tokens_per_second for one in side] or [0]) for side in sides]
        peaks = [max((one.allocated or 0 for one in side), default=0) for side in sides]
        said = None if method == "dpo" else estimate(config(shape, method))
        losses = [loss for one in sides[0] for loss in one.losses]
        table.add_row(
            shape, method, *(fail or (f"{speed:,.0f}" if speed else "") for fail, speed in zip(failed, speeds, strict=True)),
            f"{speeds[0] / speeds[1]:.3f}" if speeds[1] and not any(failed) else "",
            f"{said.tokens_per_second(device):,.0f}" if said else "", *(f"{peak:.1f}" if peak else "" for peak in peaks),
            f"{said.bytes / GIB:.1f}" if said else "", f"{max(losses):.2f} to {min(losses):.2f}" if losses else "",
        )  # fmt: skip
    Console(width=max(150, Console().width)).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
