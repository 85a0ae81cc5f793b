"""The demo author's own texts, and texts that are not theirs, as plain values."""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path

from twin_core.evaluation.pieces import Paragraphs
from twin_core.evaluation.prose import prose

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
