"""Documents cut into texts of one length: a hundred words say less about their author than three hundred do.

Everything that is compared is compared at like length. Short documents are joined; which documents a text came from is
kept, so that a bootstrap can draw documents and not texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Paragraphs = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A text of one length, and the indices of the documents it was cut from."""

    paragraphs: Paragraphs
    documents: tuple[int, ...]


def pieces(documents: Sequence[Paragraphs], words: int, *, order: Sequence[int] | None = None) -> list[Piece]:
    """Texts of exactly `words` words, from the documents laid end to end in `order`; the rest at the end is left."""
    made: list[Piece] = []
    current: list[str] = []
    sources: list[int] = []
    missing = words
    for index in order if order is not None else range(len(documents)):
        for paragraph in documents[index]:
            rest = paragraph.split()
            while rest:
                taken, rest = rest[:missing], rest[missing:]
                current.append(" ".join(taken))
                missing -= len(taken)
                if not sources or sources[-1] != index:
                    sources.append(index)
                if not missing:
                    made.append(Piece(tuple(current), tuple(sources)))
                    current, sources, missing = [], [], words
    return made


def beginning(paragraphs: Paragraphs, words: int) -> Paragraphs:
    """The first so many words of a text, or all that it has."""
    there = sum(len(paragraph.split()) for paragraph in paragraphs)
    return pieces([paragraphs], min(words, there))[0].paragraphs if there else ()


def spread(documents: Sequence[Paragraphs], words: int, most: int) -> list[Paragraphs]:
    """At most so many pieces of `words` words, taken evenly from beginning to end."""
    cut = pieces(documents, words)
    count = min(most, len(cut))
    return [cut[at * len(cut) // count].paragraphs for at in range(count)]
