"""Cutting a cleaned document into passages to learn from: sections, posts, functions.

These are no retrieval chunks: a chunk fits an embedding model's window, a passage is long enough to have a voice.
What others wrote inside a document is cut out here; whether enough is left is decided in `filters.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from twin_core.features.clean import THIRD_PARTY
from twin_core.features.outline import Mark, outline
from twin_core.features.packing import Packer
from twin_core.records import Category, CleanedDocument
from twin_core.text.fingerprint import word_starts, words

PASSAGES_VERSION = "1"
"""Raise it when the same document gives other passages."""

LONGEST = 400
"""Words of a passage, where the text can be cut: about a screen and a half, 600 tokens."""
TAIL = 60
"""Words at the end of a document that stay with the passage before them."""

_GAPS = re.compile(r"\n{3,}")
_HEADING = re.compile(r"\A#{1,6} [^\n]*(?:\n+|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A passage of one document: `document.text[start:end]` without what others wrote and without its own heading."""

    document: CleanedDocument
    start: int
    end: int
    text: str
    path: tuple[str, ...]
    """Headings, or the names of symbols, that it lies under, outermost first."""
    whole: bool
    """Whether it is all of its document."""
    others: float
    """Share of its characters that others wrote, 0 to 1."""


def sections(document: CleanedDocument) -> list[Section]:
    """The passages of a document, in order. What is between two functions of a file is left out."""
    quoted = third_party(document)
    spans = list(_code(document) if document.category == Category.CODE else _prose(document))
    return [_section(document, start, end, path, quoted) for start, end, path in spans]


def third_party(document: CleanedDocument) -> list[tuple[int, int]]:
    """What others wrote, as merged spans: what the cleaner found to be quoted, forwarded or replied to."""
    stated = document.metadata.get(THIRD_PARTY)
    spans = [
        (max(one[0], 0), min(one[1], len(document.text)))
        for one in (stated if isinstance(stated, list) else [])
        if isinstance(one, list) and len(one) >= 2 and isinstance(one[0], int) and isinstance(one[1], int)
    ]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _prose(document: CleanedDocument) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    text = document.text
    starts = word_starts(text)
    packer = Packer(text, outline(text, document.category, document.language), starts)
    at = 0
    while at < len(text):
        end = packer.next(at, LONGEST)
        if sum(start >= end for start in starts[-TAIL:]) < TAIL:
            end = len(text)
        yield at, end, tuple(packer.path(at, end))
        at = end


def _code(document: CleanedDocument) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """The innermost symbols; a file without any as prose is cut."""
    marks = outline(document.text, document.category, document.language).marks
    around: list[Mark] = []
    found = False
    for index, mark in enumerate(marks):
        while around and around[-1].end <= mark.start:
            around.pop()
        after = marks[index + 1] if index + 1 < len(marks) else None
        if after is None or after.start >= mark.end:
            found = True
            yield mark.start, mark.end, tuple(one.label for one in [*around, mark])
        around.append(mark)
    if not found:
        yield from _prose(document)


def _section(
    document: CleanedDocument, start: int, end: int, path: tuple[str, ...], quoted: Sequence[tuple[int, int]]
) -> Section:
    kept, at, cut = [], start, 0
    for first, last in quoted:
        if last <= start or first >= end:
            continue
        kept.append(document.text[at : max(first, at)])
        cut += min(last, end) - max(first, start)
        at = max(min(last, end), at)
    text = "".join([*kept, document.text[at:end]])
    if document.category != Category.CODE:
        text = _HEADING.sub("", _GAPS.sub("\n\n", text).strip())
    return Section(
        document=document,
        start=start,
        end=end,
        text=text.strip("\n").rstrip(),
        path=path,
        whole=start == 0 and end >= len(document.text.rstrip()),
        others=cut / (end - start),
    )


def count_words(text: str) -> int:
    """Words, by the same measure everywhere: one per character in scripts without spaces."""
    return len(words(text))
