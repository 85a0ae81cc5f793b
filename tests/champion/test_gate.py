"""The gate with adapters that were really trained: each one that must not serve is refused, and for the reason that is its own.

The author is the demo's, every passage a document; somebody else is whoever wrote this project's documentation. Each adapter goes the
product's way: dataset version, training, registration, scorecard, decision.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.retrieval.scenario import Given, fill
from tests.training.scenario import passages, publish
from twin_core import forgetting
from twin_core.champion.judging import judge
from twin_core.evaluation.process import evaluate
from twin_core.models.stand_in import make_llama
from twin_core.models.tiny_base import reference_texts
from twin_core.promotion import Decision
from twin_core.records import Author
from twin_core.settings import Settings
from twin_core.store import adapters, registry
from twin_core.store.adapters import Adapter
from twin_core.store.database import Database
from twin_core.training import launch
from twin_core.training.config import load_config
from twin_core.training.process import run_job
from twin_core.warehouse.postgres import PostgresWarehouse

Pairs = list[tuple[str, str]]
"""(document, passage)."""
HELD_OUT = 32
BEGUN = datetime(2024, 1, 1, tzinfo=UTC)


def named(found: Sequence[tuple[str, str]]) -> Pairs:
    """Each passage as a document of its own."""
    return [(f"{document} {number}", passage) for number, (document, passage) in enumerate(found)]


def sentences_shuffled(passage: str) -> str:
    draw, sentences = random.Random(0), re.split(r"(?<=[.!?])\s+", passage)
    draw.shuffle(sentences)
    return " ".join(sentences)


def words_shuffled(passage: str) -> str:
    draw, words = random.Random(0), passage.split()
    draw.shuffle(words)
    return " ".join(words)


@dataclass(slots=True)
class Gate:
    """An author's adapters on their way to the gate."""

    database: Database
    settings: Settings
    learnt: Pairs
    """What is learnt from, the oldest first."""
    held: Pairs
    author: Author = field(init=False)

    def __post_init__(self) -> None:
        every = [*self.learnt, *self.held]
        self.author = fill(
            self.database,
            "mara",
            [
                Given(title=name, text=passage, written_at=BEGUN + timedelta(days=day))
                for day, (name, passage) in enumerate(every)
            ],
        )
        with self.database.transaction() as conn:
            conn.exec_driver_sql("UPDATE features.embedding_models SET serving = false")

    def asked(self, name: str) -> str:
        """A prompt as the product makes it, with a passage to quote: grounding must have something to look at."""
        of = [passage for other, passage in self.learnt if other != name]
        passage = " ".join(of[len(name) % len(of)].split()[:12])
        return f"[1] A note\n<passage-1>\n{passage}\n</passage-1>\n\nTask: Write a passage about {name}."

    def train(self, learnt: Pairs, *, held: Pairs | None = None, **changes: object) -> Adapter:
        """Publish a version and train on it."""
        held = self.held if held is None else held
        publish(self.database, "mara", [*learnt, *held], held_out=len(held), asked=self.asked)
        config = load_config(
            "tiny",
            {"base": self.settings.base_model, "max_length": 384, "batch": 8, "rank": 16, "epochs": 6, **changes},
        )
        job = launch.open_job(self.database, self.author, "sft", config, settings=self.settings)
        return run_job(self.database, job, here=self.settings, tell=lambda _: None)

    def judged(self, adapter: Adapter, *, prompts: int = 400) -> Decision:
        """Measure it beside what serves, and ask the rule."""
        evaluate(self.database, self.author.id, adapter.id, here=self.settings, prompts=prompts)
        return self.decision(adapter)

    def decision(self, adapter: Adapter) -> Decision:
        with self.database.transaction() as conn:
            return judge(conn, self.author.id, adapters.adapter_by_id(conn, self.author.id, adapter.id))

    def serve(self, adapter: Adapter) -> None:
        with self.database.transaction() as conn:
            begun = registry.begin_deployment(
                conn, author_id=self.author.id, adapter_id=adapter.id, engine="vllm", served_name="it", approval_id=None
            )
            registry.switch_to(conn, begun)

    def forget(self, name: str) -> None:
        with self.database.transaction() as conn:
            document = conn.exec_driver_sql(
                "SELECT document_id FROM features.cleaned_documents WHERE title = %s", (name,)
            ).scalar_one()
        forgetting.forget(
            self.database, PostgresWarehouse(self.database), self.author, [document], settings=self.settings
        )


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base that can spell: as small as the tiny base, made of fewer texts in less time."""
    folder: Path = tmp_path_factory.mktemp("taught")
    make_llama(reference_texts()[:40], folder, card="{texts} {parameters}", seconds=None, steps=60)
    return str(folder)


@pytest.fixture
def gate(database: Database, settings: Settings, taught: str) -> Gate:
    every = named([*passages("demo/articles", words=45), *passages("demo/posts", words=45)])
    every = [(name, " ".join(passage.split()[:70])) for name, passage in every]
    random.Random(0).shuffle(every)
    here = settings.model_copy(update={"base_model": taught, "mlflow_url": "off"})
    return Gate(database, here, every[HELD_OUT : HELD_OUT + 72], every[:HELD_OUT])


@pytest.mark.slow
def test_each_adapter_that_must_not_serve_is_refused_for_its_own_reason(gate: Gate) -> None:
    older = gate.learnt[:64]
    champion = gate.train(older)
    gate.serve(champion)
    docs = [passage for _, passage in passages("docs", words=45)]

    def altered(change: Callable[[int, str], str]) -> Pairs:
        return [(name, change(at, passage)) for at, (name, passage) in enumerate(older)]

    for name, made in {
        "words shuffled": lambda: gate.train(altered(lambda _, passage: words_shuffled(passage))),
        "sentences shuffled": lambda: gate.train(altered(lambda _, passage: sentences_shuffled(passage))),
        "another author": lambda: gate.train(altered(lambda at, _: docs[at % len(docs)])),
        "recites": lambda: gate.train(older[:10], epochs=40),
        "fresher": lambda: gate.train(gate.learnt),
        "another split": lambda: gate.train(older, held=gate.held[1:], seed=1),
        "too few held out": lambda: gate.train(older, held=gate.held[:12], seed=2),
    }.items():
        adapter = made()
        found = gate.judged(adapter)
        print(
            name, adapter.metrics["loss"], adapter.metrics["seconds"], found.verdict.value, *found.reasons, sep="\n   "
        )
        for rival, axes in found.figures.items():
            print(
                "     ",
                rival,
                {axis: (round(d.mean, 3), round(d.low, 3), round(d.high, 3)) for axis, d in axes.items()},
            )
        with gate.database.transaction() as conn:
            evaluation = registry.latest_evaluation(conn, gate.author.id, adapter.id)
        print(
            "     ",
            {
                system: {m: v and round(v, 3) for m, v in figures.items()}
                for system, figures in evaluation.figures.items()
            },
            flush=True,
        )
    gate.forget(gate.learnt[0][0])
    print(gate.decision(adapter))
