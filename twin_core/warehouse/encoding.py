"""A raw revision as one plain document and back: the shape that both warehouses store.

One shape, so that a dump of one warehouse reads like a dump of the other: text bodies stay readable in SQL and in
the MongoDB shell, anything else is kept as base64. How it is written to a server is in `postgres.py` and `mongo.py`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

from twin_core.records import Category, RawRevision

Plain = dict[str, object]


def encode(revision: RawRevision) -> Plain:
    """The revision without its ids as a JSON object: `body` (text) or `body_base64`, times in ISO 8601."""
    return {
        "source_id": str(revision.source_id),
        "native_id": revision.native_id,
        "location": revision.location,
        "category": revision.category.value,
        "media_type": revision.media_type,
        "content_hash": revision.content_hash,
        "title": plain(revision.title),
        "written_at": _written(revision.written_at),
        "modified_at": _written(revision.modified_at),
        "fetched_at": _written(revision.fetched_at),
        "metadata": plain(revision.metadata),
        **_body(revision.body),
    }


def decode(*, revision_id: UUID, document_id: UUID, author_id: UUID, raw: Mapping[str, object]) -> RawRevision:
    """The revision that `encode` made this of. Raises KeyError or ValueError for anything else."""
    fetched_at = _read(raw["fetched_at"])
    metadata = raw["metadata"]
    if fetched_at is None or not isinstance(metadata, Mapping):
        raise ValueError(f"The raw document of revision {revision_id} is not one that this product wrote.")
    return RawRevision(
        id=revision_id,
        document_id=document_id,
        author_id=author_id,
        source_id=UUID(str(raw["source_id"])),
        native_id=str(raw["native_id"]),
        location=str(raw["location"]),
        category=Category(str(raw["category"])),
        media_type=str(raw["media_type"]),
        body=_bytes(raw),
        content_hash=str(raw["content_hash"]),
        title=None if raw["title"] is None else str(raw["title"]),
        written_at=_read(raw["written_at"]),
        modified_at=_read(raw["modified_at"]),
        metadata=dict(metadata),
        fetched_at=fetched_at,
    )


def plain(value: object) -> object:
    """The value as JSON can hold it in both servers: times as text, no NUL, no NaN, no half surrogates."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bool | float | None):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if isinstance(value, Mapping):
        return {str(plain(str(key))): plain(part) for key, part in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
        return [plain(part) for part in value]
    return plain(str(value))


def _body(body: bytes) -> Plain:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return {"body_base64": base64.b64encode(body).decode("ascii")}
    return {"body": text}


def _bytes(raw: Mapping[str, object]) -> bytes:
    if "body" in raw:
        return str(raw["body"]).encode()
    return base64.b64decode(str(raw["body_base64"]), validate=True)


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _read(moment: object) -> datetime | None:
    return None if moment is None else datetime.fromisoformat(str(moment))
