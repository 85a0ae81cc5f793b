"""Sentences of a text with their place in it, and words as they are compared: in lower case, without marks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9À-Þ])|\n+")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|cf|etc|vs|Mr|Mrs|Ms|Dr|St|No|p|pp)\.$")
_WORD = re.compile(r"[^\W_]+(?:['’.,:-][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Word:
    """A word in lower case, and its offsets in characters."""

    text: str
    start: int
    end: int


def words(text: str) -> list[Word]:
    """The words and numbers of a text, in order."""
    return [Word(found.group().lower().replace("’", "'"), found.start(), found.end()) for found in _WORD.finditer(text)]


def sentences(text: str) -> list[str]:
    """The sentences of a text, stripped, none empty. A line break ends one; `e.g.` does not."""
    return [sentence for sentence in _cut(text) if sentence]


def _cut(text: str) -> Iterator[str]:
    start = 0
    for end in _END.finditer(text):
        if "\n" not in end.group() and _ABBREVIATION.search(text[start : end.start()]):
            continue
        yield text[start : end.end()].strip()
        start = end.end()
    yield text[start:].strip()
