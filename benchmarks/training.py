"""Does training on an author teach that author, and does our step cost more than TRL's own? (docs/train.md)

    python benchmarks/training.py [--rows 160] [--models .twin/models] [--only gain|speed]

For each author three models write down texts they have not seen: the tiny base, an adapter trained on the author's earlier texts, and
one trained as long on as many texts of another author. Bits per byte of the author's prose (markup, code and links stripped), lower is
better; differences with 95 % intervals by drawing whole notes. Then a learning curve, and tokens per second beside a plain TRL
script on the same rows. Uses the demo's articles, and ../shared/corpora where it is there.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.plain_trl import plain_trl
from twin_core.evaluation.bootstrap import difference
from twin_core.evaluation.fit import Fit, bits_per_byte, fit
from twin_core.evaluation.prose import prose
from twin_core.models import bases
from twin_core.models.tiny_base import ensure_tiny_base
from twin_core.training.config import TrainingConfig, load_config
from twin_core.training.sft import train_sft

ROOT = Path(__file__).parents[1]
CORPORA = ROOT.parent / "shared" / "corpora"
WORDS = 110
"""Of a passage: a whole number of paragraphs, at least so many words."""
HELD_OUT = 40
"""Notes, the newest ones; of the demo's few articles each half is held out once."""
CONFIG = load_config("tiny", {"max_length": 384, "batch": 8, "accumulate": 1, "epochs": 4, "log_every": 10})
MESSAGE = pl.Struct({"role": pl.String, "content": pl.String})


@dataclass(frozen=True, slots=True)
class Passage:
    note: str
    title: str
    text: str


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=160)
    arguments.add_argument("--models", type=Path, default=Path(".twin/models"))
    arguments.add_argument("--only", choices=["gain", "speed"])
    asked = arguments.parse_args()
    base = str(ensure_tiny_base(asked.models).absolute())
    demo = cut(sorted((ROOT / "demo" / "articles").glob("*.md")))
    if asked.only != "speed":
        names = sorted({one.note for one in demo})
        halves = [set(names[::2]), set(names[1::2])]
        others = cut(sorted((ROOT / "docs").glob("*.md")))
        found = [gain(base, *split(demo, half), others, asked.rows) for half in halves]
        show("demo (each half of the articles held out once; other author: this project's documentation)", found)
        if CORPORA.is_dir():
            notes = {name: dated(CORPORA / name) for name in ("simonw_til", "jbranchaud_til")}
            for name, other in (tuple(notes), tuple(notes)[::-1]):
                newest = set(list(dict.fromkeys(one.note for one in notes[name]))[-HELD_OUT:])
                train, held = split(notes[name], newest)
                show(f"{name} (other author: {other})", [gain(base, train, held, notes[other], asked.rows)])
                curve(base, train, held, asked.rows)
        else:
            print(f"No collections at {CORPORA}: only the demo was measured.")
    if asked.only != "gain":
        speed(base, demo)


def cut(paths: Sequence[Path], titles: dict[str, str] | None = None) -> list[Passage]:
    """Passages of prose, in the order of the files."""
    found = []
    for path in paths:
        held: list[str] = []
        name = str(path)
        title = (titles or {}).get(name, path.stem.replace("-", " "))
        for paragraph in prose(path.read_text("utf-8")):
            held.append(paragraph)
            if sum(len(one.split()) for one in held) >= WORDS:
                found.append(Passage(name, title, "\n\n".join(held)))
                held = []
        if held and sum(len(one.split()) for one in held) >= WORDS // 3:
            found.append(Passage(name, title, "\n\n".join(held)))
    return found


def dated(folder: Path) -> list[Passage]:
    """Passages of a collection, the oldest note first."""
    with (folder / "index.csv").open(encoding="utf-8") as rows:
        index = sorted(csv.DictReader(rows), key=lambda row: row["first_commit"])
    paths = [folder / row["path"] for row in index if (folder / row["path"]).is_file()]
    return cut(paths, {str(folder / row["path"]): row["title"] for row in index})


def split(passages: Sequence[Passage], held_out: set[str]) -> tuple[list[Passage], list[Passage]]:
    return [p for p in passages if p.note not in held_out], [p for p in passages if p.note in held_out]


def prompt(passage: Passage) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Write a passage of a note: {passage.title}"}]


def frame(passages: Sequence[Passage]) -> pl.DataFrame:
    rows = [(hashlib.sha256(one.text.encode()).hexdigest(), prompt(one), one.text) for one in passages]
    return pl.DataFrame(
        rows, schema={"id": pl.String, "prompt": pl.List(MESSAGE), "completion": pl.String}, orient="row"
    )


def sample(passages: Sequence[Passage], count: int) -> list[Passage]:
    """So many of them, the same ones every time; a smaller sample lies within a larger one."""
    order = sorted(passages, key=lambda one: hashlib.sha256(one.text.encode()).hexdigest())
    return order[:count]


def fits(base: str, passages: Sequence[Passage], adapter: Path | None = None) -> list[Fit]:
    model, tokenizer = bases.load_model(base), bases.load_tokenizer(base)
    if adapter is not None:
        model = bases.attach(model, adapter)
    prompts = [
        tokenizer.apply_chat_template(prompt(one), tokenize=False, add_generation_prompt=True) for one in passages
    ]
    return fit(model, tokenizer, [one.text for one in passages], prompts=prompts)


@dataclass(frozen=True, slots=True)
class Gain:
    notes: list[str]
    base: list[Fit]
    own: list[Fit]
    other: list[Fit]
    rows: int
    seconds: float


def trained(base: str, passages: Sequence[Passage], folder: str, config: TrainingConfig = CONFIG) -> Path:
    return train_sft(config, frame(passages), Path(folder), base=base).folder


def gain(base: str, train: list[Passage], held: list[Passage], other: list[Passage], rows: int) -> Gain:
    """The three models on the held-out texts, both adapters trained on as many rows for as many steps."""
    began, count = time.monotonic(), min(rows, len(train), len(other))
    held = sample(held, 80)
    with tempfile.TemporaryDirectory() as own, tempfile.TemporaryDirectory() as theirs:
        return Gain(
            [one.note for one in held],
            fits(base, held),
            fits(base, held, trained(base, sample(train, count), own)),
            fits(base, held, trained(base, sample(other, count), theirs)),
            count,
            time.monotonic() - began,
        )


def show(name: str, found: list[Gain]) -> None:
    notes = [note for one in found for note in one.notes]
    base, own, other = ([fit for one in found for fit in getattr(one, side)] for side in ("base", "own", "other"))
    print(f"\n{name}: {found[0].rows} rows to train on, {len(notes)} texts of {len(set(notes))} notes held out, "
          f"{sum(one.seconds for one in found):.0f} s")  # fmt: skip
    print(f"  bits per byte: base {bits_per_byte(base):.3f}, other author's adapter {bits_per_byte(other):.3f}, "
          f"own adapter {bits_per_byte(own):.3f}")  # fmt: skip
    for against, fits_of in (("base", base), ("other author's adapter", other)):
        gained = difference(
            [theirs.bits - mine.bits for theirs, mine in zip(fits_of, own, strict=True)],
            notes,
            weights=[mine.bytes for mine in own],
        )
        verdict = "beats" if gained.low > 0 else "does not beat"
        print(f"  own {verdict} {against} by {gained.mean:.3f} [{gained.low:.3f}, {gained.high:.3f}] bits per byte")


def curve(base: str, train: list[Passage], held: list[Passage], rows: int) -> None:
    """Bits per byte by how much of the train side was used, the passes over it being the same."""
    held, said = sample(held, 80), [f"base {bits_per_byte(fits(base, sample(held, 80))):.3f}"]
    for share in (0.25, 0.5, 1.0):
        with tempfile.TemporaryDirectory() as folder:
            adapter = trained(base, sample(train, round(share * min(rows, len(train)))), folder)
            said.append(f"{share:.0%} {bits_per_byte(fits(base, held, adapter)):.3f}")
    print(f"  learning curve: {', '.join(said)}")


def speed(base: str, passages: Sequence[Passage], rounds: int = 4) -> None:
    """Tokens per second of our training step and of a plain TRL script's, in turn, on the same rows and settings.

    Seconds of one processor, from the end of the first step to the end of the last: what else the machine does meanwhile
    does not count. Ours reports after every step here, which the product does after every fifth or tenth.
    """
    import torch

    torch.set_num_threads(1)
    config = CONFIG.model_copy(update={"epochs": 2.0, "log_every": 1})
    rows = frame(passages)
    ours, plain = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            plain.append(with_plain_trl(config, rows, folder, base))
        with tempfile.TemporaryDirectory() as folder:
            ours.append(with_ours(config, rows, folder, base))
    ratios = [mine / theirs for mine, theirs in zip(ours, plain, strict=True)]
    print(f"\ntokens per processor second, median of {rounds}: ours {statistics.median(ours):,.0f}, plain TRL "
          f"{statistics.median(plain):,.0f}; ratio {statistics.median(ours) / statistics.median(plain):.3f} "
          f"(in turn: {', '.join(f'{one:.3f}' for one in ratios)})")  # fmt: skip


Marks = list[tuple[float, int]]
"""(processor time, tokens seen) at the end of each step."""


def per_second(marks: Marks) -> float:
    (began, before), (ended, after) = marks[0], marks[-1]
    return (after - before) / (ended - began)


def with_ours(config: TrainingConfig, rows: pl.DataFrame, folder: str, base: str) -> float:
    marks: Marks = []
    train_sft(config, rows, Path(folder), base=base, tell=lambda said: marks.append((time.process_time(), said.tokens)))
    return per_second(marks)


def with_plain_trl(config: TrainingConfig, rows: pl.DataFrame, folder: str, base: str) -> float:
    marks: Marks = []
    plain_trl(config, rows, folder, base, step_ended=lambda tokens: marks.append((time.process_time(), tokens)))
    return per_second(marks)


if __name__ == "__main__":
    main()
