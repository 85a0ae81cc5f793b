"""Does it sound like the author? A one-class measure: only the author's own texts are needed to make it.

    own = profile(texts_of_the_author)
    style_score(text, own).total   # 0 is typical of the author, -1 is one standard deviation less like them

Each axis is a module of its own. Here they are calibrated and combined. Calibrated: every axis is a z-score against
texts of the author that the profile did not see (folds by document), at the length of the text, because a short text strays further
by chance. Combined: Fisher's discriminant, with the axes' correlations taken from the author and the directions from how far authors in
general lie apart on each axis (SEPARATION). A plain sum of z-scores is worse than its best part, because weak axes count
as much as strong ones.

The score sees no order beyond two neighbouring words: shuffled sentences keep it (`fit.py` sees that), and a copy has the
best of all (`safety.py` sees that).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin_core.errors import InvalidInput
from twin_core.evaluation import burrows, characters, likelihood, shapes
from twin_core.evaluation.function_words import FUNCTION_WORDS
from twin_core.evaluation.habits import Habits, habits, together
from twin_core.evaluation.pieces import Paragraphs, pieces
from twin_core.evaluation.population import KINDS, Kind, Population, english, measured
from twin_core.evaluation.prose import prose

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEPARATION = {
    "phrases": 2.2,
    "function_words": 1.95,
    "marks": 1.35,
    "burrows": 0.35,
    "punctuation": 0.65,
    "sentence_length": 0.3,
    "casing": 0.3,
    "characters": 0.8,
}
"""How many standard deviations of an author's own texts others lie below them, at 100 to 300 words: means over 27 authors of
the reference population, each against those of its half, by a population made of the other half (two-fold)."""
AXES = tuple(SEPARATION)
PIECE = 200
"""Words of the texts that the axes are fitted on."""
CALIBRATED = (50, 100, 200, 400)
"""Lengths in words at which the author's own texts are scored; between them is interpolated, beyond them not."""
FOLDS = 5
FEWEST_PIECES = 20
"""At a length with fewer texts of the author's own there is no telling what is usual."""
FEWEST_WORDS = 2_500
"""Of an author. At so few, where nought lies is itself uncertain by half a standard deviation: compare two scores, do not read one."""
SHORTEST = 40
"""Words of a text below which every author looks like every other."""
FURTHEST = 6.0
"""An axis speaks up to so many standard deviations: the tails are heavier than normal, and one axis must not decide alone."""
SHRINKAGE = 0.3
"""Of the correlations towards none (Ledoit and Wolf 2004), which keeps the discriminant stable on few texts. From 0.05 to 0.5 the
results differ in the third digit."""


@dataclass(frozen=True, slots=True)
class StyleScore:
    """How a text stands among texts of its length by the author: z-scores, 0 typical, lower is less like the author."""

    total: float
    axes: Mapping[str, float]
    words: int


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Every axis, fitted on some of the author's texts."""

    rates: Mapping[Kind, likelihood.Rates]
    frequencies: burrows.Frequencies
    shapes: shapes.Shapes
    centroid: characters.Centroid


@dataclass(frozen=True, slots=True)
class StyleProfile:
    """What is needed to score a text against one author. Holds counts and rates, of n-grams of characters too."""

    function_words: Collection[str]
    folds: tuple[_Fitted, ...]
    """One per fold, each without a fifth of the documents. A text is scored by their mean, because a profile of everything
    would be better than those that the author's own texts were scored with, and every new text would look too good."""
    lengths: NDArray[np.float64]
    """Logarithms of the calibrated lengths, shape (L,)."""
    centre: NDArray[np.float64]
    """Of the author's own texts, shape (L, axes)."""
    scale: NDArray[np.float64]
    """The same, one standard deviation."""
    weights: NDArray[np.float64]
    total_centre: NDArray[np.float64]
    total_scale: NDArray[np.float64]


def profile(
    texts: Sequence[str], *, language: str = "en", population: Mapping[Kind, Population] | None = None
) -> StyleProfile:
    """The author's profile from their documents (Markdown or plain text); seconds for 100,000 words.

    `population` replaces the table that comes with the product, for whom it does not stand for. A language other than English
    has no table: the author's commonest words are then the function words, and others are assumed to do as the
    author does, only with a wider spread. Raises InvalidInput when the author has written too little.
    """
    documents = [found for text in texts if (found := prose(text))]
    return profile_of(documents, language=language, population=population)


def profile_of(
    documents: Sequence[Paragraphs], *, language: str = "en", population: Mapping[Kind, Population] | None = None
) -> StyleProfile:
    """The same, from documents that are prose already (`prose.prose`)."""
    _enough_documents(documents)
    words: Collection[str] = FUNCTION_WORDS if language == "en" else _commonest(documents)
    order = np.random.default_rng(0).permutation(len(documents)).tolist()
    if population is None:
        population = english() if language == "en" else _nobody_in_particular(documents, words)
    folds: list[_Fitted] = []
    own: dict[int, list[NDArray[np.float64]]] = {length: [] for length in CALIBRATED}
    for fold in range(FOLDS):
        others = [index for at, index in enumerate(order) if at % FOLDS != fold]
        rest = _fit(_cut(documents, others, PIECE, words), population)
        folds.append(rest)
        for length in CALIBRATED:
            unseen = _cut(documents, order[fold::FOLDS], length, words)
            if unseen:
                own[length].append(_raw(unseen, rest))
    stacked = {length: np.vstack(found) for length, found in own.items() if sum(map(len, found)) >= FEWEST_PIECES}
    centre = np.array([np.median(found, axis=0) for found in stacked.values()])
    scale = np.array([_spread(found) for found in stacked.values()])
    scored = [_standard(found, centre[row], scale[row]) for row, found in enumerate(stacked.values())]
    weights = _discriminant(np.vstack(scored))
    totals = [found @ weights for found in scored]
    return StyleProfile(
        function_words=words,
        folds=tuple(folds),
        lengths=np.log(np.array(list(stacked), dtype=float)),
        centre=centre,
        scale=scale,
        weights=weights,
        total_centre=np.array([np.median(found) for found in totals]),
        total_scale=np.array([_spread(found[:, None])[0] for found in totals]),
    )


def style_score(text: str, own: StyleProfile) -> StyleScore:
    """How much a text sounds like the author of the profile.

    Raises InvalidInput below SHORTEST words of prose. Longer than the longest calibrated length, a text is judged as if it
    had that length, which is mild.
    """
    return score_of(prose(text), own)


def score_of(paragraphs: Paragraphs, own: StyleProfile) -> StyleScore:
    """The same, of a text that is prose already."""
    read = habits(paragraphs, own.function_words)
    if read.length < SHORTEST:
        raise InvalidInput(
            f"A style score needs at least {SHORTEST} words of prose; here are {read.length}. Score a longer text, or several together."
        )
    total, axes = scores([read], own)
    return StyleScore(float(total[0]), dict(zip(AXES, axes[0].tolist(), strict=True)), read.length)


def scores(texts: Sequence[Habits], own: StyleProfile) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Totals, shape (texts,), and axes in the order of AXES, shape (texts, axes), of texts that are counted already."""
    at = np.log([max(text.length, 1) for text in texts])

    def interpolated(table: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack([np.interp(at, own.lengths, column) for column in table.T])

    axes = _standard(
        np.mean([_raw(texts, fold) for fold in own.folds], axis=0), interpolated(own.centre), interpolated(own.scale)
    )
    totals = (axes @ own.weights - np.interp(at, own.lengths, own.total_centre)) / np.interp(
        at, own.lengths, own.total_scale
    )
    return totals, axes


def enough(paragraphs: Paragraphs) -> bool:
    """Whether a text is as long as a score of style needs."""
    return habits(paragraphs, ()).length >= SHORTEST


def _enough_documents(documents: Sequence[Paragraphs]) -> None:
    lengths = [sum(len(paragraph.split()) for paragraph in document) for document in documents]
    if sum(lengths) < FEWEST_WORDS or len(documents) < FOLDS:
        raise InvalidInput(
            f"A style profile needs at least {FEWEST_WORDS:,} words of prose in {FOLDS} documents; here are {sum(lengths):,} words in "
            f"{len(documents)}. Add a source and run `twin sync`."
        )
    if sum(lengths) - max(lengths) < FEWEST_WORDS / 2:
        raise InvalidInput(
            f"One document holds {max(lengths):,} of {sum(lengths):,} words of prose: what is the author's habit and what is that text's "
            f"cannot be told apart. At least {FEWEST_WORDS // 2:,} words must stand in others."
        )


def _cut(documents: Sequence[Paragraphs], order: Sequence[int], length: int, words: Collection[str]) -> list[Habits]:
    return [habits(piece.paragraphs, words) for piece in pieces(documents, length, order=order)]


def _fit(texts: Sequence[Habits], population: Mapping[Kind, Population]) -> _Fitted:
    return _Fitted(
        {kind: likelihood.rates(texts, kind, population[kind]) for kind in KINDS},
        burrows.frequencies(texts),
        shapes.shapes(together(texts)),
        characters.centroid(texts),
    )


def _raw(texts: Sequence[Habits], fitted: _Fitted) -> NDArray[np.float64]:
    """Every axis, higher is closer, in the order of AXES; shape (texts, axes)."""
    apart = shapes.distances(texts, fitted.shapes)
    return np.column_stack(
        [
            likelihood.log_ratios(texts, fitted.rates["phrases"]),
            likelihood.log_ratios(texts, fitted.rates["words"]),
            likelihood.log_ratios(texts, fitted.rates["marks"]),
            -burrows.deltas(texts, fitted.frequencies),
            -apart["punctuation"],
            -apart["sentence_length"],
            -apart["casing"],
            characters.similarities(texts, fitted.centroid),
        ]
    )


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the distance between the 16th and the 84th percentile: a standard deviation that outliers do not stretch."""
    low, high = np.quantile(values, [0.1587, 0.8413], axis=0)
    spread: NDArray[np.float64] = np.maximum((high - low) / 2, 1e-9)
    return spread


def _standard(
    values: NDArray[np.float64], centre: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    clipped: NDArray[np.float64] = np.clip((values - centre) / scale, -FURTHEST, FURTHEST)
    return clipped


def _discriminant(own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fisher's weights, none below 0: no axis may count closeness against a text."""
    from scipy.optimize import nnls

    correlations = np.corrcoef(own, rowvar=False)
    shrunk = (1 - SHRINKAGE) * correlations + SHRINKAGE * np.eye(len(AXES))
    # The best non-negative w of w'd - w'Rw/2, as least squares: R = LL', |L'w - L^-1 d|.
    lower = np.linalg.cholesky(shrunk)
    apart = np.array([SEPARATION[axis] for axis in AXES])
    weights: NDArray[np.float64] = nnls(lower.T, np.linalg.solve(lower, apart))[0]
    weights /= weights.sum()
    return weights


def _commonest(documents: Sequence[Paragraphs]) -> frozenset[str]:
    counts = Counter(
        word for document in documents for paragraph in document for word in paragraph.lower().split() if word.isalpha()
    )
    return frozenset(word for word, _ in counts.most_common(burrows.COMMONEST))


def _nobody_in_particular(documents: Sequence[Paragraphs], words: Collection[str]) -> dict[Kind, Population]:
    return measured([together([habits(document, words) for document in documents])])
