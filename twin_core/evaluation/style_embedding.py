"""Style as an embedding model sees it that was trained to see style, where one is named (TWIN_STYLE_MODEL).

The cosine of an answer with the centroid of the author's training texts, 0 to 1; the author's own held-out text, measured the same way,
is the ceiling. Nobody can say what such a model looks at, so it stands beside the stylometry of `style.py` and no gate reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin_core.errors import InvalidInput, TwinError
from twin_core.evaluation.content import Encoder, Remembering
from twin_core.evaluation.grounding import unlabelled
from twin_core.evaluation.pieces import Paragraphs, beginning, spread
from twin_core.evaluation.prose import prose
from twin_core.evaluation.style import enough
from twin_core.models.embedder import embedder_of
from twin_core.models.embedding_model import model_named
from twin_core.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRIC = "style_embedding"
SETTING = "TWIN_STYLE_MODEL"
WORDS = 120
"""Of a text that is embedded, at most, and of each that the centroid is made of: like is compared with like, and it fits any window."""
MOST_TEXTS = 500
"""In the centroid. A mean of so many vectors is settled to the third digit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleEmbedding:
    """A model, and where the author lies in it."""

    model_id: str
    encoder: Encoder
    centroid: NDArray[np.float32]
    """Of length 1."""
    texts: int
    """That it was made of."""


def style_embedding(settings: Settings, training: Sequence[str]) -> StyleEmbedding | None:
    """The model that the settings name, loaded, with the centroid of these texts of the author; None where none is named.

    Raises InvalidInput when it cannot be loaded or there is too little prose, ServiceUnavailable when it must be downloaded
    and the hub does not answer.
    """
    if not settings.style_model:
        return None
    texts = ["\n".join(piece) for piece in spread([prose(text) for text in training], WORDS, MOST_TEXTS)]
    if not texts:
        raise InvalidInput(
            f"The author's training texts hold less than {WORDS} words of prose: too little for a style embedding. Add a source, or "
            f"unset {SETTING}."
        )
    try:
        model = model_named(settings.style_model, setting=SETTING)
        encoder = Remembering(embedder_of(model, settings))
        centre = encoder.encode(texts).mean(axis=0)
    except TwinError:
        raise
    except Exception as error:
        why = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise InvalidInput(
            f"The style model {settings.style_model} cannot be loaded ({why}). Set {SETTING} to a sentence-transformers model with its "
            "weights as safetensors, or unset it."
        ) from error
    return StyleEmbedding(
        model_id=model.id, encoder=encoder, centroid=centre / np.linalg.norm(centre), texts=len(texts)
    )


def closeness(answers: Sequence[str], own: StyleEmbedding, *, counts: Sequence[bool]) -> NDArray[np.float64]:
    """One cosine per answer; not a number on prompts that do not count, because the author's text there is too short to have a style.

    An answer too short to be scored, where the author wrote enough, is 0: saying little gains nothing.
    """
    found = np.where(counts, 0.0, np.nan)
    read = {
        at: text
        for at, (answer, measured) in enumerate(zip(answers, counts, strict=True))
        if measured and enough(text := own_words(answer))
    }
    if read:
        vectors = own.encoder.encode(["\n".join(beginning(text, WORDS)) for text in read.values()])
        found[list(read)] = np.maximum(vectors @ own.centroid, 0)
    return found


def own_words(text: str) -> Paragraphs:
    """What is read of a text for its manner: its prose, without the labels of citations."""
    return unlabelled(prose(text))
