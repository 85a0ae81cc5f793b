"""Does the gate refuse what must not serve, each for its own reason? With adapters that are really trained. (docs/evaluate.md)

    python benchmarks/gate.py [--only NAME ...] [--base FOLDER] [--answers N]

A champion is trained on the demo author, then challengers beside it: on the author's words in random order, on sentences in random
order, on another author's text, on ten passages, and so long that it recites them, on what was written since. Each goes the product's way:
dataset version, training, registration, scorecard, decision. Ends with 1 when one is judged otherwise than it must be. Takes about
20 minutes of two processors; uses a Postgres of its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.retrieval import scratch  # noqa: E402
from tests.champion.gate import Gate, altered, others_passages, shuffled  # noqa: E402
from twin_core.models.tiny_base import ensure_tiny_base  # noqa: E402
from twin_core.promotion import TRAINING_TEXT, Decision, Verdict  # noqa: E402
from twin_core.runtime.urls import url_for  # noqa: E402
from twin_core.settings import Settings  # noqa: E402
from twin_core.store.adapters import Adapter  # noqa: E402
from twin_core.store.database import Database  # noqa: E402

WORDS, SENTENCES = r"\s+", r"(?<=[.!?])\s+"


@dataclass(frozen=True, slots=True)
class Case:
    """A challenger, and what the gate must say of it."""

    name: str
    train: Callable[[Gate], Adapter]
    verdict: Verdict
    reason: str
    answers: int = 96


CASES = (
    Case(
        "words shuffled",
        lambda gate: gate.train(altered(gate.learnt, [shuffled(text, WORDS) for _, text in gate.learnt])),
        Verdict.REFUSED,
        "guardrail of fit",
    ),
    Case(
        "sentences shuffled",
        lambda gate: gate.train(altered(gate.learnt, [shuffled(text, SENTENCES) for _, text in gate.learnt])),
        Verdict.NOT_BETTER,
        "not shown to be better",
    ),
    Case(
        "another author",
        lambda gate: gate.train(altered(gate.learnt, others_passages())),
        Verdict.REFUSED,
        "not by the hand",
    ),
    Case("ten passages", lambda gate: gate.train(gate.learnt[:10], epochs=40), Verdict.REFUSED, "guardrail of fit"),
    # An adapter on a base of this size does not get so far as to recite; all of its weights do.
    Case(
        "recites",
        lambda gate: gate.train(gate.learnt[:10], peft="none", learning_rate=3e-3, batch=5, epochs=100),
        Verdict.REFUSED,
        "guardrail of safety",
    ),
    # That style was not lost takes more answers to say than that it was gained.
    Case("fresher", lambda gate: gate.train([*gate.learnt, *gate.newer]), Verdict.FRESHER, "are newer than all", 384),
)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", nargs="*", choices=[case.name for case in CASES], default=[])
    arguments.add_argument("--base", type=Path, help="A base model. Default: the tiny base, made now.")
    arguments.add_argument("--answers", type=int, help="Of each system. Default: 96, for the fresher one 384.")
    asked = arguments.parse_args()
    table = Table("challenger", "style", "fit", "content", "grounding", "safety", "what it learnt", "verdict", "reason")
    wrong = []
    with taught(asked.base) as settings:
        database = Database(url_for(settings))
        gate = Gate(database, settings)
        gate.add_rival()
        gate.serve(gate.train(gate.learnt))
        for case in CASES:
            if asked.only and case.name not in asked.only:
                continue
            began, adapter = time.process_time(), case.train(gate)
            evaluation = gate.evaluate(adapter, asked.answers or case.answers)
            decision = gate.decision(adapter)
            shown = [reason for reason in decision.reasons if case.reason in reason] or decision.reasons
            table.add_row(case.name, *_axes(decision), f"{evaluation.figures[TRAINING_TEXT]['style']:+.2f}",
                          decision.verdict.value, shown[0])  # fmt: skip
            print(
                f"{case.name}: {time.process_time() - began:.0f} processor seconds",
                *decision.reasons,
                sep="\n  ",
                flush=True,
            )
            if decision.verdict is not case.verdict or not any(case.reason in reason for reason in decision.reasons):
                wrong.append(f"{case.name} must be {case.verdict.value}: {case.reason}")
        database.close()
    Console(width=200).print(table)
    print(*wrong or ["Each is judged as it must be."], sep="\n")
    return int(bool(wrong))


def _axes(decision: Decision) -> list[str]:
    figures = decision.figures.get("champion", {})
    axes = ("style", "fit", "content", "grounding", "safety")
    return [
        f"{(one := figures[axis]).mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]" if axis in figures else ""
        for axis in axes
    ]


@contextmanager
def taught(base: Path | None) -> Iterator[Settings]:
    """Settings with a Postgres of their own and a base that can spell; gone afterwards."""
    with scratch(postgres_shared_buffers="512MB", mlflow_url="off", role_secret="bench") as settings:
        if base is None:
            base = ensure_tiny_base(settings.home.parent / "models")
        yield settings.model_copy(update={"base_model": str(base)})


if __name__ == "__main__":
    raise SystemExit(main())
