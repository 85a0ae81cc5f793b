"""Is what an answer says in the passages it cites? The share of its sentences that are.

A sentence is supported when every figure in it stands in the cited passages and most of its words of substance stand close
together there, or its meaning is that of a sentence there. A proxy: it finds what was made up or cited to the wrong passage,
not what was twisted. "Never" left out of a sentence goes unseen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from twin_core.evaluation.content import Encoder
from twin_core.evaluation.function_words import FUNCTION_WORDS
from twin_core.evaluation.prose import prose
from twin_core.evaluation.sentences import sentences, words
from twin_core.writing.citations import cited_labels

OVERLAP = 0.6
"""Of a sentence's words of substance in two neighbouring sentences of a passage: reworded, about that many remain."""
COSINE = 0.7
"""Of MiniLM embeddings: paraphrases lie above, sentences that only share their subject mostly below."""
FEWEST_WORDS = 2
"""Of substance; below, a sentence claims nothing ("Here is how.")."""

FEWEST_SAID = 4
"""Words of a sentence that says something, if only that there is nothing to say."""

_LABEL = re.compile(r"\s*\[\d[\d\s,;–-]*\](?!\()")


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of an answer, without its labels."""

    text: str
    supported: bool
    why: str


@dataclass(frozen=True, slots=True)
class Grounding:
    """The claims of an answer, and the share of them that cited passages support. One that says it does not know claims nothing: 1."""

    claims: tuple[Claim, ...]
    answers: bool = True
    """Whether it says anything. Silence, code alone and a question back are no answer: 0."""

    @property
    def share(self) -> float:
        if not self.claims:
            return float(self.answers)
        return sum(claim.supported for claim in self.claims) / len(self.claims)


def unlabelled(paragraphs: Sequence[str]) -> tuple[str, ...]:
    """The paragraphs without the labels of citations, which only a twin writes."""
    return tuple(_LABEL.sub("", paragraph) for paragraph in paragraphs)


def grounding(answer: str, passages: Sequence[str], encoder: Encoder | None = None) -> Grounding:
    """Check an answer against the passages that it was given, labelled from 1 in this order.

    Only passages that it cites count. Code is left out.
    """
    cited = [passages[label - 1] for label in sorted(cited_labels(answer, range(1, len(passages) + 1)))]
    spoken = sentences("\n".join(unlabelled(prose(answer))))
    said = [sentence for sentence in spoken if _claims(sentence)]
    sources = [sentence for passage in cited for sentence in sentences(passage)]
    nearby = [set(_substance(f"{first} {second}")) for first, second in zip_longest(sources, sources[1:], fillvalue="")]
    figures = {word.text for source in cited for word in words(source) if _is_figure(word.text)}
    cosines = (
        (encoder.encode(said) @ encoder.encode(sources).T).max(axis=1).tolist()
        if encoder and said and sources
        else None
    )
    return Grounding(
        tuple(
            _judged(sentence, nearby, figures, cosines[index] if cosines else 0.0, anything=bool(cited))
            for index, sentence in enumerate(said)
        ),
        answers=any(len(words(sentence)) >= FEWEST_SAID for sentence in spoken if not sentence.endswith("?")),
    )


def _judged(sentence: str, nearby: list[set[str]], figures: set[str], cosine: float, *, anything: bool) -> Claim:
    if not anything:
        return Claim(sentence, supported=False, why="the answer cites nothing")
    invented = [word.text for word in words(sentence) if _is_figure(word.text) and word.text not in figures]
    if invented:
        return Claim(sentence, supported=False, why=f"no cited passage has {', '.join(invented)}")
    own = _substance(sentence)
    overlap = max(sum(word in near for word in own) / len(own) for near in nearby)
    if overlap >= OVERLAP:
        return Claim(sentence, supported=True, why=f"{overlap:.0%} of its words stand together in a cited passage")
    if cosine >= COSINE:
        return Claim(sentence, supported=True, why=f"it means what a cited sentence means (cosine {cosine:.2f})")
    return Claim(sentence, supported=False, why=f"{overlap:.0%} of its words stand together, cosine {cosine:.2f}")


def _claims(sentence: str) -> bool:
    return not sentence.endswith("?") and len(_substance(sentence)) >= FEWEST_WORDS


def _substance(sentence: str) -> list[str]:
    """Words of substance, cut to their first six letters: a poor man's stem, the same for both sides."""
    return [word.text[:6] for word in words(sentence) if word.text not in FUNCTION_WORDS]


def _is_figure(word: str) -> bool:
    return word[0].isdigit()
