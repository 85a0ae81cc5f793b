"""Citations: which labels an answer names, and what each label stands for. Pure functions over text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from twin_core.records import Category, Passage
from twin_core.store.traces import TracePassage

_CODE = re.compile(r"(```|~~~).*?(\1|\Z)|`[^`\n]*`", re.DOTALL)
# [1], [1, 2], [1-3]; not [1](link), which is a link whose text is a number.
_LABELS = re.compile(r"\[(\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*)\](?!\()")
_RANGE = re.compile(r"(\d+)\s*[–-]\s*(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """One passage that an answer was given, and whether the answer names it."""

    label: int
    """The number in square brackets, from 1."""
    chunk_id: UUID
    document_id: UUID
    revision_id: UUID
    category: Category
    title: str
    location: str
    written_at: datetime | None
    start: int
    end: int
    """Offsets into the cleaned text of the revision, in characters."""
    text: str
    score: float
    cited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkUse:
    """A linked page that a draft was given: other people's words, and whether the draft names it."""

    label: int
    url: str
    title: str
    text: str
    """What was quoted of it, from its beginning."""
    characters: int
    """Of its whole main text."""
    written_at: datetime | None
    cited: bool


def cited_labels(answer: str, known: Iterable[int]) -> frozenset[int]:
    """The labels that the answer names outside code, of those that exist: what a model invents is dropped."""
    exist = frozenset(known)
    prose = _CODE.sub(" ", answer)
    named: set[int] = set()
    for group in _LABELS.finditer(prose):
        for first, last in _RANGE.findall(group[1]):
            named.update(label for label in exist if int(first) <= label <= int(last))
        named.update(int(number) for number in re.findall(r"\d+", group[1]))
    return exist & named


def citations(passages: Sequence[Passage], answer: str = "") -> list[Citation]:
    """Every passage as a citation, labelled from 1 in this order, marked where the answer names it."""
    cited = cited_labels(answer, range(1, len(passages) + 1))
    return [
        Citation(
            label=label,
            chunk_id=passage.chunk_id,
            document_id=passage.document_id,
            revision_id=passage.revision_id,
            category=passage.category,
            title=passage.title,
            location=passage.location,
            written_at=passage.written_at,
            start=passage.start,
            end=passage.end,
            text=passage.text,
            score=passage.score,
            cited=label in cited,
        )
        for label, passage in enumerate(passages, start=1)
    ]


def kept(given: Iterable[Citation]) -> list[TracePassage]:
    """Citations as a trace keeps them."""
    return [
        TracePassage(
            label=one.label,
            chunk_id=one.chunk_id,
            document_id=one.document_id,
            revision_id=one.revision_id,
            start=one.start,
            end=one.end,
            text=one.text,
            score=one.score,
            cited=one.cited,
        )
        for one in given
    ]
