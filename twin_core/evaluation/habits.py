"""A text read once: the counts on which every axis of style is computed. What they mean is in the axes' own modules."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

_TOKEN = re.compile(
    r"(?P<word>[^\W\d_]+(?:['-][^\W\d_]+)*)|(?P<number>\d+(?:[.,]\d+)*)|(?P<mark>\.\.\.|--+|[^\w\s])|(?P<other>\S)"
)
_PICTURES = frozenset({"So", "Sk"})
EMOJI = "☺"
"""All emoji are one mark: using them is the habit, which one is the subject."""
NOT_MARKS = frozenset("{}[]<>=$\\^~`|_*+")
"""What code, mathematics and markup leave behind."""
_ENDS = frozenset({".", "!", "?", "..."})
CONTENT, NUMBER = "W", "0"
"""What stands for a word of the subject and for a figure in a phrase."""
CASES = ("lower", "Capitalised", "UPPER", "miXed", "lower at the start")


@dataclass(frozen=True, slots=True)
class Habits:
    """What was counted in one text. Only `text` still holds its subject."""

    length: int
    """Words."""
    words: Counter[str]
    """Function words, in lower case."""
    marks: Counter[str]
    phrases: Counter[str]
    """Pairs of neighbours, every word of the subject written as one letter (text distortion, Stamatatos 2017)."""
    sentences: tuple[int, ...]
    """Words per sentence."""
    casing: tuple[int, ...]
    """Words by CASES: those inside sentences, then sentences that start small."""
    text: str


def habits(paragraphs: Sequence[str], function_words: Collection[str]) -> Habits:
    """Count the habits of a text given as paragraphs of prose (`prose.prose`). A phrase never spans two paragraphs."""
    words: Counter[str] = Counter()
    marks: Counter[str] = Counter()
    phrases: Counter[str] = Counter()
    casing = [0] * len(CASES)
    sentences: list[int] = []
    length = 0
    for paragraph in paragraphs:
        masked: list[str] = []
        so_far = 0
        for found in _TOKEN.finditer(paragraph):
            token, kind = found.group(), found.lastgroup
            if kind == "word":
                small = token.lower()
                known = small in function_words
                if known:
                    words[small] += 1
                masked.append(small if known else CONTENT)
                case = _case(token)
                if so_far:
                    casing[case] += 1
                elif case == 0:
                    casing[4] += 1
                so_far += 1
            elif kind == "number":
                masked.append(NUMBER)
            elif token not in NOT_MARKS:
                mark = EMOJI if unicodedata.category(token[0]) in _PICTURES else token
                marks[mark] += 1
                masked.append(mark)
                if token in _ENDS and so_far:
                    sentences.append(so_far)
                    length += so_far
                    so_far = 0
        if so_far:
            sentences.append(so_far)
            length += so_far
        phrases.update(f"{first} {second}" for first, second in pairwise(masked))
    return Habits(length, words, marks, phrases, tuple(sentences), tuple(casing), "\n".join(paragraphs))


def together(parts: Sequence[Habits]) -> Habits:
    """The habits of several texts counted as one."""
    words: Counter[str] = Counter()
    marks: Counter[str] = Counter()
    phrases: Counter[str] = Counter()
    for part in parts:
        words.update(part.words)
        marks.update(part.marks)
        phrases.update(part.phrases)
    casing = tuple(sum(counts) for counts in zip(*(part.casing for part in parts), strict=True)) or (0,) * len(CASES)
    return Habits(
        sum(part.length for part in parts),
        words,
        marks,
        phrases,
        tuple(length for part in parts for length in part.sentences),
        casing,
        "\n".join(part.text for part in parts),
    )


def _case(word: str) -> int:
    if word.islower():
        return 0
    if word == "I" or word.startswith("I'"):
        return 0  # English leaves no choice
    if word[0].isupper() and word[1:].islower():
        return 1
    return 2 if word.isupper() else 3
