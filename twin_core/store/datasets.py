"""The SQL of datasets: what they are made from, examples, immutable versions, model answers that are kept.

What makes an example and what keeps it out is in `datasets/`; how a document's rows go when it is forgotten, in
`purging.py`. A version is never changed: publishing it again only says that it is the current one once more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, text
from sqlalchemy.engine import RowMapping

from twin_core.errors import InvalidInput, NotFound
from twin_core.records import QUESTION, Category, CleanedDocument, Example, ExampleKind, Split
from twin_core.store.bulk import stage

if TYPE_CHECKING:
    import polars as pl

SHORTEST_PREFIX = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A live document's latest cleaned revision, with what decides its side."""

    document: CleanedDocument
    cluster_id: UUID
    """Near-duplicates share it."""
    first_at: datetime
    """When it was written, or first collected where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One example's place in a version."""

    example_id: str
    split: Split
    rank: int
    """From 0 within its split, in an order that has nothing to do with time: the first n are a fair sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A document that a version was built from, whether or not an example of it was kept."""

    document_id: UUID
    revision_id: UUID
    split: Split
    passages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """How many passages of a document were left out for one reason."""

    document_id: UUID
    category: Category
    reason: str
    passages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A published dataset version."""

    id: str
    author_id: UUID
    kind: ExampleKind
    input_hash: str
    examples: int
    """When it was published. Fewer are there now if a document was forgotten since; it is `tainted` then."""
    manifest: Mapping[str, Any]
    created_at: datetime
    published_at: datetime
    tainted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """What a model answered once, or why its answers could not be used."""

    document_id: UUID
    key: str
    """SHA-256 of everything that the answer depends on."""
    purpose: str
    model: str
    prompt_version: str
    answer: str | None
    reason: str | None = None
    context_document_ids: tuple[UUID, ...] = ()


def material(conn: Connection, author_id: UUID) -> list[Material]:
    """Every live document with a cleaned latest revision, the earliest first."""
    rows = conn.execute(
        text("""
            SELECT c.*, coalesce(c.written_at, d.created_at) AS first_at
            FROM warehouse.documents d
            JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id AND c.author_id = d.author_id
            WHERE d.author_id = :author AND d.state = 'live'
            ORDER BY first_at, d.id
        """),
        {"author": author_id},
    ).mappings()
    return [Material(document=_document(row), cluster_id=row["cluster_id"], first_at=row["first_at"]) for row in rows]


def _document(row: RowMapping) -> CleanedDocument:
    names = (
        "document_id", "revision_id", "author_id", "title", "text", "text_hash", "language", "words", "location",
        "written_at", "metadata",
    )  # fmt: skip
    return CleanedDocument(category=Category(row["category"]), **{name: row[name] for name in names})


def placed(conn: Connection, author_id: UUID, revision_ids: Collection[UUID]) -> dict[UUID, dict[str, str]]:
    """Revision id -> title and location of its cleaned document."""
    rows = conn.execute(
        text("""
            SELECT revision_id, title, location FROM features.cleaned_documents
            WHERE author_id = :author AND revision_id = ANY(CAST(:ids AS uuid[]))
        """),
        {"author": author_id, "ids": list(revision_ids)},
    )
    return {row.revision_id: {"title": row.title, "location": row.location} for row in rows}


def indexed_texts(conn: Connection, author_id: UUID) -> tuple[int, int]:
    """(chunks, chunks with a vector of the serving model): what the prompts' context can be chosen from."""
    row = conn.execute(
        text("""
            SELECT count(*), count(e.chunk_id) FROM features.chunks c
            LEFT JOIN features.embedding_models m ON m.serving
            LEFT JOIN features.embeddings e ON e.chunk_id = c.id AND e.model_id = m.id
            WHERE c.author_id = :author
        """),
        {"author": author_id},
    ).one()
    return int(row[0]), int(row[1])


def known_examples(conn: Connection, author_id: UUID, kind: ExampleKind) -> dict[str, Example]:
    """Input hash -> the newest example that was made from it and whose context still stands as it did.

    Stands: every document quoted in its prompt is live, and not edited since the example was made.
    """
    rows = conn.execute(
        text("""
            SELECT DISTINCT ON (e.input_hash) e.* FROM training.examples e
            WHERE e.author_id = :author AND e.kind = :kind AND NOT EXISTS (
                SELECT FROM unnest(e.context_document_ids) AS quoted (id)
                LEFT JOIN warehouse.documents d ON d.id = quoted.id AND d.state = 'live'
                LEFT JOIN warehouse.revisions r ON r.id = d.head_revision_id AND r.fetched_at <= e.created_at
                WHERE r.id IS NULL)
            ORDER BY e.input_hash, e.created_at DESC, e.id
        """),
        {"author": author_id, "kind": kind.value},
    ).mappings()
    return {row["input_hash"]: _example(row) for row in rows}


def examples_of(conn: Connection, version_id: str) -> list[Example]:
    """The examples of a version that are still there, in the order of their ids."""
    rows = conn.execute(
        text("""
            SELECT e.* FROM training.dataset_examples m JOIN training.examples e ON e.id = m.example_id
            WHERE m.version_id = :version ORDER BY e.id
        """),
        {"version": version_id},
    ).mappings()
    return [_example(row) for row in rows]


def _example(row: RowMapping) -> Example:
    return Example(
        id=row["id"],
        author_id=row["author_id"],
        document_id=row["document_id"],
        revision_id=row["revision_id"],
        kind=ExampleKind(row["kind"]),
        category=Category(row["category"]),
        origin=row["origin"],
        prompt=tuple((turn["role"], turn["content"]) for turn in row["prompt"]),
        answer=row["answer"],
        rejected=row["rejected"],
        language=row["language"],
        words=row["words"],
        start=row["start_at"],
        end=row["end_at"],
        context_document_ids=tuple(row["context_document_ids"]),
        input_hash=row["input_hash"],
    )


def add_examples(conn: Connection, examples: Sequence[Example]) -> int:
    """Store examples; one that is there already stays as it is. Returns how many were new."""
    if not examples:
        return 0
    columns = {
        "id": "text", "author_id": "uuid", "document_id": "uuid", "revision_id": "uuid", "kind": "text",
        "category": "text", "origin": "text", "input_hash": "text", "prompt": "jsonb", "answer": "text",
        "rejected": "text", "language": "text", "words": "int4", "start_at": "int4", "end_at": "int4",
        "context_document_ids": "uuid[]",
    }  # fmt: skip
    stage(
        conn,
        "new_examples",
        columns,
        (
            (
                one.id, one.author_id, one.document_id, one.revision_id, one.kind.value, one.category.value, one.origin,
                one.input_hash, Jsonb([{"role": role, "content": content} for role, content in one.prompt]), one.answer,
                one.rejected, one.language, one.words, one.start, one.end, list(one.context_document_ids),
            )
            for one in examples
        ),
    )  # fmt: skip
    listed = ", ".join(columns)
    added = conn.execute(
        text(f"INSERT INTO training.examples ({listed}) SELECT {listed} FROM new_examples ON CONFLICT DO NOTHING")
    )
    conn.execute(text("DROP TABLE new_examples"))
    return added.rowcount


def publish_version(
    conn: Connection,
    *,
    version_id: str,
    author_id: UUID,
    kind: ExampleKind,
    input_hash: str,
    manifest: Mapping[str, Any],
    members: Sequence[Member],
    origins: Sequence[Origin],
    drops: Sequence[Drop],
) -> None:
    """Store a new version; its examples must be there."""
    conn.execute(
        text("""
            INSERT INTO training.dataset_versions (id, author_id, kind, input_hash, examples, manifest)
            VALUES (:id, :author, :kind, :input, :examples, :manifest)
        """),
        {
            "id": version_id,
            "author": author_id,
            "kind": kind.value,
            "input": input_hash,
            "examples": len(members),
            "manifest": Jsonb(dict(manifest)),
        },
    )
    _fill(
        conn,
        "dataset_examples",
        {"version_id": "text", "example_id": "text", "author_id": "uuid", "split": "text", "rank": "int4"},
        [(version_id, one.example_id, author_id, one.split.value, one.rank) for one in members],
    )
    _fill(
        conn,
        "dataset_documents",
        {
            "version_id": "text", "document_id": "uuid", "author_id": "uuid", "revision_id": "uuid", "split": "text",
            "passages": "int4",
        },
        [
            (version_id, one.document_id, author_id, one.revision_id, one.split.value, one.passages)
            for one in origins
        ],
    )  # fmt: skip
    _fill(
        conn,
        "dataset_drops",
        {
            "version_id": "text", "document_id": "uuid", "author_id": "uuid", "category": "text", "reason": "text",
            "passages": "int4",
        },
        [
            (version_id, one.document_id, author_id, one.category.value, one.reason, one.passages)
            for one in drops
        ],
    )  # fmt: skip


def _fill(conn: Connection, table: str, columns: Mapping[str, str], rows: Sequence[Sequence[object]]) -> None:
    listed = ", ".join(columns)
    stage(conn, f"new_{table}", columns, rows)
    conn.execute(text(f"INSERT INTO training.{table} ({listed}) SELECT {listed} FROM new_{table}"))
    conn.execute(text(f"DROP TABLE new_{table}"))


def republish(conn: Connection, version_id: str, input_hash: str) -> None:
    """Say that a version of before is the current one, made from this input."""
    conn.execute(
        text("UPDATE training.dataset_versions SET published_at = now(), input_hash = :input WHERE id = :id"),
        {"id": version_id, "input": input_hash},
    )


def current_version(conn: Connection, author_id: UUID, kind: ExampleKind) -> Version | None:
    """The version published last, or None."""
    return next(iter(list_versions(conn, author_id, kind, limit=1)), None)


def list_versions(
    conn: Connection, author_id: UUID, kind: ExampleKind | None = None, *, limit: int = 50
) -> list[Version]:
    """The author's versions, the current ones first."""
    rows = conn.execute(
        text("""
            SELECT * FROM training.dataset_versions
            WHERE author_id = :author AND (CAST(:kind AS text) IS NULL OR kind = :kind)
            ORDER BY published_at DESC, id LIMIT :limit
        """),
        {"author": author_id, "kind": kind.value if kind else None, "limit": limit},
    ).mappings()
    return [_version(row) for row in rows]


def page_of_versions(
    conn: Connection,
    author_id: UUID,
    *,
    kind: ExampleKind | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Version]:
    """The author's versions, the one published last first, behind the one published at that time."""
    rows = conn.execute(
        text("""
            SELECT * FROM training.dataset_versions
            WHERE author_id = :author AND (CAST(:kind AS text) IS NULL OR kind = :kind)
              AND (CAST(:id AS text) IS NULL
                   OR (published_at, id) < (CAST(:at AS timestamptz), CAST(:id AS text)))
            ORDER BY published_at DESC, id DESC LIMIT :limit
        """),
        {
            "author": author_id,
            "kind": kind.value if kind else None,
            "at": after and after[0],
            "id": after and after[1],
            "limit": limit,
        },
    ).mappings()
    return [_version(row) for row in rows]


def page_of_examples(
    conn: Connection,
    author_id: UUID,
    version_id: str,
    *,
    split: Split | None,
    after: tuple[str, int] | None,
    limit: int,
) -> list[tuple[Split, int, Example]]:
    """(split, rank, example) of a version, train before test, by rank, behind that split and rank."""
    rows = conn.execute(
        text("""
            SELECT m.split, m.rank, e.* FROM training.dataset_examples m
            JOIN training.examples e ON e.id = m.example_id AND e.author_id = m.author_id
            WHERE m.author_id = :author AND m.version_id = :version
              AND (CAST(:split AS text) IS NULL OR m.split = :split)
              AND (CAST(:after_split AS text) IS NULL OR m.split < :after_split
                   OR (m.split = :after_split AND m.rank > CAST(:after_rank AS integer)))
            ORDER BY m.split DESC, m.rank LIMIT :limit
        """),
        {
            "author": author_id,
            "version": version_id,
            "split": split.value if split else None,
            "after_split": after and after[0],
            "after_rank": after and after[1],
            "limit": limit,
        },
    ).mappings()
    return [(Split(row["split"]), row["rank"], _example(row)) for row in rows]


def resolve_version(conn: Connection, author_id: UUID, key: str) -> Version:
    """The author's version with this id, or with an id that begins like this.

    Raises NotFound when there is none, InvalidInput when the beginning is too short or fits several.
    """
    rows = conn.execute(
        text("""
            SELECT * FROM training.dataset_versions
            WHERE author_id = :author AND starts_with(id, :key) ORDER BY published_at DESC LIMIT 2
        """),
        {"author": author_id, "key": key.strip().lower()},
    ).mappings()
    found = [_version(row) for row in rows]
    if not found:
        raise NotFound(f"There is no dataset version `{key}`. `twin dataset list` shows those there are.")
    if len(key.strip()) < SHORTEST_PREFIX or len(found) > 1:
        raise InvalidInput(f"`{key}` does not say which version. Give at least {SHORTEST_PREFIX} characters of its id.")
    return found[0]


def _version(row: RowMapping) -> Version:
    return Version(**{**row, "kind": ExampleKind(row["kind"])})


def origins_of(conn: Connection, version_id: str) -> dict[UUID, Origin]:
    """Document id -> what the version took of it. A forgotten document is there no more."""
    rows = conn.execute(
        text("""
            SELECT document_id, revision_id, split, passages FROM training.dataset_documents
            WHERE version_id = :version ORDER BY document_id
        """),
        {"version": version_id},
    )
    return {
        row[0]: Origin(document_id=row[0], revision_id=row[1], split=Split(row[2]), passages=row[3]) for row in rows
    }


def members_of(conn: Connection, version_id: str) -> dict[str, Split]:
    """Example id -> split."""
    rows = conn.execute(
        text("SELECT example_id, split FROM training.dataset_examples WHERE version_id = :version ORDER BY example_id"),
        {"version": version_id},
    )
    return {row[0]: Split(row[1]) for row in rows}


def drops_by_reason(conn: Connection, version_id: str) -> dict[str, int]:
    """Reason -> passages that were left out for it, the most frequent first."""
    rows = conn.execute(
        text("""
            SELECT reason, sum(passages)::int FROM training.dataset_drops
            WHERE version_id = :version GROUP BY reason ORDER BY 2 DESC, 1
        """),
        {"version": version_id},
    )
    return {row[0]: row[1] for row in rows}


def dropped_documents(conn: Connection, version_id: str) -> dict[UUID, list[str]]:
    """Document id -> the reasons for which some of its passages were left out."""
    rows = conn.execute(
        text("""
            SELECT document_id, array_agg(reason ORDER BY reason) FROM training.dataset_drops
            WHERE version_id = :version GROUP BY document_id
        """),
        {"version": version_id},
    )
    return {row[0]: list(row[1]) for row in rows}


def read_version(
    conn: Connection, version_id: str, split: Split | str | None = None, fraction: float = 1.0
) -> pl.DataFrame:
    """A version as a frame, in rank order: what training, evaluation and exports read.

    Columns: id, document_id, revision_id, kind, category, origin, split, rank, prompt (list of {role, content}),
    then `completion` for an instruct version, `chosen` and `rejected` for a preference version, language, words,
    location, title, written_at. `fraction` keeps the first part of the train split; a smaller one is within a larger
    one, and the test split is always whole. Raises NotFound for an unknown version, InvalidInput for a fraction
    outside (0, 1]. A tainted version lacks what was forgotten.
    """
    import polars as pl

    if not 0 < fraction <= 1:
        raise InvalidInput(f"A fraction of a dataset is above 0 and at most 1, not {fraction:g}.")
    kind = conn.execute(
        text("SELECT kind FROM training.dataset_versions WHERE id = :version"), {"version": version_id}
    ).scalar()
    if kind is None:
        raise NotFound(f"There is no dataset version `{version_id}`. `twin dataset list` shows those there are.")
    rows = conn.execute(
        text("""
            SELECT e.id, e.document_id::text, e.revision_id::text, e.kind, e.category, e.origin, m.split, m.rank,
                   e.prompt, e.answer, e.rejected, e.language, e.words, c.location, c.title, c.written_at
            FROM training.dataset_examples m
            JOIN training.examples e ON e.id = m.example_id
            LEFT JOIN features.cleaned_documents c ON c.revision_id = e.revision_id
            WHERE m.version_id = :version AND (CAST(:split AS text) IS NULL OR m.split = :split)
            ORDER BY m.split DESC, m.rank
        """),
        {"version": version_id, "split": None if split is None else Split(split).value},
    ).all()
    train = [row for row in rows if row.split == Split.TRAIN]
    kept = [*train[: ceil(fraction * len(train))], *(row for row in rows if row.split == Split.TEST)]
    message = pl.Struct({"role": pl.String, "content": pl.String})
    schema: dict[str, Any] = {
        "id": pl.String, "document_id": pl.String, "revision_id": pl.String, "kind": pl.String, "category": pl.String,
        "origin": pl.String, "split": pl.String, "rank": pl.Int32, "prompt": pl.List(message), "answer": pl.String,
        "rejected": pl.String, "language": pl.String, "words": pl.Int32, "location": pl.String, "title": pl.String,
        "written_at": pl.Datetime("us", "UTC"),
    }  # fmt: skip
    frame = pl.DataFrame([tuple(row) for row in kept], schema=schema, orient="row")
    if kind == ExampleKind.INSTRUCT:
        return frame.drop("rejected").rename({"answer": "completion"})
    return frame.rename({"answer": "chosen"})


def drafts(frame: pl.DataFrame) -> pl.DataFrame:
    """Of an instruct version's frame, the examples whose answer is the author's text as it stands: all but the questions."""
    import polars as pl

    return frame.filter(pl.col("origin") != QUESTION)


def versions_of_document(conn: Connection, author_id: UUID, document_id: UUID) -> list[tuple[str, str, int]]:
    """(version id, split, examples) of every version that a document is in, the latest first."""
    rows = conn.execute(
        text("""
            SELECT o.version_id, o.split, count(e.id)::int
            FROM training.dataset_documents o
            JOIN training.dataset_versions v ON v.id = o.version_id
            LEFT JOIN training.dataset_examples m ON m.version_id = o.version_id
            LEFT JOIN training.examples e ON e.id = m.example_id AND e.document_id = o.document_id
            WHERE o.author_id = :author AND o.document_id = :document
            GROUP BY o.version_id, o.split, v.published_at ORDER BY v.published_at DESC
        """),
        {"author": author_id, "document": document_id},
    )
    return [(row[0], row[1], row[2]) for row in rows]


def kept_answers(conn: Connection, author_id: UUID, purpose: str) -> dict[tuple[UUID, str], KeptAnswer]:
    """(document id, key) -> what was answered."""
    rows = conn.execute(
        text("""
            SELECT document_id, key, purpose, model, prompt_version, answer, reason, context_document_ids
            FROM training.llm_answers WHERE author_id = :author AND purpose = :purpose
        """),
        {"author": author_id, "purpose": purpose},
    ).mappings()
    return {
        (row["document_id"], row["key"]): KeptAnswer(
            **{**row, "context_document_ids": tuple(row["context_document_ids"])}
        )
        for row in rows
    }


def keep_answers(conn: Connection, author_id: UUID, answers: Sequence[KeptAnswer]) -> None:
    """Keep answers for the next build, in a transaction of the caller's own: they were dear, whatever comes next."""
    for one in answers:
        conn.execute(
            text("""
                INSERT INTO training.llm_answers
                    (author_id, document_id, key, purpose, model, prompt_version, answer, reason, context_document_ids)
                VALUES (:author, :document, :key, :purpose, :model, :prompt_version, :answer, :reason,
                        CAST(:context AS uuid[]))
                ON CONFLICT (document_id, key) DO NOTHING
            """),
            {
                "author": author_id,
                "document": one.document_id,
                "key": one.key,
                "purpose": one.purpose,
                "model": one.model,
                "prompt_version": one.prompt_version,
                "answer": one.answer,
                "reason": one.reason,
                "context": list(one.context_document_ids),
            },
        )
