"""API keys: made, listed, revoked, looked up. Only the SHA-256 of a key is ever stored.

A key is bound to one author and carries scopes. The lookup is the one question asked before the author is known, and
goes through the database function `serving.author_of_key`, which the API's login may call although it sees no keys.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, get_args
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from twin_core.errors import InvalidInput, NotFound

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

PREFIX = "twin_"
_SHOWN = len(PREFIX) + 6
"""Characters of a key that lists show: enough to tell keys apart, far too few to use one."""
_SHAPE = re.compile(r"twin_[A-Za-z0-9_-]{43}")

_COLUMNS = "id, author_id, name, prefix, scopes, created_at, expires_at, revoked_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A stored key, without its secret."""

    id: UUID
    author_id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @property
    def state(self) -> Literal["active", "expired", "revoked"]:
        """Whether the key opens anything now."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= datetime.now(UTC) else "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key just made. `secret` exists here and nowhere else: show it once."""

    secret: str = field(repr=False)
    key: ApiKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolder:
    """What a valid key proves: which author it acts for, and what it may do."""

    key_id: UUID
    author_id: UUID
    slug: str
    scopes: frozenset[str]


def create_key(
    conn: Connection, *, author_id: UUID, name: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> NewKey:
    """Make and store a key of 256 random bits. Raises InvalidInput for an empty name, unknown scopes, a past expiry."""
    wanted = tuple(dict.fromkeys(scopes)) or ("read",)
    if unknown := set(wanted) - set(SCOPES):
        raise InvalidInput(f"Unknown scope {', '.join(sorted(unknown))}. There are: {', '.join(SCOPES)}.")
    if not name.strip():
        raise InvalidInput("A key needs a name, so that you know later what to revoke.")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidInput("The key would have expired already. Give it at least one day.")
    secret = PREFIX + secrets.token_urlsafe(32)
    row = conn.execute(
        text(f"""
            INSERT INTO serving.api_keys (id, author_id, name, key_hash, prefix, scopes, expires_at)
            VALUES (:id, :author_id, :name, :key_hash, :prefix, :scopes, :expires_at) RETURNING {_COLUMNS}"""),
        {
            "id": uuid4(),
            "author_id": author_id,
            "name": name.strip(),
            "key_hash": key_hash(secret),
            "prefix": secret[:_SHOWN],
            "scopes": list(wanted),
            "expires_at": expires_at,
        },
    ).one()
    return NewKey(secret=secret, key=_key(row._mapping))  # noqa: SLF001  SQLAlchemy's public name


def list_keys(conn: Connection, author_id: UUID) -> list[ApiKey]:
    """The author's keys, newest first, revoked and expired ones included."""
    rows = conn.execute(
        text(f"SELECT {_COLUMNS} FROM serving.api_keys WHERE author_id = :author_id ORDER BY created_at DESC, id"),
        {"author_id": author_id},
    )
    return [_key(row) for row in rows.mappings()]


def page_of_keys(
    conn: Connection, author_id: UUID, *, after: tuple[datetime, UUID] | None = None, limit: int
) -> list[ApiKey]:
    """The author's keys, newest first, behind the one made at that time."""
    rows = conn.execute(
        text(f"""
            SELECT {_COLUMNS} FROM serving.api_keys
             WHERE author_id = :author_id AND (CAST(:id AS uuid) IS NULL
                   OR (created_at, id) < (CAST(:at AS timestamptz), CAST(:id AS uuid)))
             ORDER BY created_at DESC, id DESC LIMIT :limit
        """),
        {"author_id": author_id, "at": after and after[0], "id": after and after[1], "limit": limit},
    )
    return [_key(row) for row in rows.mappings()]


def key_by_id(conn: Connection, author_id: UUID, key_id: UUID) -> ApiKey:
    """One key of the author. Raises NotFound."""
    row = conn.execute(
        text(f"SELECT {_COLUMNS} FROM serving.api_keys WHERE author_id = :author_id AND id = :id"),
        {"author_id": author_id, "id": key_id},
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no key {key_id} of this author.")
    return _key(row._mapping)  # noqa: SLF001


def revoke_key(conn: Connection, *, author_id: UUID, key: str) -> ApiKey:
    """Revoke the author's key with this id, name or shown prefix. Revoking twice changes nothing.

    Raises NotFound when there is none, InvalidInput when several match: a person must say which.
    """
    found = [one for one in list_keys(conn, author_id) if key in {str(one.id), one.name, one.prefix}]
    if len(found) > 1:
        found = [one for one in found if one.revoked_at is None] or found[:1]
    if not found:
        raise NotFound(f"No key {key!r} of this author. `twin key list` shows them.")
    if len(found) > 1:
        raise InvalidInput(f"{len(found)} keys are called {key!r}. Name one by its id: `twin key list` shows it.")
    row = conn.execute(
        text(f"""
            UPDATE serving.api_keys SET revoked_at = coalesce(revoked_at, now())
            WHERE author_id = :author_id AND id = :id RETURNING {_COLUMNS}"""),
        {"author_id": author_id, "id": found[0].id},
    ).one()
    return _key(row._mapping)  # noqa: SLF001


def key_holder(conn: Connection, secret: str) -> KeyHolder | None:
    """Whose key this is; None when it is unknown, expired, revoked or no key at all."""
    if not _SHAPE.fullmatch(secret):
        return None
    row = conn.execute(
        text("SELECT key_id, author_id, slug, scopes FROM serving.author_of_key(:hash)"), {"hash": key_hash(secret)}
    ).one_or_none()
    if row is None:
        return None
    return KeyHolder(key_id=row.key_id, author_id=row.author_id, slug=row.slug, scopes=frozenset(row.scopes))


def key_hash(secret: str) -> str:
    """Hex SHA-256. No salt and no slow hash: the key is 256 random bits, there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: object) -> ApiKey:
    values = dict(row)  # type: ignore[call-overload]
    return ApiKey(**{**values, "scopes": tuple(values["scopes"])})
