"""Pairs of answers that a person compares without knowing which is the challenger's, kept as a file beside the report.

The file holds text of the author and of what they retrieved, so it goes when one of the dataset's documents is forgotten,
as the report does. The API reads it, so nothing that measures is imported with this module. Which answer stands on which side follows from evaluation and sample: always the same, and half of the
time the challenger's is on the left.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from twin_core.store.database import Database
from twin_core.store.filed import file_text
from twin_core.store.files import FileStore, read_file
from twin_core.store.registry import Evaluation
from twin_core.store.samples import Filed, keep_samples

if TYPE_CHECKING:
    from twin_core.evaluation.scorecard import Scorecard

MOST = 10
"""As many as a person reads with patience."""
_KIND = "evaluation_samples"
_ASKED = re.compile(r"^(?:Task|Question|Instruction): ", re.MULTILINE)
"""Where the templates in `prompts/` end with what is asked; what is quoted stands before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One prompt, answered by the challenger and by what serves, or by the base model where nothing does."""

    prompt: str
    challenger: str
    other: str


def file_samples(
    database: Database, files: FileStore, evaluation: Evaluation, card: Scorecard, *, documents: Sequence[UUID]
) -> None:
    """Keep the pairs of an evaluation, where there are any that differ."""
    other = "champion" if "champion" in card.systems else "base"
    found = paired(card, other)
    if not found:
        return
    key = file_text(
        database,
        files,
        evaluation.author_id,
        msgspec.json.encode(found),
        ending="json",
        kind=_KIND,
        document_ids=documents,
        version_id=evaluation.version_id,
    )
    with database.transaction() as conn:
        keep_samples(conn, evaluation.author_id, evaluation.id, other=other, count=len(found), file_key=key)


def paired(card: Scorecard, other: str) -> list[Sample]:
    """The pairs, of the prompts that the report shows first; without those that were answered alike or not at all."""
    from twin_core.evaluation.report import chosen

    pairs = [
        Sample(
            prompt=asked(card.cases[index].prompt),
            challenger=card.systems[card.challenger].answers[index].strip(),
            other=card.systems[other].answers[index].strip(),
        )
        for index in chosen(card, len(card.cases))
    ]
    return [one for one in pairs if one.challenger and one.other and one.challenger != one.other][:MOST]


def asked(prompt: str) -> str:
    """What a prompt asks for, without the passages and the outline that it quotes."""
    return _ASKED.split(prompt)[-1].strip()


def read_samples(files: FileStore, filed: Filed) -> list[Sample]:
    """The pairs. Raises NotFound when they went with a document that was forgotten."""
    return msgspec.json.decode(read_file(files, filed.file_key), type=list[Sample])


def challenger_is_left(evaluation_id: UUID, sample: int) -> bool:
    """On which side the challenger's answer is shown."""
    return hashlib.sha256(f"{evaluation_id}/{sample}".encode()).digest()[0] % 2 == 0
