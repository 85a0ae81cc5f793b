"""Is the content measure straight? Does it tell what an answer is about, whatever its length? (docs/evaluate.md)

    python benchmarks/content.py [--documents 150]

The first 80 words of a note are what an answer is held against. The right answer is the words that follow in the same note, the wrong one
comes from the second halves of the author's other notes. Printed: how often the right one has the higher figure, at equal length and at
unequal ones, and what a wrong answer gains by being 120 words long instead of 30, as a share of the gap between right and wrong. Uses the
demo's articles, and ../shared/corpora where it is there.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from twin_core.evaluation.content import Remembering, content
from twin_core.evaluation.prose import prose
from twin_core.models.embedder import embedder
from twin_core.settings import Settings

ROOT = Path(__file__).parents[1]
CORPORA = ROOT.parent / "shared" / "corpora"
REFERENCE = 80
METRICS = ("content", "similarity", "chrf", "chrf at one length", "rouge_l", "bleu")
COLUMNS = ("60 against 60", "30 against 120", "100 against 30", "right, 60 words", "wrong, 60 words", "gain by length")
Words = list[str]
Figures = dict[str, NDArray[np.float64]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", type=int, default=150, help="Of an author, at most.")
    asked = arguments.parse_args()
    encoder = Remembering(embedder(Settings(_env_file=None)))
    for folder in (ROOT / "demo" / "articles", CORPORA / "simonw_til", CORPORA / "jbranchaud_til"):
        if not folder.is_dir():
            print(f"Nothing at {folder}: not measured.")
            continue
        Console(width=150).print(measured(folder.name, long_enough(folder, asked.documents), encoder))


def long_enough(folder: Path, most: int) -> list[Words]:
    """Notes of 180 words of prose and more, in an order that mixes them."""
    found = [" ".join(prose(path.read_text(encoding="utf-8"))).split() for path in sorted(folder.rglob("*.md"))]
    kept = [words for words in found if len(words) >= REFERENCE + 100]
    random.Random(0).shuffle(kept)
    return kept[:most]


def measured(name: str, notes: list[Words], encoder: Remembering) -> Table:
    right = {length: figures([right_answer(n, length) for n in notes], notes, encoder) for length in (30, 60, 100)}
    others = range(len(notes))
    wrong = {
        length: figures([wrong_answer(notes, at, length) for at in others], notes, encoder) for length in (30, 60, 120)
    }
    table = Table("measure", *COLUMNS, title=f"{name}: {len(notes)} notes; right above wrong, by words of each")
    for metric in METRICS:
        mine, theirs = ({length: one[metric] for length, one in side.items()} for side in (right, wrong))
        gap = (mine[60] - theirs[60]).mean()
        table.add_row(
            metric,
            *(f"{above(mine[a], theirs[b]):.3f}" for a, b in ((60, 60), (30, 120), (100, 30))),
            f"{mine[60].mean():.3f}",
            f"{theirs[60].mean():.3f}",
            f"{(theirs[120] - theirs[30]).mean() / gap:.2f}",
        )
    return table


def right_answer(note: Words, length: int) -> str:
    return " ".join(note[REFERENCE : REFERENCE + length])


def wrong_answer(notes: list[Words], at: int, length: int) -> str:
    """Out of the note seven places on; where that is too short, the next one's goes on."""
    words = [word for step in (7, 8, 9) for word in notes[(at + step) % len(notes)][REFERENCE:]]
    return " ".join(words[:length])


def figures(answers: Sequence[str], notes: list[Words], encoder: Remembering) -> Figures:
    references = [" ".join(note[:REFERENCE]) for note in notes]
    found = content(answers, references, encoder)
    cut = [one_length(*pair) for pair in zip(answers, references, strict=True)]
    short = content([answer for answer, _ in cut], [reference for _, reference in cut], None)
    given = {metric: np.array([one[metric] for one in found]) for metric in found[0]}
    return given | {"chrf at one length": np.array([one["chrf"] for one in short])}


def one_length(one: str, other: str) -> tuple[str, str]:
    length = min(len(one.split()), len(other.split()))
    return " ".join(one.split()[:length]), " ".join(other.split()[:length])


def above(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """The share of notes on which the right answer is higher; ties count half."""
    return float(((mine > theirs) + (mine == theirs) / 2).mean())


if __name__ == "__main__":
    main()
