"""Cursors: opaque, signed, of one list and one author. Whatever else is sent as one is a 400."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin_api.paging import Pager
from twin_core.errors import InvalidInput

PAGER = Pager(b"k" * 32)
AUTHOR = UUID(int=7)
WHERE = (datetime(2026, 1, 1, tzinfo=UTC), UUID(int=1))
Kind = tuple[datetime, UUID]


def test_a_cursor_is_read_back_as_it_was_written() -> None:
    assert PAGER.read("keys", AUTHOR, PAGER.written("keys", AUTHOR, WHERE), Kind) == WHERE
    assert PAGER.read("keys", AUTHOR, None, Kind) is None


@given(st.text(max_size=200))
def test_anything_else_is_none_of_ours(cursor: str) -> None:
    with pytest.raises(InvalidInput):
        PAGER.read("keys", AUTHOR, cursor, Kind)


@given(st.data())
def test_a_cursor_with_one_byte_changed_is_none_of_ours(data: st.DataObject) -> None:
    cursor = PAGER.written("keys", AUTHOR, WHERE)
    raw = bytearray(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidInput):
        PAGER.read("keys", AUTHOR, urlsafe_b64encode(raw).decode(), Kind)


def test_a_cursor_of_another_list_another_author_or_another_installation_is_none_of_ours() -> None:
    cursor = PAGER.written("keys", AUTHOR, WHERE)
    for pager, listing, author in (
        (PAGER, "imports", AUTHOR), (PAGER, "keys", uuid4()), (Pager(b"o" * 32), "keys", AUTHOR),
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            pager.read(listing, author, cursor, Kind)
