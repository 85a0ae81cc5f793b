"""What stays out of a dataset, and why: one named reason per passage that is dropped. Pure functions over plain values.

First each passage by itself, then each pair of passages: copies, near copies, and what the train side shares with the
test side. Redaction is in `redact.py`; the checks before publishing measure all of this once more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from twin_core.datasets.passages import Section, count_words
from twin_core.records import Category, CleanedDocument, Split
from twin_core.text.fingerprint import PERMUTATIONS, SHINGLE_WORDS, SIMILAR, words

FILTERS_VERSION = "1"
"""Raise it when the same passage is judged otherwise."""

TOO_SHORT, TOO_LONG = "too short", "too long"
LANGUAGE = "another language"
BOILERPLATE = "boilerplate"
OTHERS = "mostly by others"
OVERLAP = "the instruction gives it away"
REDACTED = "mostly redacted"
DUPLICATE, NEAR_DUPLICATE = "duplicate", "near-duplicate"
COPY_OF_TEST = "near-duplicate of a test passage"
SHARED_WITH_TEST = "shares 13 words with test"

LENGTHS = {Category.ARTICLE: (40, 800), Category.POST: (5, 800), Category.CODE: (12, 800)}
"""Fewest and most words. Below, there is no voice to hear; above, most of it would be cut off in training."""
LEAST_OF_AN_ANSWER = 5
"""Fewest words of an answer: what an instruction gives away (a docstring, a first sentence) leaves less than the passage."""
SOME_OF_THE_AUTHORS = 0.2
"""Share of an author's prose, in words, from which a language is one of the author's and not a stray quotation."""
MOST_BY_OTHERS = 0.5
MOST_BOILERPLATE = 0.5
MOST_OVERLAP = 0.5
MOST_REDACTED = 0.2
"""Share of a text's words that may be placeholders."""
REPEATED_IN = 5
"""Documents that share a line of five words or more before it is a template's and not the author's."""
GRAM = 13
"""Words in a row that two texts do not share by chance (the length that GPT-3's decontamination used)."""

_BANDS = (32, 4)
"""Bands and rows of the LSH: a pair at 0.8 becomes a candidate with probability 0.99999; it is then compared exactly."""
_LINK_ONLY = re.compile(r"^\s*(?:[-*+]\s+)?<?https?://\S+>?\s*$")
_PLACEHOLDER = re.compile(r"<[A-Z][A-Z_]{2,}>")


def languages(documents: Sequence[CleanedDocument], own: str) -> frozenset[str]:
    """The languages that the author writes prose in: those with a fifth of the words.

    The language in the author's profile counts when nothing is known: it may never have been set.
    """
    spoken = Counter[str]()
    for document in documents:
        if document.category != Category.CODE:
            spoken[document.language] += document.words
    total = spoken.total()
    return frozenset(code for code, count in spoken.items() if count >= SOME_OF_THE_AUTHORS * total) or frozenset({own})


def repeated_lines(documents: Sequence[CleanedDocument]) -> frozenset[str]:
    """Lines of prose that stand in so many documents that a template wrote them: footers, calls to subscribe."""
    seen = Counter[str]()
    for document in documents:
        if document.category != Category.CODE:
            seen.update({line.strip() for line in document.text.split("\n") if len(line.split()) >= 5})
    return frozenset(line for line, count in seen.items() if count >= REPEATED_IN)


def objection(section: Section, *, spoken: frozenset[str], repeated: frozenset[str]) -> str | None:
    """Why a passage cannot be learnt from, or None."""
    category = section.document.category
    if section.others > MOST_BY_OTHERS:
        return OTHERS
    least, most = LENGTHS[category]
    length = count_words(section.text)
    if length < least:
        return TOO_SHORT
    if length > most:
        return TOO_LONG
    if category != Category.CODE:
        if section.document.language not in spoken:
            return LANGUAGE
        if boilerplate(section.text, repeated) > MOST_BOILERPLATE:
            return BOILERPLATE
    return None


def boilerplate(text: str, repeated: frozenset[str]) -> float:
    """Share of the words that are in lines of a template or in lines that are nothing but a link."""
    lines = [(line, count_words(line)) for line in text.split("\n")]
    total = sum(count for _, count in lines) or 1
    return sum(count for line, count in lines if line.strip() in repeated or _LINK_ONLY.match(line)) / total


def overlap(instruction: str, answer: str) -> float:
    """Share of the answer's different words that the instruction holds: near 1, it asks for a copy."""
    answered = set(words(answer))
    return len(answered & set(words(instruction))) / len(answered) if answered else 1.0


def redacted_share(text: str) -> float:
    """Share of the words that are placeholders."""
    return len(_PLACEHOLDER.findall(text)) / (count_words(text) or 1)


def grams(text: str) -> set[int]:
    """Every run of 13 words, hashed within this process. A shorter text has none."""
    found = words(text)
    return {hash(tuple(found[at : at + GRAM])) for at in range(len(found) - GRAM + 1)}


def near_duplicates(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs (earlier, later) of texts whose 5-word shingles have a Jaccard similarity of 0.8 or more.

    MinHash and LSH (datasketch; Broder 1997) say which pairs to look at; the similarity itself is counted.
    """
    from datasketch import MinHash, MinHashLSH

    sets = [_shingles(text) for text in texts]
    sketches = MinHash.bulk([[shingle.encode() for shingle in one] for one in sets], num_perm=PERMUTATIONS)
    index = MinHashLSH(num_perm=PERMUTATIONS, params=_BANDS)
    pairs: list[tuple[int, int]] = []
    for at, sketch in enumerate(sketches):
        pairs += [(other, at) for other in index.query(sketch) if _jaccard(sets[other], sets[at]) >= SIMILAR]
        index.insert(at, sketch)
    return sorted(pairs)


def _shingles(text: str) -> frozenset[str]:
    found = words(text)
    width = min(SHINGLE_WORDS, len(found))
    return frozenset(" ".join(found[at : at + width]) for at in range(len(found) - width + 1))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / (len(one | other) or 1)


def copies(texts: Sequence[str], sides: Sequence[Split]) -> dict[int, str]:
    """Index -> reason, for every text of which there is an earlier copy, and every train text that copies a test one.

    What is held out stays: it is the train side that gives way.
    """
    dropped: dict[int, str] = {}
    order = sorted(range(len(texts)), key=lambda at: (sides[at] != Split.TEST, at))
    exact: dict[str, int] = {}
    for at in order:
        first = exact.setdefault(" ".join(words(texts[at])), at)
        if first != at:
            dropped[at] = DUPLICATE
    left = [at for at in order if at not in dropped]
    for earlier, later in near_duplicates([texts[at] for at in left]):
        one, other = left[earlier], left[later]
        if one not in dropped and other not in dropped:
            dropped[other] = COPY_OF_TEST if sides[one] != sides[other] else NEAR_DUPLICATE
    return dropped


def contaminated(train: Mapping[str, str], test: Iterable[str]) -> frozenset[str]:
    """The ids of train texts that share a run of 13 words with any test text."""
    held: set[int] = set()
    for text in test:
        held |= grams(text)
    return frozenset(name for name, text in train.items() if not held.isdisjoint(grams(text)))
