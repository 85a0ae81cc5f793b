"""What an answer must not do: recite training text, or give away personal data and secrets.

Copies are looked for where they cannot be chance, from eight words on, and what stands in the retrieved passages may be repeated:
quoting what was just looked up is the product's purpose. What is personal data is decided in `text/redact.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from twin_core.evaluation.sentences import words
from twin_core.text.redact import findings

GRAM = 8
"""Words. Two people share seven in a row by chance ("at the end of the day it is"); eight hardly ever."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of an answer, in characters, that stands word for word in a training text."""

    start: int
    end: int
    words: int


@dataclass(frozen=True, slots=True)
class Copied:
    """What of an answer stands in the training texts and not in its context."""

    longest: int
    """Words of the longest copied span; 0 when none has eight."""
    share: float
    """Of the answer's eight-word windows; 0 when it has none."""
    spans: tuple[Span, ...]
    """Copied stretches, in order; overlapping ones joined."""


class TrainingText:
    """Everything an adapter was trained on, indexed by eight words. Made once, asked per answer. Holds words: never store it."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._words: list[str] = []
        self._places: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for text in texts:
            own = [word.text for word in words(text)]
            base = len(self._words)
            self._words += [*own, ""]  # the empty word ends every match at the end of its text
            for at in range(len(own) - GRAM + 1):
                self._places[tuple(own[at : at + GRAM])].append(base + at)

    def copied(self, answer: str, *, context: Sequence[str] = ()) -> Copied:
        """What the answer copies. Windows that stand in `context` (passages, prompt) too are not counted."""
        allowed = {gram for text in context for gram in _grams([word.text for word in words(text)])}
        said = words(answer)
        own = [word.text for word in said]
        grams = _grams(own)
        taken = [gram in self._places and gram not in allowed for gram in grams]
        longest = max((self._length(own, at, allowed) for at, copied in enumerate(taken) if copied), default=0)
        spans: list[Span] = []
        at = 0
        while at < len(taken):
            if not taken[at]:
                at += 1
                continue
            last = at
            while last + 1 < len(taken) and taken[last + 1]:
                last += 1
            spans.append(Span(said[at].start, said[last + GRAM - 1].end, last + GRAM - at))
            at = last + 1
        return Copied(longest, sum(taken) / len(taken) if taken else 0.0, tuple(spans))

    def _length(self, own: list[str], at: int, allowed: set[tuple[str, ...]]) -> int:
        """Words of the longest match that begins here, in one training text, up to where the context allows it."""
        best = 0
        for place in self._places[tuple(own[at : at + GRAM])]:
            length = GRAM
            while (
                at + length < len(own)
                and self._words[place + length] == own[at + length]
                and tuple(own[at + length - GRAM + 1 : at + length + 1]) not in allowed
            ):
                length += 1
            best = max(best, length)
        return best


def personal_data(answer: str, *, context: Sequence[str] = (), keep: Sequence[str] = ()) -> dict[str, int]:
    """Personal data and secrets in an answer by kind, less what its context says too and what the author made public (`keep`)."""
    known = " ".join(context).casefold()
    counts: defaultdict[str, int] = defaultdict(int)
    for found in findings(answer, keep=keep):
        if answer[found.start : found.end].casefold() not in known:
            counts[found.kind] += 1
    return dict(sorted(counts.items()))


def _grams(own: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(own[at : at + GRAM]) for at in range(len(own) - GRAM + 1)]
