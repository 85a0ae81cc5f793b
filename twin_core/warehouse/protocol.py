"""What every warehouse does. The contract suite in tests/contract holds both implementations to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol
from uuid import UUID

from twin_core.records import RawRevision


class Warehouse(Protocol):
    """Keeps raw revisions, keyed by revision id. Writing the same revision twice changes nothing."""

    name: str
    """What receipts and status call it: "postgres" or "mongodb"."""

    def put(self, revisions: Sequence[RawRevision]) -> None:
        """Store revisions. All or, after an error, a prefix: putting the same again completes it."""
        ...

    def get(self, revision_ids: Sequence[UUID]) -> Iterator[RawRevision]:
        """The named revisions that are there, in no particular order, read in batches."""
        ...

    def history(self, document_id: UUID) -> list[RawRevision]:
        """Every revision of one document, oldest first."""
        ...

    def purge(self, document_ids: Sequence[UUID]) -> int:
        """Remove every revision of these documents. Returns how many went."""
        ...

    def count(self, document_ids: Sequence[UUID]) -> int:
        """How many revisions of these documents are there."""
        ...

    def ping(self) -> None:
        """Return when the server answers; raise ServiceUnavailable when it does not."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...
