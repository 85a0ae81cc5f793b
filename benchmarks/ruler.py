"""Is the ruler straight? The style measure, measured on two real authors (docs/evaluate.md).

    python benchmarks/ruler.py [--halvings 20]

Each author's notes are halved by chance; the profile is made of one half alone, and texts of the other half and of all
of the other author's notes are scored. Needs the collections at ../shared/corpora; without them it says so and ends.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from twin_core.evaluation.habits import Habits, habits
from twin_core.evaluation.pieces import Paragraphs, Piece, pieces
from twin_core.evaluation.prose import prose
from twin_core.evaluation.ruler import area, area_interval
from twin_core.evaluation.style import AXES, StyleProfile, profile_of, scores

CORPORA = Path(__file__).parents[2] / "shared" / "corpora"
AUTHORS = ("simonw_til", "jbranchaud_til")
GOALS = {300: 0.95, 100: 0.85}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--halvings", type=int, default=20)
    asked = arguments.parse_args()
    if not CORPORA.is_dir():
        sys.exit(f"Nothing measured: no collections at {CORPORA}.")
    notes = {author: read(CORPORA / author) for author in AUTHORS}
    for author, documents in notes.items():
        print(f"{author}: {len(documents)} notes, {sum(len(p.split()) for d in documents for p in d):,} words of prose")
    for author, other in (AUTHORS, AUTHORS[::-1]):
        attribution(author, notes[author], other, notes[other])
    for author in AUTHORS:
        against_themselves(author, notes[author], asked.halvings)
    for author, other in (AUTHORS, AUTHORS[::-1]):
        orderings(author, notes[author], other, notes[other])


def read(folder: Path) -> list[Paragraphs]:
    return [found for path in sorted(folder.rglob("*.md")) if (found := prose(path.read_text(encoding="utf-8")))]


def halves(documents: Sequence[Paragraphs], seed: int) -> tuple[list[Paragraphs], list[Paragraphs]]:
    order = list(documents)
    random.Random(seed).shuffle(order)
    return order[: len(order) // 2], order[len(order) // 2 :]


def counted(cut: Sequence[Piece], own: StyleProfile) -> list[Habits]:
    return [habits(piece.paragraphs, own.function_words) for piece in cut]


def attribution(author: str, documents: list[Paragraphs], other: str, others: list[Paragraphs]) -> None:
    seen, unseen = halves(documents, 0)
    own = profile_of(seen)
    for words, goal in GOALS.items():
        mine, theirs = pieces(unseen, words), pieces(others, words)
        my_total, my_axes = scores(counted(mine, own), own)
        their_total, their_axes = scores(counted(theirs, own), own)
        print(f"\nProfile of {author}, {words} words: {len(mine)} texts of the author, {len(theirs)} of {other}")
        print(f"{'axis':18}{'AUC':>7}   95 % interval by notes     weight")
        rows = [("style (combined)", my_total, their_total, None)]
        rows += [(axis, my_axes[:, i], their_axes[:, i], own.weights[i]) for i, axis in enumerate(AXES)]
        for name, positive, negative, weight in rows:
            low, high = area_interval(positive, mine, negative, theirs)
            beside = "" if weight is None else f"{weight:10.2f}"
            print(f"{name:18}{area(positive, negative):7.3f}   {low:.3f} to {high:.3f}      {beside:>10}")
        reached = area(my_total, their_total)
        print(f"goal {goal:.2f}: {'reached' if reached >= goal else 'NOT reached'}", flush=True)


def against_themselves(author: str, documents: list[Paragraphs], halvings: int) -> None:
    """One half plays the author (and is halved again), the other half plays somebody else."""
    for words in GOALS:
        found = []
        for seed in range(halvings):
            one, elsewhere = halves(documents, seed)
            seen, unseen = halves(one, seed)
            own = profile_of(seen)
            mine = scores(counted(pieces(unseen, words), own), own)[0]
            found.append(area(mine, scores(counted(pieces(elsewhere, words), own), own)[0]))
        print(
            f"\n{author} against themselves, {words} words, {halvings} halvings: mean AUC {np.mean(found):.3f} "
            f"(from {min(found):.3f} to {max(found):.3f}); must lie in 0.47 to 0.53",
            flush=True,
        )


def orderings(author: str, documents: list[Paragraphs], other: str, others: list[Paragraphs]) -> None:
    """What stands above what, in mean score, at 300 words."""
    seen, unseen = halves(documents, 0)
    own = profile_of(seen)
    kinds = {
        "verbatim copies of what the profile saw": pieces(seen, 300),
        "the author, unseen": pieces(unseen, 300),
        "the same, sentences shuffled": pieces([shuffled(document) for document in unseen], 300),
        f"the other author ({other})": pieces(others, 300),
        "what a model of another text writes": pieces([babble(manual(), 300 * 40)], 300),
        "the same of a model of the author": pieces([babble(seen, 300 * 40)], 300),
        "the author's words in random order": pieces([salad(unseen)], 300),
    }
    print(f"\nStyle score of 300 words, profile of {author}: 0 is typical")
    for name, cut in kinds.items():
        total, _ = scores(counted(cut, own), own)
        print(f"{name:42}{total.mean():8.2f}   ({len(cut)} texts)", flush=True)


def shuffled(document: Paragraphs) -> Paragraphs:
    sentences = [s for paragraph in document for s in re.split(r"(?<=[.!?])\s+", paragraph)]
    random.Random(len(sentences)).shuffle(sentences)
    return tuple(sentences)


def manual() -> list[Paragraphs]:
    """English that every Python comes with: its language reference."""
    from pydoc_data.topics import topics

    return [found for text in topics.values() if (found := prose(text))]


def babble(documents: Sequence[Paragraphs], words: int) -> Paragraphs:
    """What a weak model of these documents writes: each word drawn after the one before it, from their pairs."""
    following: dict[str, Counter[str]] = {}
    text = " ".join(paragraph for document in documents for paragraph in document).split()
    for first, second in pairwise(text):
        following.setdefault(first, Counter())[second] += 1
    draw = random.Random(0)
    said = [draw.choice(text)]
    while len(said) < words:
        after = following.get(said[-1])
        said.append(draw.choices(list(after), list(after.values()))[0] if after else draw.choice(text))
    return (" ".join(said),)


def salad(documents: Sequence[Paragraphs]) -> Paragraphs:
    text = " ".join(paragraph for document in documents for paragraph in document).split()
    random.Random(0).shuffle(text)
    return (" ".join(text),)


if __name__ == "__main__":
    main()
