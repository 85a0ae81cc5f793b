"""Publishing a set of examples as an immutable version, and saying how two versions differ.

A version is published in one transaction, after it was measured and validated; nothing of it can be seen before. What
is written about it (manifest) holds counts and rules and no text, so that forgetting a document need not rewrite it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from twin_core import identity
from twin_core.datasets.ethics import EthicsReport, blocked, ethics_report
from twin_core.datasets.measures import Validate, Verdict, measure
from twin_core.errors import InvalidInput, NothingToPublish, ValidationFailed
from twin_core.records import Author, Example, ExampleKind, Split
from twin_core.store import datasets as store
from twin_core.store.database import Database
from twin_core.store.datasets import Drop, Member, Origin, Version
from twin_core.store.filed import file_text
from twin_core.store.files import FileStore

ETHICS_REPORT = "ethics_report"
"""The kind under which the report on a version is filed."""
SHRUNK = 0.8
"""Share of the current version below which a new one is more likely a fault than a decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A finished set that has not been published."""

    kind: ExampleKind
    input_hash: str
    examples: tuple[Example, ...]
    sides: Mapping[str, Split]
    """Example id -> split."""
    origins: tuple[Origin, ...]
    drops: tuple[Drop, ...]
    spoken: frozenset[str]
    settings: Mapping[str, Any]
    redactions: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build did."""

    version: Version
    new: bool
    """Whether a version was published that was not the current one before."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Step -> how many; empty when nothing had changed and nothing was looked at."""
    drops: Mapping[str, int] = field(default_factory=dict)
    """Reason -> passages."""
    verdict: Verdict | None = None
    ethics: Mapping[str, int] = field(default_factory=dict)
    """What the ethics report counts; of a new version."""
    ethics_key: str | None = None
    """The report's file."""
    trouble: str | None = None
    """Why the language model was not asked to the end."""
    seconds: float = 0.0

    @classmethod
    def unchanged(cls, version: Version, *, seconds: float) -> Built:
        """Nothing was to be done."""
        return cls(version=version, new=False, seconds=seconds)


def publish(
    database: Database,
    author: Author,
    candidate: Candidate,
    *,
    validate: Validate,
    allow_shrink: bool,
    keep: Sequence[str],
    files: FileStore,
    blocks: Mapping[str, int],
) -> Built:
    """Measure, validate, report on and publish a set, unless it is the current version already.

    Raises NothingToPublish when one side is empty, and ValidationFailed when the set is below 80 % of the current one
    without `allow_shrink`, when `validate` says no, or when the ethics report counts more than `blocks` allows.
    Nothing is stored then but that report, which says what to look at.
    """
    started = time.perf_counter()
    drops = _by_reason(candidate.drops)
    _refuse_empty(candidate, drops)
    members = ranked(candidate.sides)
    version_id = identity.dataset_version_id((one.example_id, one.split) for one in members)
    with database.transaction() as conn:
        current = store.current_version(conn, author.id, candidate.kind)
        before = len(store.members_of(conn, current.id)) if current is not None else None
        again = _already(conn, author, candidate.kind, version_id)
        if again is not None:
            store.republish(conn, version_id, candidate.input_hash)
    if again is not None:
        new = current is None or current.id != version_id
        return Built(version=again, new=new, drops=drops, seconds=time.perf_counter() - started)
    if before and len(members) < SHRUNK * before and not allow_shrink:
        raise ValidationFailed(
            f"The new set has {len(members)} examples, the current one {before}: below {SHRUNK:.0%}. Nothing was "
            f"published. If that is meant, build with --allow-shrink; dropped: {_told(drops)}."
        )
    measures = measure(
        candidate.examples, candidate.sides, spoken=candidate.spoken, keep=keep, before=None if allow_shrink else before
    )
    verdict = validate(measures)
    if not verdict.passed:
        failed = [f"{rule} ({found})" for rule, holds, found in verdict.findings if not holds]
        raise NotValid(f"Nothing was published, because the set does not pass: {'; '.join(failed)}.", verdict)
    ethics, ethics_key = _reported(database, author, candidate, version_id, files=files, blocks=blocks)
    with database.transaction() as conn:
        store.add_examples(conn, candidate.examples)
        store.publish_version(
            conn,
            version_id=version_id,
            author_id=author.id,
            kind=candidate.kind,
            input_hash=candidate.input_hash,
            manifest={
                **manifest(author, candidate, parent=current.id if current else None),
                "ethics": dict(ethics.counts),
            },
            members=members,
            origins=candidate.origins,
            drops=candidate.drops,
        )
        version = store.resolve_version(conn, author.id, version_id)
    return Built(
        version=version,
        new=True,
        drops=drops,
        verdict=verdict,
        ethics=ethics.counts,
        ethics_key=ethics_key,
        seconds=time.perf_counter() - started,
    )


def _reported(
    database: Database,
    author: Author,
    candidate: Candidate,
    version_id: str,
    *,
    files: FileStore,
    blocks: Mapping[str, int],
) -> tuple[EthicsReport, str]:
    """The ethics report on a set and its file, made before anything is published: a set is not there without it."""
    import polars as pl

    with database.transaction() as conn:
        placed = store.placed(conn, author.id, {one.revision_id for one in candidate.examples})
    rows = [
        {
            "document_id": str(one.document_id),
            "category": one.category.value,
            "language": one.language,
            "completion": one.answer,
            **placed.get(one.revision_id, {}),
        }
        for one in sorted(candidate.examples, key=lambda one: one.id)
    ]
    title = f"{candidate.kind.value.title()} dataset {version_id[:12]} of {author.name}"
    report = ethics_report(pl.DataFrame(rows), title=title, author=author.name)
    key = file_text(
        database,
        files,
        author.id,
        report.html.encode(),
        ending="html",
        kind=ETHICS_REPORT,
        document_ids=[UUID(document) for document in report.document_ids],
        version_id=version_id,
    )
    objections = blocked(report.counts, blocks)
    if objections:
        raise ValidationFailed(
            f"Nothing was published: {'; '.join(objections)}. Read {files.address(key)}; then forget what should not be "
            f"learnt, or raise the limit if the words are meant as they stand."
        )
    return report, key


class NotValid(ValidationFailed):
    """A set did not pass its checks. Carries the verdict, so that the report can be read."""

    def __init__(self, text: str, verdict: Verdict) -> None:
        super().__init__(text)
        self.verdict = verdict


def ranked(sides: Mapping[str, Split]) -> list[Member]:
    """Members in the order of their ids within each split.

    Ids are hashes, so every beginning is a fair sample, and an example that comes later leaves the others' order alone.
    """
    counted: Counter[Split] = Counter()
    members = []
    for example_id in sorted(sides):
        side = sides[example_id]
        members.append(Member(example_id=example_id, split=side, rank=counted[side]))
        counted[side] += 1
    return members


def manifest(author: Author, candidate: Candidate, *, parent: str | None) -> dict[str, Any]:
    """What a version is, in counts and rules: the same set gives the same manifest, save for its parent."""
    examples, sides = candidate.examples, candidate.sides
    documents = Counter(origin.split for origin in candidate.origins)
    return {
        "author": {"slug": author.slug, "name": author.name},
        "kind": candidate.kind.value,
        "parent": parent,
        "languages": sorted(candidate.spoken),
        "documents": {split.value: documents[split] for split in Split},
        "examples": _table(examples, sides, lambda one: one.kind.value),
        "by_category": _table(examples, sides, lambda one: one.category.value),
        "by_origin": _table(examples, sides, lambda one: one.origin),
        "words": {split.value: sum(one.words for one in examples if sides[one.id] == split) for split in Split},
        "passages": sum(origin.passages for origin in candidate.origins),
        "drops": _by_reason(candidate.drops),
        "redactions": dict(sorted(candidate.redactions.items())),
        "models": dict(candidate.models),
        "settings": dict(candidate.settings),
    }


def _table(examples: Sequence[Example], sides: Mapping[str, Split], by: Any) -> dict[str, dict[str, int]]:
    counted = Counter((by(one), sides[one.id].value) for one in examples)
    return {
        name: {split.value: counted[name, split.value] for split in Split}
        for name in sorted({name for name, _ in counted})
    }


def _by_reason(drops: Sequence[Drop]) -> dict[str, int]:
    counted = Counter[str]()
    for one in drops:
        counted[one.reason] += one.passages
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _told(drops: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in drops.items()) or "nothing"


def _refuse_empty(candidate: Candidate, drops: Mapping[str, int]) -> None:
    found = Counter(candidate.sides.values())
    # Pairs from feedback come from where people asked; an evaluation is made on the instruction set's test side.
    needed = Split if candidate.kind == ExampleKind.INSTRUCT else (Split.TRAIN,)
    lacking = [split.value for split in needed if not found[split]]
    if lacking:
        passages = sum(origin.passages for origin in candidate.origins)
        raise NothingToPublish(
            f"There is nothing to publish: no {' and no '.join(lacking)} example is left of {passages} passages of "
            f"{len(candidate.origins)} documents. Dropped: {_told(drops)}. What is published stays as it is."
        )


def _already(conn: Connection, author: Author, kind: ExampleKind, version_id: str) -> Version | None:
    there = [one for one in store.list_versions(conn, author.id, kind, limit=10_000) if one.id == version_id]
    return there[0] if there and there[0].tainted_at is None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One example, or several of one document for one reason, by which two versions differ."""

    change: str
    """`came`, `went` or `moved` (to the other split)."""
    why: str
    document_id: UUID | None
    examples: int


def diff(conn: Connection, one: Version, other: Version) -> list[Difference]:
    """What came, went and moved from the first version to the second, by document, with the reason.

    Examples of a document that was forgotten since cannot be named any more: they are counted without a document.
    """
    if one.kind != other.kind:
        raise InvalidInput(f"A set of kind {one.kind} and one of kind {other.kind} have no examples in common.")
    before, after = store.members_of(conn, one.id), store.members_of(conn, other.id)
    origins = store.origins_of(conn, one.id), store.origins_of(conn, other.id)
    of = {
        example.id: example.document_id for version in (one, other) for example in store.examples_of(conn, version.id)
    }
    dropped = store.dropped_documents(conn, other.id)
    found: Counter[tuple[str, str, UUID | None]] = Counter()
    for example in after.keys() - before.keys():
        found["came", _why(of[example], *origins, ()), of[example]] += 1
    for example in before.keys() - after.keys():
        found["went", _why(of[example], *origins, dropped.get(of[example], ())), of[example]] += 1
    for example in before.keys() & after.keys():
        if before[example] != after[example]:
            found["moved", f"the document is now on the {after[example].value} side", of[example]] += 1
    for change, version, there in (("went", one, before), ("came", other, after)):
        if version.examples > len(there):
            found[change, "forgotten since", None] += version.examples - len(there)
    return [
        Difference(change=change, why=why, document_id=document, examples=count)
        for (change, why, document), count in sorted(
            found.items(), key=lambda item: (item[0][0], item[0][1], str(item[0][2]))
        )
    ]


def _why(document: UUID, before: Mapping[UUID, Origin], after: Mapping[UUID, Origin], dropped: Sequence[str]) -> str:
    old, new = before.get(document), after.get(document)
    if old is None:
        return "new document"
    if new is None:
        return "the document is gone"
    if old.revision_id != new.revision_id:
        return "new revision"
    if old.split != new.split:
        return f"the document is now on the {new.split.value} side"
    return f"dropped: {', '.join(dropped)}" if dropped else "filters, instructions or context changed"
