"""The warehouse on a MongoDB server: raw revisions as documents whose `_id` is the revision id.

For whoever keeps raw material apart from the features. The shape of a document is in `encoding.py`, with the three
ids beside it as text, so that a person finds them in the shell by copying an id from SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

from pymongo import MongoClient, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, ConfigurationError, DocumentTooLarge, InvalidURI, PyMongoError

from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.records import RawRevision
from twin_core.warehouse.encoding import decode, encode

ANSWER_SECONDS = 5
"""Longest wait for a server that may be down: a person waits for this."""
WORK_SECONDS = 60
"""Longest time for one operation on a server that is up."""
_PATIENCE = {
    "connectTimeoutMS": ANSWER_SECONDS * 1000,
    "serverSelectionTimeoutMS": ANSWER_SECONDS * 1000,
    "socketTimeoutMS": WORK_SECONDS * 1000,
}
"""Defaults: what the URL says itself counts."""
READ_BATCH = 64
DEFAULT_DATABASE = "twin"
COLLECTION = "raw_documents"
_KEY = re.compile(r"[%.$]")


class MongoWarehouse:
    """Raw revisions in the collection `raw_documents` of the database that the URL names (default `twin`)."""

    name = "mongodb"

    def __init__(self, url: str) -> None:
        """Connects on first use. Raises InvalidInput for a URL that is none."""
        try:
            patience: dict[str, Any] = {
                name: value for name, value in _PATIENCE.items() if name.lower() not in url.lower()
            }
            self._client: MongoClient[dict[str, Any]] = MongoClient(url, appname="llm-twin", **patience)
            self._collection = self._client.get_default_database(DEFAULT_DATABASE)[COLLECTION]
        except (ConfigurationError, InvalidURI, ValueError) as error:
            raise InvalidInput(
                f"TWIN_MONGO_URL cannot be used: {error}. It looks like mongodb://host:27017/twin."
            ) from error
        self._indexed = False

    def put(self, revisions: Sequence[RawRevision]) -> None:
        """Store revisions in order; those that are there stay as they are, and a repetition completes a prefix.

        Raises InvalidInput for a document larger than the server takes (16 MB).
        """
        if not revisions:
            return
        writes = [
            UpdateOne(
                {"_id": str(revision.id)},
                {
                    "$setOnInsert": {
                        "document_id": str(revision.document_id),
                        "author_id": str(revision.author_id),
                        **_escaped(encode(revision)),
                    }
                },
                upsert=True,
            )
            for revision in revisions
        ]
        with self._answering():
            self._with_index().bulk_write(writes, ordered=True)

    def get(self, revision_ids: Sequence[UUID]) -> Iterator[RawRevision]:
        """The named revisions that are there, read in batches."""
        for start in range(0, len(revision_ids), READ_BATCH):
            named = [str(revision_id) for revision_id in revision_ids[start : start + READ_BATCH]]
            with self._answering():
                found = list(self._collection.find({"_id": {"$in": named}}))
            yield from map(_decode, found)

    def history(self, document_id: UUID) -> list[RawRevision]:
        """Every revision of one document, oldest first."""
        with self._answering():
            found = [_decode(raw) for raw in self._with_index().find({"document_id": str(document_id)})]
        return sorted(found, key=lambda revision: (revision.fetched_at, revision.id))

    def purge(self, document_ids: Sequence[UUID]) -> int:
        """Remove every revision of these documents. Returns how many went."""
        if not document_ids:
            return 0
        with self._answering():
            return self._with_index().delete_many(_of(document_ids)).deleted_count

    def count(self, document_ids: Sequence[UUID]) -> int:
        """How many revisions of these documents are there."""
        if not document_ids:
            return 0
        with self._answering():
            return self._with_index().count_documents(_of(document_ids))

    def ping(self) -> None:
        """Return when the server answers; raise ServiceUnavailable when it does not."""
        with self._answering():
            self._client.admin.command("ping")

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def _with_index(self) -> Collection[dict[str, Any]]:
        if not self._indexed:
            self._collection.create_index("document_id")
            self._indexed = True
        return self._collection

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except DocumentTooLarge as error:
            raise InvalidInput(
                "A raw document is larger than MongoDB takes (16 MB). Lower TWIN_MAX_FILE_BYTES and TWIN_CRAWL_MAX_BYTES."
            ) from error
        except BulkWriteError as error:
            reasons = {str(failed.get("errmsg")) for failed in (error.details or {}).get("writeErrors", [])}
            raise ServiceUnavailable(
                f"MongoDB refused to store raw documents: {'; '.join(sorted(reasons))}."
            ) from error
        except PyMongoError as error:
            raise ServiceUnavailable(
                f"MongoDB does not answer ({str(error).partition(',')[0]}). Start it, correct TWIN_MONGO_URL, or unset it "
                f"to keep raw documents in Postgres."
            ) from error


def _of(document_ids: Sequence[UUID]) -> dict[str, Any]:
    return {"document_id": {"$in": [str(document_id) for document_id in document_ids]}}


def _decode(found: dict[str, Any]) -> RawRevision:
    return decode(
        revision_id=UUID(found["_id"]),
        document_id=UUID(found["document_id"]),
        author_id=UUID(found["author_id"]),
        raw=_unescaped(found),
    )


def _escaped(part: Any) -> Any:
    """The part with keys that MongoDB takes for operators or paths (`$ref`, `og.title`) percent-encoded."""
    if isinstance(part, dict):
        return {
            _KEY.sub(lambda found: quote(found[0], safe="").replace(".", "%2E"), key): _escaped(value)
            for key, value in part.items()
        }
    return [_escaped(value) for value in part] if isinstance(part, list) else part


def _unescaped(part: Any) -> Any:
    if isinstance(part, dict):
        return {unquote(key): _unescaped(value) for key, value in part.items()}
    return [_unescaped(value) for value in part] if isinstance(part, list) else part
