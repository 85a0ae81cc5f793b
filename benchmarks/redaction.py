"""Precision and recall of redaction on the planted set, per kind, and megabytes per second.

    python benchmarks/redaction.py [--seeds N] [--show]

A planted thing counts as found when exactly it was replaced, by the right placeholder: half a key is a miss. Everything
else that was replaced, in 200 passages that only look like it as well, counts as wrong. Goal: 0.95 each. The speed is
that of 10,000 passages of about 1,000 characters, made of ../shared/corpora where it lies beside the checkout, else of
the planted set.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.datasets.planted import KINDS, look_alikes, planted  # noqa: E402
from twin_core.text.redact import findings, redact  # noqa: E402

GOAL = 0.95


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=1, help="Planted sets of 200, each from a seed of its own.")
    arguments.add_argument("--show", action="store_true", help="Print what was missed and what was wrong.")
    chosen = arguments.parse_args()
    console = Console()
    seeds = range(4, 4 + chosen.seeds)
    positive = [case for seed in seeds for case in planted(seed)]
    negative = [case for seed in seeds for case in look_alikes(seed)]

    table = Table("kind", "planted", "found", "wrong", "precision", "recall", title="Redaction of a planted set")
    for kind in KINDS:
        cases = [case for case in positive if case.kind == kind]
        missed = [case for case in cases if redact(case.text).text != case.text.replace(case.secret, f"<{kind}>")]
        wrong = [
            case.text[one.start : one.end]
            for case in (*positive, *negative)
            for one in findings(case.text)
            if one.kind == kind and not (case.kind == kind and case.text[one.start : one.end] == case.secret)
        ]
        found = len(cases) - len(missed)
        precision, recall = found / max(1, found + len(wrong)), found / len(cases)
        mark = "" if min(precision, recall) >= GOAL else " (below the goal)"
        table.add_row(kind, str(len(cases)), str(found), str(len(wrong)), f"{precision:.3f}", f"{recall:.3f}{mark}")
        if chosen.show:
            for case in missed:
                console.print(f"missed {kind}: {case.text!r}", markup=False)
            for one in wrong:
                console.print(f"wrong {kind}: {one!r}", markup=False)
    console.print(table)
    touched = sum(bool(findings(case.text)) for case in negative)
    console.print(f"Of {len(negative)} passages with nothing to redact, {touched} were touched.")

    passages, where = _passages([case.text for case in (*positive, *negative)])
    size = sum(len(text.encode()) for text in passages)
    started = time.perf_counter()
    for text in passages:
        redact(text)
    seconds = time.perf_counter() - started
    console.print(
        f"{len(passages):,} passages of {where}, {size / 1e6:.1f} MB: {seconds:.1f} s, {size / seconds / 1e6:.2f} MB/s"
    )


def _passages(planted_texts: list[str]) -> tuple[list[str], str]:
    folder = ROOT.parent / "shared" / "corpora"
    files = sorted(folder.rglob("*.md"))
    text = "\n\n".join(file.read_text(errors="replace") for file in files) or "\n\n".join(planted_texts)
    cut = [text[at : at + 1000] for at in range(0, len(text), 1000)]
    repeated = [cut[number % len(cut)] for number in range(10_000)]
    return repeated, "the corpora" if files else "the planted set"


if __name__ == "__main__":
    main()
