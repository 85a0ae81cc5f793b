"""The demo author's own texts, and texts that are not theirs, as plain values."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

from twin_core.evaluation.content import Remembering
from twin_core.evaluation.fit import Fit
from twin_core.evaluation.pieces import Paragraphs
from twin_core.evaluation.prose import prose
from twin_core.evaluation.safety import TrainingText
from twin_core.evaluation.scorecard import Case, Ruler, Scorecard, scorecard
from twin_core.evaluation.style import profile_of
from twin_core.models.embedder import embedder
from twin_core.settings import Settings

ROOT = Path(__file__).parents[2]


@cache
def demo_documents() -> tuple[Paragraphs, ...]:
    """Mara's articles and posts as prose, in an order drawn once."""
    files = sorted((ROOT / "demo" / "articles").glob("*.md")) + sorted((ROOT / "demo" / "posts").glob("*.md"))
    documents = [prose(file.read_text(encoding="utf-8")) for file in files]
    random.Random(1).shuffle(documents)
    return tuple(documents)


@cache
def own_documentation() -> tuple[Paragraphs, ...]:
    """The project's documentation: somebody else's prose about software."""
    files = sorted((ROOT / "docs").rglob("*.md"))
    return tuple(
        found for file in files if file.name != "settings.md" and (found := prose(file.read_text(encoding="utf-8")))
    )


def shuffled_sentences(document: Paragraphs) -> Paragraphs:
    sentences = [s for paragraph in document for s in re.split(r"(?<=[.!?])\s+", paragraph)]
    random.Random(len(sentences)).shuffle(sentences)
    return tuple(sentences)


def _parted(count: int) -> list[str]:
    return [" ".join(document) for document in demo_documents()[1::2]][:count]


DRAFTS = tuple(
    Case(
        document=f"d{index // 2}",
        prompt=f"Write about matter {index}.",
        reference=text[:1200],
        passages=("The winter list has 40 entries. Nobody reads it twice.",),
    )
    for index, text in enumerate(_parted(24))
)
QUESTIONS = tuple(replace(case, question=True) for case in DRAFTS[::2])
CASES = (*DRAFTS, *QUESTIONS)
GROUNDED = "The winter list has 40 entries [1]."


@cache
def ruler() -> Ruler:
    seen = demo_documents()[::2]
    return Ruler(
        profile=profile_of(seen),
        training=TrainingText([" ".join(document) for document in seen]),
        encoder=Remembering(embedder(Settings(_env_file=None))),
    )


def answers() -> dict[str, list[str]]:
    """A base that writes like a manual, a twin that writes like the author (of other matters), and one that recites."""
    manual = " ".join(paragraph for document in own_documentation() for paragraph in document).split()
    own = " ".join(paragraph for document in demo_documents()[1::2] for paragraph in document).split()
    seen = " ".join(paragraph for document in demo_documents()[::2] for paragraph in document).split()
    cut = lambda source, index: " ".join(source[index * 90 : index * 90 + 90])  # noqa: E731
    return {
        name: [f"{cut(source, index)} {GROUNDED}" for index in range(len(DRAFTS))] + [GROUNDED] * len(QUESTIONS)
        for name, source in (("base", manual), ("twin", own), ("parrot", seen))
    }


def fits(bits: float) -> list[Fit | None]:
    drafts = [Fit(bits * len(case.reference), len(case.reference), 100) for case in DRAFTS]
    return [*drafts, *[None] * len(QUESTIONS)]


@cache
def card(challenger: str = "twin") -> Scorecard:
    return scorecard(
        CASES,
        answers(),
        ruler(),
        challenger=challenger,
        fits={"base": fits(2.0), "twin": fits(1.5), "parrot": fits(1.4)},
    )
