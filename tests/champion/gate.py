"""An author at the gate: adapters that are really trained, measured and judged. For the test and for `benchmarks/gate.py`.

The author is the demo's, every passage a document; somebody else is whoever wrote this project's documentation. Each adapter goes the
product's way: dataset version, training, registration, scorecard, decision.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.retrieval.scenario import Given, fill
from tests.training.scenario import passages, publish
from twin_core import forgetting
from twin_core.champion.judging import judge
from twin_core.evaluation.process import evaluate
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
HELD_OUT, LEARNT, NEWER = 32, 64, 8
"""Documents: held out, learnt by the champion, and written since."""
WORDS = 70
"""Of a passage at most; style needs forty."""
BEGUN = datetime(2024, 1, 1, tzinfo=UTC)
QUICK: dict[str, object] = {
    "max_length": 384, "batch": 8, "accumulate": 1, "rank": 16, "epochs": 24, "learning_rate": 5e-4
}  # fmt: skip
"""Slowly and for long: at the tiny profile's rate two adapters of one dataset differ by more than the gate lets a fresher one lose."""


def own_passages() -> Pairs:
    """Of the demo author, each as a document of its own, in an order that mixes them."""
    found = [*passages("demo/articles", words=45), *passages("demo/posts", words=45)]
    random.Random(0).shuffle(found)
    wanted = found[: HELD_OUT + LEARNT + NEWER]
    return [(f"{name} {number}", " ".join(text.split()[:WORDS])) for number, (name, text) in enumerate(wanted)]


def others_passages() -> list[str]:
    """Of this project's documentation."""
    return [text for _, text in passages("docs", words=45)]


def shuffled(passage: str, pieces: str) -> str:
    """The passage with its pieces, cut where the pattern matches, in random order."""
    cut = re.split(pieces, passage)
    random.Random(0).shuffle(cut)
    return " ".join(cut)


@dataclass(slots=True)
class Gate:
    """The author's documents, and the way of an adapter to the gate."""

    database: Database
    settings: Settings
    every: Pairs = field(default_factory=own_passages)
    author: Author = field(init=False)
    versions: dict[tuple[tuple[str, str], ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        dated = [*self.held, *self.learnt, *self.newer]  # what was written since is the newest
        self.author = fill(
            self.database,
            "mara",
            [
                Given(title=name, text=text, written_at=BEGUN + timedelta(days=day))
                for day, (name, text) in enumerate(dated)
            ],
        )
        with self.database.transaction() as conn:
            conn.exec_driver_sql("UPDATE features.embedding_models SET serving = false")

    @property
    def held(self) -> Pairs:
        return self.every[:HELD_OUT]

    @property
    def learnt(self) -> Pairs:
        return self.every[HELD_OUT : HELD_OUT + LEARNT]

    @property
    def newer(self) -> Pairs:
        return self.every[HELD_OUT + LEARNT :]

    def asked(self, name: str) -> str:
        """For a draft, with a passage to quote, as the product's prompts have."""
        return f"{self._quoted(name)}\n\nTask: Write a passage about {name}."

    def question(self, name: str) -> str:
        """For an answer from that passage: what grounding is measured on."""
        return f"{self._quoted(name)}\n\nQuestion: What did you write about {name}?"

    def _quoted(self, name: str) -> str:
        others = [text for other, text in self.learnt if other != name]
        quoted = " ".join(others[len(name) % len(others)].split()[:12])
        return f"[1] A note\n<passage-1>\n{quoted}\n</passage-1>"

    def add_rival(self) -> None:
        """An adapter of another author on the same base, barely trained: beside a champion the rule does not ask for it."""
        author, version = publish(self.database, "dan", own_passages()[:8], held_out=1)
        config = load_config("tiny", {"base": self.settings.base_model, **QUICK, "max_steps": 2})
        job = launch.open_job(self.database, author, "sft", config, settings=self.settings, dataset=version)
        run_job(self.database, job, here=self.settings, tell=lambda _: None)

    def train(self, learnt: Pairs, *, held: Pairs | None = None, **changes: object) -> Adapter:
        """Publish a version, unless it is there, and train on it."""
        held = self.held if held is None else held
        both = (*learnt, *held)
        if both not in self.versions:
            self.versions[both] = publish(
                self.database, "mara", both, held_out=len(held), asked=self.asked, question=self.question
            )[1]
        config = load_config("tiny", {"base": self.settings.base_model, **QUICK, **changes})
        job = launch.open_job(
            self.database, self.author, "sft", config, settings=self.settings, dataset=self.versions[both]
        )
        return run_job(self.database, job, here=self.settings, tell=lambda _: None)

    def evaluate(self, adapter: Adapter, answers: int) -> registry.Evaluation:
        """Measure it beside the base, somebody else's adapter and what serves."""
        return evaluate(self.database, self.author.id, adapter.id, here=self.settings, prompts=answers)

    def decision(self, adapter: Adapter) -> Decision:
        with self.database.transaction() as conn:
            return judge(conn, self.author.id, adapters.adapter_by_id(conn, self.author.id, adapter.id))

    def serve(self, adapter: Adapter) -> None:
        """Make it the champion, without a server."""
        with self.database.transaction() as conn:
            begun = registry.begin_deployment(
                conn, author_id=self.author.id, adapter_id=adapter.id, engine="vllm", served_name="it", approval_id=None
            )
            registry.switch_to(conn, begun)

    def forget(self, name: str) -> None:
        """Forget a document, as people do."""
        with self.database.transaction() as conn:
            document = conn.exec_driver_sql(
                "SELECT document_id FROM features.cleaned_documents WHERE title = %s", (name,)
            ).scalar_one()
        warehouse = PostgresWarehouse(self.database)
        forgetting.forget(self.database, warehouse, self.author, [document], settings=self.settings)


def altered(learnt: Pairs, texts: Sequence[str]) -> Pairs:
    """The same documents with other words."""
    return [(name, texts[at % len(texts)]) for at, (name, _) in enumerate(learnt)]
