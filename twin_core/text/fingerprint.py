"""Words, MinHash signatures and near-duplicate clusters of texts. Pure functions over plain values.

The signature is the classic one (Broder 1997; 5-word shingles, 128 permutations h -> a*h + b mod 2^64), written out
in a few lines of numpy: the libraries that offer it import scipy, seconds before the first document is looked at.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHINGLE_WORDS = 5
PERMUTATIONS = 128
SIMILAR = 0.8
"""Jaccard similarity from which two texts are taken for the same one: a copy with edits, not a piece on one subject."""

# 32 bands of 4 rows: a pair at 0.8 becomes a candidate with probability 0.99999, one at 0.3 with 0.23.
_BANDS = 32
_SEED = 20_260_101
# Scripts without spaces count by character: a whole sentence would otherwise be one word.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
# The second part must not run on into such a script: a number in front of a Chinese sentence would swallow it.
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_CHUNK = 4096
_PRIME = np.uint64(0x9E3779B97F4A7C15)


def words(text: str) -> list[str]:
    """The words of a text, lower case; one per character in scripts that put no spaces between them."""
    return _WORD.findall(text.lower())


def word_starts(text: str) -> list[int]:
    """Where each of those words begins, in characters."""
    return [found.start() for found in _WORD.finditer(text)]


def signature(text: str) -> bytes:
    """The MinHash signature: 128 unsigned 32-bit numbers, little-endian. A text of fewer than 5 words is one shingle."""
    hashed = np.array([_word_hash(word) for word in words(text)], dtype=np.uint64)
    width = min(SHINGLE_WORDS, len(hashed))
    count = len(hashed) - width + 1
    shingles = np.zeros(count, dtype=np.uint64)
    for offset in range(width):  # a polynomial over the window, so that the order of its words counts
        shingles = shingles * _PRIME + hashed[offset : offset + count]
    mixed = _mixed(np.unique(shingles))
    factors, offsets = _permutations()
    lowest = np.full(PERMUTATIONS, np.iinfo(np.uint64).max, dtype=np.uint64)
    for at in range(0, len(mixed), _CHUNK):
        part = mixed[at : at + _CHUNK, None] * factors + offsets  # wraps at 2^64, as it should
        lowest = np.minimum(lowest, part.min(axis=0))
    return (lowest >> np.uint64(32)).astype("<u4").tobytes()


def similarity(one: bytes, other: bytes) -> float:
    """Estimated Jaccard similarity of two signatures, 0 to 1; its standard error is below 0.045."""
    return float(np.mean(np.frombuffer(one, dtype="<u4") == np.frombuffer(other, dtype="<u4")))


def bands(signature: bytes) -> list[int]:
    """32 numbers of 64 bits: two signatures that have one in common may resemble each other, others hardly do.

    Four minima make a band, so a pair at similarity s has about 32 s^4 of them in common: 13 at 0.8, 2 at 0.5.
    """
    width = len(signature) // _BANDS
    return [
        int.from_bytes(
            hashlib.blake2b(
                signature[at * width : (at + 1) * width], digest_size=8, salt=at.to_bytes(2, "little")
            ).digest(),
            "little",
            signed=True,
        )
        for at in range(_BANDS)
    ]


def clusters(signatures: Sequence[tuple[UUID, bytes]]) -> dict[UUID, UUID]:
    """Document id -> id of its cluster, for documents given in order of precedence.

    A cluster's id is that of its first document (the canonical one), and a document that resembles no other is its
    own cluster. Resemblance at SIMILAR or above joins, also by way of a third. Deterministic.
    """
    if not signatures:
        return {}
    matrix = np.stack([np.frombuffer(found, dtype="<u4") for _, found in signatures])
    leader = list(range(len(signatures)))

    def root(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for first, second in sorted(_candidates(matrix)):
        a, b = root(first), root(second)
        if a != b and np.mean(matrix[first] == matrix[second]) >= SIMILAR:
            leader[max(a, b)] = min(a, b)
    return {document: signatures[root(index)][0] for index, (document, _) in enumerate(signatures)}


def _candidates(matrix: NDArray[np.uint32]) -> set[tuple[int, int]]:
    """Pairs that agree in a whole band. In a crowd of equals, each is paired with its predecessor and the first."""
    rows = PERMUTATIONS // _BANDS
    pairs: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        keys = np.ascontiguousarray(matrix[:, band * rows : (band + 1) * rows]).view(f"V{rows * 4}").ravel()
        groups: dict[bytes, list[int]] = {}
        for index, key in enumerate(keys):
            groups.setdefault(key.tobytes(), []).append(index)
        for members in groups.values():
            for at in range(1, len(members)):
                near = members[max(at - 8, 0) : at]
                pairs.update((other, members[at]) for other in {members[0], *near})
    return pairs


@lru_cache(maxsize=65_536)
def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """MurmurHash3's finaliser: every bit of the result depends on every bit of the value."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        values = (values ^ (values >> np.uint64(33))) * np.uint64(factor)
    return values ^ (values >> np.uint64(33))


@lru_cache(maxsize=1)
def _permutations() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    generator = np.random.Generator(np.random.PCG64(_SEED))
    factors = generator.integers(0, 1 << 63, PERMUTATIONS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offsets = generator.integers(0, np.iinfo(np.uint64).max, PERMUTATIONS, dtype=np.uint64, endpoint=True)
    return factors, offsets
