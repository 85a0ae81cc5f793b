"""The arithmetic of BM25: how much a word weighs, and which words are too common to be worth summing.

Pure functions over counts; the counts come from `store/bm25.py`, which also does the summing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from twin_core.store.bm25 import Term

COMMON = 0.1
"""Share of an author's chunks above which a word is left out, as long as a rarer one is in the query."""

COUNT_TO_AT_LEAST = 2_000
"""Words in fewer chunks than this are never left out: summing them costs a millisecond, and in a small corpus the
words of the subject itself are in every tenth chunk."""


def common_above(chunks: int) -> int:
    """The document frequency from which a word is common, among so many chunks."""
    return max(COUNT_TO_AT_LEAST, math.ceil(chunks * COMMON))


def idf(frequency: int, chunks: int) -> float:
    """Inverse document frequency as in Lucene and bm25s: ln(1 + (N - n + 0.5) / (n + 0.5)). Never negative."""
    return math.log1p((chunks - frequency + 0.5) / (frequency + 0.5))


def prune(terms: Sequence[Term], *, common: int) -> list[Term]:
    """The terms worth summing: no stop words and no common words, unless there is nothing else in the query.

    A word counts as common from `common` chunks on. At 100k chunks the common words of a question touch nearly all
    postings that it touches, and move its ranking least.
    """
    telling = [term for term in terms if not term.stop] or list(terms)
    return [term for term in telling if term.frequency < common] or telling


def weights(terms: Sequence[Term], chunks: int) -> dict[str, float]:
    """Lexeme -> inverse document frequency."""
    return {term.lexeme: idf(min(term.frequency, chunks), chunks) for term in terms}
