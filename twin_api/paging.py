"""Paging, one way for every list: `limit`, `cursor`, and `next_cursor` in the answer, which is null on the last page.

A cursor is where a page ended, signed: it works for the list and the author it was made for, and what somebody changed
in it is refused instead of understood. What a list is ordered by is for its own query.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
from litestar.params import Parameter

from twin_core.errors import InvalidInput
from twin_core.runtime.urls import secret_for
from twin_core.settings import Settings

_MAC = 16
"""Bytes of the signature: enough that nobody guesses one."""
LONGEST_CURSOR = 8_000
"""A cursor may hold the address of an item."""

SHAPE = "^[A-Za-z0-9_-]*$"
"""What a cursor is written with: anything else could make an address longer than a server reads."""

Cursor = Annotated[
    str | None,
    Parameter(
        max_length=LONGEST_CURSOR,
        pattern=SHAPE,
        description="`next_cursor` of the page before; none: the first page.",
    ),
]
Row = TypeVar("Row")
Position = TypeVar("Position")


@dataclass(frozen=True, slots=True)
class Pager:
    """Makes and reads the cursors of one installation."""

    key: bytes

    @classmethod
    def of(cls, settings: Settings) -> Pager:
        """Every process of an installation understands the cursors of the others."""
        return cls(secret_for(settings, "cursors"))

    def written(self, listing: str, author_id: UUID, position: object) -> str:
        """The cursor of a position in an author's list."""
        where = msgspec.json.encode(position)
        return urlsafe_b64encode(self._mac(listing, author_id, where) + where).decode("ascii").rstrip("=")

    def read(self, listing: str, author_id: UUID, cursor: str | None, kind: type[Position]) -> Position | None:
        """The position of a cursor, None without one. Raises InvalidInput for one that was not made here for this list."""
        if cursor is None:
            return None
        where = self._opened(listing, author_id, cursor)
        try:
            if where is not None:
                return msgspec.json.decode(where, type=kind)
        except msgspec.MsgspecError:  # one of an older version of the list
            pass
        raise InvalidInput(
            "This `cursor` is none of ours. Take `next_cursor` as it came, for the same list, or start without one."
        )

    def _opened(self, listing: str, author_id: UUID, cursor: str) -> bytes | None:
        try:
            raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        except ValueError:
            return None
        mac, where = raw[:_MAC], raw[_MAC:]
        return where if hmac.compare_digest(mac, self._mac(listing, author_id, where)) else None

    def cut(
        self, listing: str, author_id: UUID, rows: Sequence[Row], limit: int, position: Callable[[Row], object]
    ) -> tuple[Sequence[Row], str | None]:
        """A page of `limit` rows and the cursor behind it. `rows` has one more where there is another page."""
        page = rows[:limit]
        if len(rows) <= limit:
            return page, None
        return page, self.written(listing, author_id, position(page[-1]))

    def _mac(self, listing: str, author_id: UUID, where: bytes) -> bytes:
        return hmac.digest(self.key, listing.encode() + b"\0" + author_id.bytes + where, "sha256")[:_MAC]
