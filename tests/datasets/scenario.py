"""An author with dated texts and the feature stages over them, and builds of her dataset: plain steps.

The texts are made of words drawn by a seed, so that no two passages are alike by chance and none is anybody's.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from tests.collect.scripted import found
from tests.features.scenario import Bench
from twin_core.datasets.build import build_instruct
from twin_core.datasets.measures import Measures, Verdict
from twin_core.datasets.versions import Built
from twin_core.records import Category, Found

BEGUN = datetime(2024, 1, 1, tzinfo=UTC)
_NOUNS = "harbour rope lamp tide anchor sail wharf gull crate barrel ledger compass storm jetty buoy plank cable hull deck winch rudder mast beacon shoal current lantern kettle stove bunk galley pilot skipper crew cargo chart sextant".split()  # noqa: SIM905  a list of words reads best as one
_VERBS = "mend carry watch paint weigh count hoist lower sell borrow trim splice sound bail stow tar scrub haul".split()  # noqa: SIM905  a list of words reads best as one
_ADVERBS = "slowly gladly twice never often alone early late badly well again quietly upstream ashore".split()  # noqa: SIM905  a list of words reads best as one


def prose(seed: int, sentences: int = 12) -> str:
    """Sentences that share no run of thirteen words with those of another seed."""
    draw = random.Random(seed)
    lines = [
        f"I {draw.choice(_VERBS)} the {draw.choice(_NOUNS)} {draw.choice(_ADVERBS)} and {draw.choice(_VERBS)} "
        f"a {draw.choice(_NOUNS)} before the {draw.choice(_NOUNS)} number {draw.randrange(1000)}."
        for _ in range(sentences)
    ]
    return " ".join(lines)


def dated(item: Found, day: int) -> Found:
    return replace(item, written_at=BEGUN + timedelta(days=day))


def article(number: int, body: str | None = None, *, day: int | None = None) -> Found:
    text = f"# Note {number}\n\n{prose(number) if body is None else body}\n"
    return dated(found(f"{number}.md", text), number if day is None else day)


def post(number: int, body: str | None = None) -> Found:
    text = prose(number + 10_000, 3) if body is None else body
    return dated(found(f"post-{number}.md", text, category=Category.POST), number)


def code(number: int) -> Found:
    draw = random.Random(number)
    names = [f"{draw.choice(_VERBS)}_{draw.choice(_NOUNS)}_{draw.randrange(10_000)}" for _ in range(12)]
    body = "\n".join(f"    {name} = {other}({draw.randrange(10_000)})" for name, other in pairwise(names))
    text = f'def {names[0]}(value):\n    """{draw.choice(_VERBS).title()} it."""\n{body}\n    return {names[-2]}\n'
    return dated(found(f"{number}.py", text, category=Category.CODE), number)


class Writer(Bench):
    """The author. `write(...)` says what there is now and brings the features up to date.

    Vectors take a second of a real model, so they are made only where a test asks for prompts with context.
    """

    def write(self, *items: Found, embedded: bool = False) -> None:
        self.prepare(*items)
        if embedded:
            self.embed()

    def build(self, *, validate=None, **options: object) -> Built:
        return build_instruct(
            self.database,
            self.author,
            settings=self.settings,
            validate=validate or (lambda measures: Verdict(passed=True, findings=(), report="")),
            **options,  # type: ignore[arg-type]
        )


class Recorder:
    """A validator that lets everything through and keeps what it was shown."""

    def __init__(self) -> None:
        self.measures: list[Measures] = []

    def __call__(self, measures: Measures) -> Verdict:
        self.measures.append(measures)
        return Verdict(passed=True, findings=(), report="")
