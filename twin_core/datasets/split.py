"""Which documents are held out, decided before any example is made. Pure functions over plain values.

By document, because passages of one article on both sides let a model be examined on what it has read; by time,
because the twin will be asked to write what comes next, not what lies in between. Prose and code apart: the files of a repository
share a date, and all of them would land on one side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from uuid import UUID

from twin_core.errors import NothingToPublish
from twin_core.records import Split

TEST_SHARE = 0.2
TEST_LEAST = 30
"""Held-out documents that can be measured, below which the intervals of an evaluation are too wide to promote anything on."""
TEST_MOST = 0.5
LEAST_TEXTS = 8
"""Different texts below which there is nothing to split: four to learn from and four to be examined on."""
BLOCKS = 6
"""Pieces of a small collection's time line, every second one held out: its newest half alone would be one season."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """A document with what decides its side."""

    document_id: UUID
    cluster_id: UUID
    """Near-duplicates share it and stay together."""
    at: datetime
    code: bool = False
    measurable: bool = True
    """Whether it is long enough to say anything in an evaluation: one that is not does not count towards those held out at least."""


def split(documents: Sequence[Dated]) -> dict[UUID, Split]:
    """The side of every document: the newest max(20 %, 30 measurable), never more than half, are held out, of prose and of code.

    Where that is half of them (fewer than 60 documents), every second of six blocks of time is held out instead.
    A cluster of near-duplicates goes whole to the side of its earliest document. Raises NothingToPublish when there are
    too few different texts to hold any out.
    """
    clusters = _clusters(documents)
    if len(clusters) < LEAST_TEXTS:
        alike = f" ({len(documents)} documents, near-duplicates counted once)" if len(documents) > len(clusters) else ""
        raise NothingToPublish(
            f"There is nothing to publish: {len(clusters)} different texts{alike} are too few to learn from some and be "
            f"examined on others. It takes {LEAST_TEXTS}; add sources, then `twin sync`."
        )
    held: set[UUID] = set()
    for code in (False, True):
        held |= _held([cluster for cluster in clusters if cluster[0].code == code])
    return {one.document_id: Split.TEST if one.document_id in held else Split.TRAIN for one in documents}


def _held(clusters: list[list[Dated]]) -> set[UUID]:
    """What is held out of these, the earliest cluster first."""
    count, newest_first = sum(map(len, clusters)), clusters[::-1]
    most = int(count * TEST_MOST)
    wanted = min(max(ceil(count * TEST_SHARE), _least(newest_first)), most)
    candidates = newest_first if wanted < most else _every_second_block(newest_first)
    held: set[UUID] = set()
    for cluster in candidates:
        if len(held) >= wanted:
            break
        if len(held) + len(cluster) <= most:  # a crowd of copies that would be more than half is learnt from
            held.update(one.document_id for one in cluster)
    return held


def _least(newest_first: Sequence[list[Dated]]) -> int:
    """How many of the newest documents hold the least number of measurable ones; all of them where there are fewer."""
    taken = measurable = 0
    for cluster in newest_first:
        if measurable >= TEST_LEAST:
            break
        taken += len(cluster)
        measurable += sum(one.measurable for one in cluster)
    return taken


def _clusters(documents: Sequence[Dated]) -> list[list[Dated]]:
    """The clusters by their earliest documents."""
    together: dict[UUID, list[Dated]] = {}
    for one in sorted(documents, key=lambda one: (one.at, one.document_id)):
        together.setdefault(one.cluster_id, []).append(one)
    return list(together.values())


def _every_second_block(clusters: Sequence[list[Dated]]) -> Iterator[list[Dated]]:
    """The first, third and fifth of six equal blocks."""
    for index, cluster in enumerate(clusters):
        if index * BLOCKS // len(clusters) % 2 == 0:
            yield cluster
