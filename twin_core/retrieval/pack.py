"""Choosing passages for a prompt: relevant, unlike each other, and within a budget of tokens.

Maximal marginal relevance over passages that a search has ranked. What a prompt says around them, and how large the
budget is, is decided in `writing/`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from twin_core.records import Passage

RELEVANCE = 0.7
"""Weight of relevance against novelty. At 0.7 only passages that mostly repeat one already chosen fall behind."""

CHARACTERS_PER_TOKEN = 4
"""For a budget without a tokenizer at hand: English prose has a little more in current vocabularies."""


def pack(
    passages: Sequence[Passage],
    vectors: NDArray[np.float32] | None = None,
    *,
    budget_tokens: int,
    count: Callable[[str], int] | None = None,
    relevance: float = RELEVANCE,
) -> list[Passage]:
    """The passages worth their tokens, in the order in which they were chosen.

    `vectors`, one L2-normalised row per passage, says what is alike; without it, shared words do. `count` gives the
    tokens of a text; without it, four characters are one. A passage that does not fit is left out and a later,
    shorter one may still go in. Returns [] when none fits.
    """
    count = count or (lambda text: len(text) // CHARACTERS_PER_TOKEN + 1)
    alike = _by_words(passages) if vectors is None else np.asarray(vectors @ vectors.T, dtype=np.float64)
    chosen, left = [], budget_tokens
    for index in mmr([passage.score for passage in passages], alike, relevance=relevance):
        cost = count(f"{passages[index].context}\n{passages[index].text}")
        if cost <= left:
            chosen.append(passages[index])
            left -= cost
    return chosen


def mmr(scores: Sequence[float], alike: NDArray[np.float64], *, relevance: float = RELEVANCE) -> list[int]:
    """The order of maximal marginal relevance (Carbonell and Goldstein 1998), as indices into `scores`.

    Each step takes the highest `relevance * score - (1 - relevance) * likeness to the most alike one taken`. Scores
    are divided by the highest one, so that they compare with likeness: `alike` is a square matrix with 1 for the same.
    """
    if not scores:
        return []
    worth = np.asarray(scores, dtype=np.float64)
    worth = worth / worth.max() if worth.max() > 0 else np.zeros_like(worth)
    nearest = np.zeros_like(worth)
    remaining = list(range(len(worth)))
    order: list[int] = []
    while remaining:
        value = relevance * worth[remaining] - (1 - relevance) * nearest[remaining]
        order.append(remaining.pop(int(np.argmax(value))))
        nearest = np.maximum(nearest, alike[order[-1]])
    return order


def _by_words(passages: Sequence[Passage]) -> NDArray[np.float64]:
    """Share of common words (Jaccard) between every two passages."""
    words = [set(re.findall(r"\w+", passage.text.lower())) for passage in passages]
    alike = np.eye(len(words))
    for one, first in enumerate(words):
        for other in range(one):
            union = len(first | words[other]) or 1
            alike[one, other] = alike[other, one] = len(first & words[other]) / union
    return alike
