"""The warehouse beside everything else: raw revisions as JSONB rows of the `twin` database.

The default. Its SQL is in `store/raw_documents.py`, the shape of a row in `encoding.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy import text

from twin_core.records import RawRevision
from twin_core.store.database import Database
from twin_core.store.raw_documents import count_raw, delete_raw, insert_raw, raw_of_documents, read_raw
from twin_core.warehouse.encoding import decode, encode

READ_BATCH = 64
"""Revisions read at once: bodies may be megabytes, and the reader holds one batch."""


class PostgresWarehouse:
    """Raw revisions in `warehouse.raw_documents`."""

    name = "postgres"

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, revisions: Sequence[RawRevision]) -> None:
        """Store revisions in one transaction; those that are there stay as they are."""
        if not revisions:
            return
        with self._database.transaction() as conn:
            insert_raw(
                conn,
                revision_ids=[revision.id for revision in revisions],
                author_ids=[revision.author_id for revision in revisions],
                document_ids=[revision.document_id for revision in revisions],
                raw=[json.dumps(encode(revision), ensure_ascii=False, allow_nan=False) for revision in revisions],
            )

    def get(self, revision_ids: Sequence[UUID]) -> Iterator[RawRevision]:
        """The named revisions that are there, read in batches, each in a transaction of its own."""
        for start in range(0, len(revision_ids), READ_BATCH):
            with self._database.transaction() as conn:
                rows = read_raw(conn, revision_ids[start : start + READ_BATCH])
            for revision_id, document_id, author_id, raw in rows:
                yield decode(revision_id=revision_id, document_id=document_id, author_id=author_id, raw=raw)

    def history(self, document_id: UUID) -> list[RawRevision]:
        """Every revision of one document, oldest first."""
        with self._database.transaction() as conn:
            rows = raw_of_documents(conn, [document_id])
        found = [decode(revision_id=row[0], document_id=row[1], author_id=row[2], raw=row[3]) for row in rows]
        return sorted(found, key=lambda revision: (revision.fetched_at, revision.id))

    def purge(self, document_ids: Sequence[UUID]) -> int:
        """Remove every revision of these documents. Returns how many went."""
        with self._database.transaction() as conn:
            return delete_raw(conn, document_ids)

    def count(self, document_ids: Sequence[UUID]) -> int:
        """How many revisions of these documents are there."""
        with self._database.transaction() as conn:
            return count_raw(conn, document_ids)

    def ping(self) -> None:
        """Return when Postgres answers; raise ServiceUnavailable when it does not."""
        with self._database.transaction() as conn:
            conn.execute(text("SELECT 1"))

    def close(self) -> None:
        """Nothing to close: the connections are the database's."""
