"""Cutting a text into passages that fit a budget of tokens, at the best places that its outline offers.

Pure: positions in, spans out. What a passage carries besides (context, ids) is put together in `chunk.py`.

Greedy from the front, and that on purpose: equal lengths would look better and move every cut when a paragraph is
inserted; so only the cuts between the insertion and the end of its section move, and the other passages keep their
ids and vectors.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from twin_core.features.outline import Mark, Outline

FULL_ENOUGH = 0.4
"""Share of the budget from which a passage may end for the sake of a better place to cut, such as a heading."""
BEGUN = 0.2
"""The same before a section or symbol that does not fit any more: better a short passage than half a function."""
CHARACTERS_PER_TOKEN = 10
"""White space and words beyond a tokenizer's patience cost next to nothing in tokens; people have to read them still."""


class Packer:
    """Cuts one text. `starts` are the starts of its tokens, in characters."""

    def __init__(self, text: str, outline: Outline, starts: Sequence[int]) -> None:
        self.text = text
        self._starts = starts
        self._cuts = outline.cuts
        self._marks = outline.marks
        self._mark_starts = [mark.start for mark in outline.marks]
        self._parents = _parents(outline.marks)

    def next(self, at: int, budget: int) -> int:
        """Where the passage that begins at `at` ends: behind `at`, with at most `budget` tokens in between."""
        reach = self._reach(at, budget)
        least = min(self._reach(at, max(int(budget * FULL_ENOUGH), 1)), reach)
        begun = min(self._reach(at, max(int(budget * BEGUN), 1)), reach)
        heading = self._section(at, begun, least, reach)
        if heading is not None:
            return heading
        if reach >= len(self.text):
            return len(self.text)
        for positions in self._cuts:
            index = bisect_right(positions, reach) - 1
            if index >= 0 and positions[index] > max(at, least - 1):
                return positions[index]
        return reach

    def path(self, start: int, end: int) -> list[str]:
        """The labels of the sections or symbols that the passage is in, outermost first.

        Of several beside each other it names what they share: the passage itself shows which they are.
        """
        around = self._around(start)
        inside = range(bisect_right(self._mark_starts, start), bisect_left(self._mark_starts, end))
        if inside:
            shallowest = min(self._marks[index].depth for index in inside)
            around = [mark for mark in around if mark.depth < shallowest]
        return [mark.label for mark in around if mark.label]

    def _section(self, at: int, begun: int, least: int, reach: int) -> int | None:
        """The first section within reach that the passage should end before. One above the present one ends it anyway."""
        around = self._around(at)
        depth = around[-1].depth if around else 1
        for index in range(bisect_right(self._mark_starts, at), bisect_right(self._mark_starts, reach)):
            mark = self._marks[index]
            if (
                mark.start >= least
                or (mark.start >= begun and mark.end > reach)
                or (mark.depth < depth and not self.text[at : mark.start].isspace())
            ):
                return mark.start
        return None

    def _around(self, at: int) -> list[Mark]:
        """The marks whose extent holds the position, outermost first."""
        found: list[Mark] = []
        index = bisect_right(self._mark_starts, at) - 1
        while index >= 0:
            if self._marks[index].end > at:
                found.append(self._marks[index])
            index = self._parents[index]
        return found[::-1]

    def _reach(self, at: int, budget: int) -> int:
        """The farthest end that holds at most `budget` tokens (and so many characters)."""
        index = bisect_left(self._starts, at) + budget
        by_tokens = self._starts[index] if index < len(self._starts) else len(self.text)
        return max(min(by_tokens, at + budget * CHARACTERS_PER_TOKEN, len(self.text)), at + 1)


def _parents(marks: Sequence[Mark]) -> list[int]:
    """For each mark the index of the one around it, or -1."""
    parents: list[int] = []
    open_ones: list[int] = []
    for index, mark in enumerate(marks):
        while open_ones and marks[open_ones[-1]].end <= mark.start:
            open_ones.pop()
        parents.append(open_ones[-1] if open_ones else -1)
        open_ones.append(index)
    return parents
