"""Similarity of character n-grams (TF-IDF) to the author's centroid: endings, spellings, favourite turns.

The one axis that sees the subject too, since an n-gram does not know which word it is part of; read it beside the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin_core.evaluation.habits import Habits

LENGTHS = (3, 4)
FEATURES = 3000


@dataclass(frozen=True, slots=True)
class Centroid:
    """The mean direction of the author's texts."""

    vectorizer: Any
    direction: NDArray[np.float64]


def centroid(texts: Sequence[Habits]) -> Centroid:
    """The author's centroid, from texts of like length."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=LENGTHS, max_features=FEATURES, sublinear_tf=True)
    mean = np.asarray(vectorizer.fit_transform([text.text for text in texts]).mean(axis=0)).ravel()
    return Centroid(vectorizer, mean / np.linalg.norm(mean))


def similarities(texts: Sequence[Habits], author: Centroid) -> NDArray[np.float64]:
    """Cosine to the author's centroid, one per text: 0 to 1, higher is closer."""
    found: NDArray[np.float64] = author.vectorizer.transform([text.text for text in texts]) @ author.direction
    return found
