"""What forgetting does in Postgres: which documents go together, and each table's count and purge.

The order of the tables is the order of deletion: a document's own row goes last, so that a saga that was interrupted
still finds what is left to do. Other stores and the saga itself are in `forgetting.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from twin_core.errors import NotFound
from twin_core.store.tables import metadata
from twin_core.store.traces import lock_recording
from twin_core.text.fingerprint import SIMILAR, similarity

_OF = "document_id = ANY(CAST(:ids AS uuid[]))"
_QUOTED = "context_document_ids && CAST(:ids AS uuid[])"
_CHUNKS = f"SELECT {{}} FROM features.chunks WHERE {_OF}"
_LOCATED = f"(source_id, native_id) IN (SELECT source_id, native_id FROM warehouse.document_locations WHERE {_OF})"
_TOUCHED = f"""
    SELECT version_id FROM training.dataset_documents WHERE {_OF} UNION
    SELECT m.version_id FROM training.dataset_examples m JOIN training.examples e ON e.id = m.example_id
     WHERE {_OF} OR {_QUOTED}
"""
"""Dataset versions with a trace of documents."""
_UNFIT = f"""
    WITH RECURSIVE bad AS (
        SELECT id FROM training.dataset_versions WHERE author_id = :author AND tainted_at IS NOT NULL UNION {_TOUCHED}
    ), unfit AS (
        SELECT id FROM training.adapters WHERE author_id = :author AND version_id IN (SELECT id FROM bad) UNION
        SELECT a.id FROM training.adapters a JOIN unfit u ON a.parent_id = u.id
    )
"""
"""Adapters, and what goes on from them, that learnt a document which is forgotten, or is being."""

TABLES: Mapping[str, tuple[str, str]] = {
    # What people read: table and condition. A trace goes whole, and what was said of it: it rests on the passages.
    "feedback": ("serving.feedback", f"trace_id IN (SELECT trace_id FROM serving.trace_passages WHERE {_OF})"),
    "cached answers": (
        "serving.cached_answers",
        f"trace_id IN (SELECT trace_id FROM serving.trace_passages WHERE {_OF})",
    ),
    # Where it was found and not used there is no text of it, only that it was found.
    "trace candidates": ("serving.trace_candidates", _OF),
    # What is kept of answers to be replayed says nothing of what it rests on: the author's go whole.
    "kept responses": (
        "serving.kept_responses",
        "author_id IN (SELECT author_id FROM warehouse.documents WHERE id = ANY(CAST(:ids AS uuid[])))",
    ),
    "traces": ("serving.traces", f"id IN (SELECT trace_id FROM serving.trace_passages WHERE {_OF})"),
    # An example goes also when the document is quoted in its prompt; so does what a model wrote on seeing it.
    "examples": ("training.examples", f"({_OF} OR {_QUOTED})"),
    "dataset documents": ("training.dataset_documents", _OF),
    "dataset drops": ("training.dataset_drops", _OF),
    "model answers": ("training.llm_answers", f"({_OF} OR {_QUOTED})"),
    "postings": ("features.postings", f"chunk_key IN ({_CHUNKS.format('key')})"),
    "embeddings": ("features.embeddings", f"chunk_id IN ({_CHUNKS.format('id')})"),
    "chunks": ("features.chunks", _OF),
    "chunked documents": ("features.chunked_documents", _OF),
    "cleaned documents": ("features.cleaned_documents", _OF),
    "stage failures": ("features.failures", _OF),
    "ledger": ("warehouse.ledger", f"({_OF} OR {_LOCATED})"),
    "locations": ("warehouse.document_locations", _OF),
    "revisions": ("warehouse.revisions", _OF),
    "documents": ("warehouse.documents", "id = ANY(CAST(:ids AS uuid[]))"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """By what forgotten documents would be known if they came back."""

    items: list[tuple[UUID, str, str]]
    """(source id, native id, location) of every location."""
    places: list[tuple[UUID, str, str]]
    """Of those, the ones whose place no document that stays is found at: several items may share one address."""
    contents: list[str]
    """Content hashes of every revision that is not the text of a document that stays."""
    addresses: list[str]
    platform_ids: list[str]
    """Addresses and platforms' ids of its locations that no location of a document that stays has."""
    signatures: list[bytes]
    """MinHash signatures of its texts, except those that a text of a document that stays resembles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetRequest:
    """A row of `warehouse.forget_requests`."""

    id: UUID
    author_id: UUID
    document_ids: list[UUID]
    state: str
    receipt: dict[str, dict[str, int]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestState:
    """What has become of a request, for who asked."""

    id: UUID
    document_ids: list[UUID]
    state: str
    receipt: dict[str, dict[str, int]] | None
    requested_at: datetime
    finished_at: datetime | None
    attempts: int
    problem: str | None


def going_together(conn: Connection, author_id: UUID, document_ids: Sequence[UUID]) -> list[UUID]:
    """The documents with all that would keep their text: what was merged into them, and what says the very same.

    Ids that are not the author's are left out.
    """
    rows = conn.execute(
        text("""
            WITH named AS (
                SELECT coalesce(merged_into, id) AS id FROM warehouse.documents
                 WHERE author_id = :author AND id = ANY(CAST(:ids AS uuid[]))
            ), same AS (
                SELECT id FROM named UNION
                SELECT d.id FROM warehouse.documents d
                  JOIN warehouse.documents n ON n.id IN (SELECT id FROM named) AND n.content_hash = d.content_hash
                 WHERE d.author_id = :author AND d.state <> 'merged'
            )
            SELECT id FROM same UNION
            SELECT id FROM warehouse.documents WHERE merged_into IN (SELECT id FROM same) ORDER BY id
        """),
        {"author": author_id, "ids": list(document_ids)},
    )
    return list(rows.scalars())


def traits(conn: Connection, author_id: UUID, document_ids: Sequence[UUID]) -> Traits:
    """Places and texts of these documents, except what a document that stays has too."""
    values = {"author": author_id, "ids": list(document_ids)}
    located = conn.execute(
        text(f"""
            SELECT l.source_id, l.native_id, l.location, EXISTS
                   (SELECT FROM warehouse.document_locations o WHERE o.author_id = :author AND o.location = l.location
                       AND o.state = 'live' AND o.document_id <> ALL(CAST(:ids AS uuid[]))) AS shared
              FROM warehouse.document_locations l WHERE l.author_id = :author AND l.{_OF}
        """),
        values,
    ).all()
    contents = conn.execute(
        text(f"""
            SELECT DISTINCT r.content_hash FROM warehouse.revisions r
             WHERE r.author_id = :author AND r.{_OF} AND NOT EXISTS
                   (SELECT FROM warehouse.documents d WHERE d.author_id = :author AND d.content_hash = r.content_hash
                       AND d.state = 'live' AND d.id <> ALL(CAST(:ids AS uuid[])))
        """),
        values,
    )
    marks = conn.execute(
        text(f"""
            SELECT l.canonical_url, l.address, l.platform_id, l.signature, l.bands FROM warehouse.document_locations l
             WHERE l.author_id = :author AND l.{_OF}
        """),
        values,
    ).all()
    addresses = {url for row in marks for url in (row.canonical_url, row.address) if url is not None}
    platform_ids = {row.platform_id for row in marks if row.platform_id is not None}
    staying = conn.execute(
        text("""
            SELECT l.canonical_url, l.address, l.platform_id, l.signature FROM warehouse.document_locations l
             WHERE l.author_id = :author AND l.state = 'live' AND l.document_id <> ALL(CAST(:ids AS uuid[]))
               AND (l.canonical_url = ANY(CAST(:addresses AS text[])) OR l.address = ANY(CAST(:addresses AS text[]))
                    OR l.platform_id = ANY(CAST(:platform_ids AS text[])) OR l.bands && CAST(:bands AS bigint[]))
        """),
        {
            **values,
            "addresses": sorted(addresses),
            "platform_ids": sorted(platform_ids),
            "bands": sorted({band for row in marks for band in row.bands or ()}),
        },
    ).all()
    alike = [bytes(row.signature) for row in staying if row.signature is not None]
    signatures = {bytes(row.signature) for row in marks if row.signature is not None}
    return Traits(
        items=[(row.source_id, row.native_id, row.location) for row in located],
        places=[(row.source_id, row.native_id, row.location) for row in located if not row.shared],
        contents=list(contents.scalars()),
        addresses=sorted(addresses - {url for row in staying for url in (row.canonical_url, row.address)}),
        platform_ids=sorted(platform_ids - {row.platform_id for row in staying}),
        signatures=sorted(one for one in signatures if not any(similarity(one, other) >= SIMILAR for other in alike)),
    )


def count_rows(conn: Connection, name: str, document_ids: Sequence[UUID]) -> int:
    """Rows of these documents in one of TABLES."""
    table, condition = TABLES[name]
    found = conn.execute(text(f"SELECT count(*) FROM {table} WHERE {condition}"), {"ids": list(document_ids)})
    return int(found.scalar_one())


def purge_rows(conn: Connection, name: str, document_ids: Sequence[UUID]) -> int:
    """Delete the rows of these documents from one of TABLES. Returns how many went."""
    table, condition = TABLES[name]
    gone = conn.execute(text(f"DELETE FROM {table} WHERE {condition}"), {"ids": list(document_ids)}).rowcount
    return int(gone)


def taint_datasets(conn: Connection, document_ids: Sequence[UUID]) -> int:
    """Mark every dataset version with a trace of these documents, before their rows go. Returns how many are new."""
    marked = conn.execute(
        text(f"""
            UPDATE training.dataset_versions SET tainted_at = now()
             WHERE tainted_at IS NULL AND id IN ({_TOUCHED})
        """),
        {"ids": list(document_ids)},
    )
    return int(marked.rowcount)


@dataclass(frozen=True, slots=True)
class Unfit:
    """An adapter that learnt something forgotten and does not serve."""

    id: str
    served_name: str
    """Under which it was brought up, if it ever was."""


def unfit_adapters(conn: Connection, author_id: UUID, document_ids: Sequence[UUID]) -> list[Unfit]:
    """The author's adapters that learnt something forgotten, or these documents, and neither serve nor are brought up now."""
    rows = conn.execute(
        text(f"""
            {_UNFIT}
            SELECT a.id, w.slug || '-v' || a.version FROM training.adapters a JOIN warehouse.authors w ON w.id = a.author_id
             WHERE a.id IN (SELECT id FROM unfit) AND NOT EXISTS (SELECT FROM serving.deployments d
                    WHERE d.adapter_id = a.id AND d.state IN ('serving', 'starting'))
             ORDER BY a.version
        """),
        {"author": author_id, "ids": list(document_ids)},
    )
    return [Unfit(*row) for row in rows]


def unfit_trainings(conn: Connection, author_id: UUID, document_ids: Sequence[UUID]) -> list[str]:
    """The job hashes, by which folders are named, of trainings on what is forgotten; not of one that runs now."""
    rows = conn.execute(
        text(f"""
            {_UNFIT}
            SELECT DISTINCT t.job_hash FROM training.attempts t WHERE t.author_id = :author
               AND (t.version_id IN (SELECT id FROM bad) OR t.adapter_id IN (SELECT id FROM unfit))
               AND NOT EXISTS (SELECT FROM training.attempts r WHERE r.job_hash = t.job_hash AND r.state = 'running')
        """),
        {"author": author_id, "ids": list(document_ids)},
    )
    return list(rows.scalars())


def unload_unfit(conn: Connection, author_id: UUID, document_ids: Sequence[UUID]) -> int:
    """Keep no unfit adapter loaded to go back to. Returns how many were."""
    stopped = conn.execute(
        text(f"""
            {_UNFIT}
            UPDATE serving.deployments SET state = 'stopped', since = now(), reason = 'a document that it learnt was forgotten'
             WHERE author_id = :author AND state = 'previous' AND adapter_id IN (SELECT id FROM unfit)
        """),
        {"author": author_id, "ids": list(document_ids)},
    )
    return int(stopped.rowcount)


def recount_lexemes(conn: Connection, author_id: UUID) -> None:
    """Bring the author's collection totals, which BM25 divides by, back in line with the chunks that are left."""
    conn.execute(
        text("""
            UPDATE features.lexical_totals t
               SET (chunks, lexemes) = (SELECT count(*), coalesce(sum(c.lexemes), 0) FROM features.chunks c
                                         WHERE c.author_id = t.author_id)
             WHERE t.author_id = :author
        """),
        {"author": author_id},
    )


def sources_of(conn: Connection, document_ids: Sequence[UUID]) -> list[UUID]:
    """The sources in which these documents were found."""
    rows = conn.execute(
        text(f"""
            SELECT source_id FROM warehouse.document_locations WHERE {_OF} UNION
            SELECT source_id FROM warehouse.revisions WHERE {_OF} ORDER BY source_id
        """),
        {"ids": list(document_ids)},
    )
    return list(rows.scalars())


def every_document(conn: Connection, author_id: UUID) -> list[UUID]:
    """All documents of an author, gone and merged ones too."""
    rows = conn.execute(
        text("SELECT id FROM warehouse.documents WHERE author_id = :author ORDER BY id"), {"author": author_id}
    )
    return list(rows.scalars())


def ask_to_forget(conn: Connection, *, author_id: UUID, document_id: UUID) -> UUID:
    """Record a request, for another process to carry out, and return its id; while one of it is open, that one's."""
    there = conn.execute(
        text("""
            SELECT id FROM warehouse.forget_requests
             WHERE author_id = :author AND state = 'requested' AND document_ids @> ARRAY[CAST(:id AS uuid)]
             ORDER BY requested_at LIMIT 1
        """),
        {"author": author_id, "id": document_id},
    ).scalar_one_or_none()
    if there is not None:
        return UUID(str(there))
    request_id = uuid4()
    request_forgetting(conn, request_id=request_id, author_id=author_id, document_ids=[document_id])
    return request_id


def request_forgetting(conn: Connection, *, request_id: UUID, author_id: UUID, document_ids: Sequence[UUID]) -> None:
    """Record that these documents are to be forgotten."""
    conn.execute(
        text("""
            INSERT INTO warehouse.forget_requests (id, author_id, document_ids)
            VALUES (:id, :author, CAST(:ids AS uuid[]))
        """),
        {"id": request_id, "author": author_id, "ids": list(document_ids)},
    )


def open_requests(conn: Connection, author_id: UUID) -> list[ForgetRequest]:
    """The author's requests that are not done, oldest first."""
    rows = conn.execute(
        text("""
            SELECT id, author_id, document_ids, state, receipt FROM warehouse.forget_requests
             WHERE author_id = :author AND state = 'requested' ORDER BY requested_at, id
        """),
        {"author": author_id},
    )
    return [ForgetRequest(**row) for row in rows.mappings()]


def note_extent(conn: Connection, request_id: UUID, document_ids: Sequence[UUID], before: Mapping[str, int]) -> None:
    """Note what a request reaches and how much there was, once: a resumed saga finds less.

    From here on no trace is recorded that rests on these documents, and those that were being recorded are there.
    """
    author_id = conn.execute(text("SELECT author_id FROM warehouse.forget_requests WHERE id = :id"), {"id": request_id})
    lock_recording(conn, author_id.scalar_one(), shared=False)
    receipt = {name: {"before": count} for name, count in before.items()}
    conn.execute(
        text("""
            UPDATE warehouse.forget_requests
               SET document_ids = CAST(:ids AS uuid[]), receipt = CAST(:receipt AS jsonb) WHERE id = :id
        """),
        {"id": request_id, "ids": list(document_ids), "receipt": json.dumps(receipt)},
    )


def close_request(conn: Connection, request_id: UUID, receipt: Mapping[str, Mapping[str, int]]) -> None:
    """The request is done, with its receipt."""
    conn.execute(
        text("""
            UPDATE warehouse.forget_requests
               SET state = 'done', finished_at = now(), receipt = CAST(:receipt AS jsonb) WHERE id = :id
        """),
        {"id": request_id, "receipt": json.dumps({name: dict(counts) for name, counts in receipt.items()})},
    )


def purge_author(conn: Connection, author_id: UUID) -> int:
    """Delete every row of an author in every schema of ours, in one transaction. Returns how many there were."""
    held = count_author(conn, author_id)
    # Most goes with the author's own row by foreign keys, in an order that they know; then what refers to nothing.
    conn.execute(text("DELETE FROM warehouse.authors WHERE id = :author"), {"author": author_id})
    for table in _tables_of_authors():
        conn.execute(text(f"DELETE FROM {table} WHERE author_id = :author"), {"author": author_id})
    return held


def count_author(conn: Connection, author_id: UUID) -> int:
    """Rows of an author in every schema of ours."""
    counts = [f"(SELECT count(*) FROM {table} WHERE author_id = :author)" for table in _tables_of_authors()]
    counts.append("(SELECT count(*) FROM warehouse.authors WHERE id = :author)")
    return int(conn.execute(text(f"SELECT {' + '.join(counts)}"), {"author": author_id}).scalar_one())


def _tables_of_authors() -> list[str]:
    """Every table with an author: also those of parts that came later."""
    return sorted(f"{table.schema}.{table.name}" for table in metadata.tables.values() if "author_id" in table.c)


def note_problem(conn: Connection, request_id: UUID, problem: str) -> None:
    """Note that a request could not be carried out, and why; it stays open."""
    conn.execute(
        text("""
            UPDATE warehouse.forget_requests SET attempts = attempts + 1, problem = :problem WHERE id = :id
        """),
        {"id": request_id, "problem": problem},
    )


def request_state(conn: Connection, author_id: UUID, request_id: UUID) -> RequestState:
    """A request with its receipt. Raises NotFound."""
    row = (
        conn.execute(
            text("""
                SELECT id, document_ids, state, receipt, requested_at, finished_at, attempts, problem
                  FROM warehouse.forget_requests WHERE author_id = :author AND id = :id
            """),
            {"author": author_id, "id": request_id},
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotFound(f"There is no request {request_id} of this author.")
    return RequestState(**row)


def authors_with_requests(conn: Connection) -> dict[UUID, list[UUID]]:
    """Author id -> their requests that are not done, oldest first."""
    rows = conn.execute(
        text("""
            SELECT author_id, id FROM warehouse.forget_requests WHERE state = 'requested' ORDER BY requested_at, id
        """)
    )
    found: dict[UUID, list[UUID]] = {}
    for row in rows:
        found.setdefault(row.author_id, []).append(row.id)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Living:
    """One location that is stored, with all by which a tombstone would know it."""

    document_id: UUID
    source_id: UUID
    native_id: str
    location: str
    content_hash: str
    canonical_url: str | None
    address: str | None
    platform_id: str | None
    bands: list[int] | None


def living(conn: Connection, author_id: UUID) -> list[Living]:
    """Every location of an author: what tombstones are replayed against."""
    rows = conn.execute(
        text("""
            SELECT document_id, source_id, native_id, location, content_hash, canonical_url, address, platform_id, bands
              FROM warehouse.document_locations WHERE author_id = :author
        """),
        {"author": author_id},
    )
    return [Living(**row) for row in rows.mappings()]
