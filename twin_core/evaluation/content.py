"""Does an answer say what the author said there? Likeness in characters, words, order and meaning.

All are low when two people answer one question well in their own ways; only differences between two systems on the same prompts
say something. The guardrail reads `content`, which is made from the cosine of embeddings: chrF, BLEU and ROUGE rise with the length of
an answer more than with its subject (`benchmarks/content.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from twin_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray


HIGHEST_FLOOR = 0.95
"""Cosine, at most, that counts as 0."""


class Encoder(Protocol):
    """What turns texts into vectors of length 1: `models.embedder.Embedder`."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


class Remembering:
    """An encoder that encodes each text once: several systems are compared with the same references."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, NDArray[np.float32]] = {}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row per text."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._encoder.encode(new), strict=True))
        return np.array([self._known[text] for text in texts])


def content(
    answers: Sequence[str],
    references: Sequence[str],
    encoder: Encoder | None,
    *,
    documents: Sequence[str] | None = None,
) -> list[dict[str, float]]:
    """chrF, BLEU, ROUGE-L and with an encoder `similarity` and `content`, one dict per answer.

    chrF and BLEU are sacrebleu's for single sentences, divided by 100; BLEU with effective order, so that a short
    answer is not 0 for want of four-grams. `similarity` is the cosine of embeddings. `content` is the same on a scale that does not
    depend on the encoder: 0 is as near as the author's texts about other matters are (`other_matters`), 1 is what the author wrote. An
    answer further off than those is below 0. An empty answer is 0, and of `content` 0 at most. `documents` says which document each
    reference is from; by default each is one of its own. Raises InvalidInput for an empty reference.
    """
    if len(answers) != len(references):
        raise InvalidInput(f"{len(answers)} answers need as many references; here are {len(references)}.")
    if not all(reference.strip() for reference in references):
        raise InvalidInput("A reference is empty: there is nothing to compare with. Leave that document out.")
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    chrf, bleu, rouge = CHRF(), BLEU(effective_order=True), RougeScorer(["rougeL"], use_stemmer=False)
    found = [
        {
            "chrf": chrf.sentence_score(answer, [reference]).score / 100,
            "bleu": bleu.sentence_score(answer, [reference]).score / 100,
            "rouge_l": float(rouge.score(reference, answer)["rougeL"].fmeasure),
        }
        for answer, reference in zip(answers, references, strict=True)
    ]
    if encoder is not None:
        elsewhere = other_matters(references, documents or references, encoder)
        for one, similarity, answer in zip(found, _similarities(answers, references, encoder), answers, strict=True):
            value = (similarity - elsewhere) / (1 - elsewhere)
            one["similarity"] = similarity
            one["content"] = value if answer.strip() else min(value, 0.0)
    return found


def other_matters(references: Sequence[str], documents: Sequence[str], encoder: Encoder) -> float:
    """The mean cosine of two references from different documents; 0 where there is only one document."""
    texts = list(dict.fromkeys(zip(documents, references, strict=True)))
    vectors = encoder.encode([text for _, text in texts])
    sources = np.array([document for document, _ in texts])
    apart = sources[:, None] != sources[None, :]
    # Copies of one text in all documents leave no scale: the top is kept away from the bottom.
    return min(float((vectors @ vectors.T)[apart].mean()), HIGHEST_FLOOR) if apart.any() else 0.0


def _similarities(answers: Sequence[str], references: Sequence[str], encoder: Encoder) -> list[float]:
    said = [answer.strip() for answer in answers]
    vectors = encoder.encode([answer or "-" for answer in said])
    cosines = (vectors * encoder.encode(references)).sum(axis=1)
    return [float(cosine) if answer else 0.0 for answer, cosine in zip(said, cosines, strict=True)]
