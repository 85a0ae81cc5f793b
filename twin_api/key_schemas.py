"""The shapes of `/v1/keys`. The secret of a key stands in one of them and is shown once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct, field

from twin_core.store.keys import ApiKey, NewKey, Scope


class KeyRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """What the new key may do, and for how long."""

    name: Annotated[str, Meta(min_length=1, max_length=100, description="What it is for: what to revoke later.")]
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=3)] = field(default_factory=lambda: ["read"])
    expires_in_days: Annotated[int, Meta(ge=1, le=3650)] | None = None
    """None: as long as the key that makes it."""


class KeyView(Struct, kw_only=True):
    """A key, without its secret."""

    id: UUID
    name: str
    prefix: Annotated[str, Meta(description="How it begins: enough to tell keys apart.")]
    scopes: list[str]
    state: Literal["active", "expired", "revoked"]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    current: Annotated[bool, Meta(description="Whether it is the key that asks.")]

    @classmethod
    def of(cls, key: ApiKey, asking: UUID) -> KeyView:
        """The key as the API shows it."""
        return cls(
            id=key.id,
            name=key.name,
            prefix=key.prefix,
            scopes=list(key.scopes),
            state=key.state,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            current=key.id == asking,
        )


class KeyList(Struct, kw_only=True):
    """The author's keys, newest first, revoked and expired ones included."""

    keys: list[KeyView]
    next_cursor: str | None


class NewKeyView(Struct, kw_only=True):
    """A key just made. Its secret is not stored: this is the only time that it is shown."""

    secret: Annotated[
        str | None, Meta(description="Send it as `Authorization: Bearer twin_...`. Null where this answer is replayed.")
    ]
    key: KeyView

    @classmethod
    def of(cls, made: NewKey, asking: UUID) -> NewKeyView:
        """The key with its secret."""
        return cls(secret=made.secret, key=KeyView.of(made.key, asking))
