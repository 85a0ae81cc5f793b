"""Members of an export read as text, rows or JSON, piece by piece: memory does not grow with the member.

What is broken in one place costs that place only: bytes that are no text become U+FFFD, a row whose quotes never close
is given back as bad and reading goes on with the next line, JSON that breaks off gives all that came before.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twin_core.collect.archive import Archive
from twin_core.errors import InvalidInput

_LONGEST_ROW_LINES = 500
_LONGEST_ROW = 2_000_000
_LONGEST_LINE = 8_000_000
_PREAMBLE_LINES = 50
_NEVER_CLOSED = "a quotation mark in it is never closed"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: values by the names that were asked for. A bad row has a reason and no values."""

    number: int
    """Counted from 1 after the header."""
    values: Mapping[str, str]
    bad: str | None = None


def text_of(archive: Archive, name: str) -> io.TextIOWrapper:
    """A member as text with its line ends as they are: by its byte-order mark, else UTF-8, else Windows' Western."""
    return io.TextIOWrapper(archive.open(name), encoding=_encoding(archive.head(name)), errors="replace", newline="")


def rows(archive: Archive, name: str, columns: Sequence[str], *, escaped: bool = False) -> Iterator[Row]:
    """The rows of a CSV. Its header may stand after a preamble, in any order and case.

    `escaped`: quotes inside a field may be escaped by a backslash. Raises InvalidInput when no line has the first of `columns`
    and one more of them: without its names a column means nothing.
    """
    with text_of(archive, name) as text:
        records = _Records(text, escaped=escaped)
        places = records.header(columns, name)
        for number, (cells, bad) in enumerate(records, start=1):
            if bad is not None:
                yield Row(number, {}, bad)
            elif any(cell.strip() for cell in cells):
                yield Row(number, {column: cells[at] if at < len(cells) else "" for column, at in places.items()})


def json_events(archive: Archive, name: str, *, after: str = "") -> Iterator[tuple[str, str, Any]]:
    """Ijson's `(prefix, event, value)` of a member; `after`: what stands in front of the JSON ends with this.

    Raises InvalidInput where the JSON breaks; what came before was given.
    """
    import ijson

    with text_of(archive, name) as text:
        try:
            yield from ijson.parse(_Utf8(text, after), use_float=True)
        except (ijson.JSONError, ValueError) as error:
            raise InvalidInput(f"{name} is broken JSON from some point on; what came before it was read") from error


def json_items(archive: Archive, name: str, prefix: str = "item", *, after: str = "") -> Iterator[Any]:
    """The values at a prefix (by default, of a list), one at a time. Raises InvalidInput where the JSON breaks."""
    import ijson

    with text_of(archive, name) as text:
        try:
            yield from ijson.items(_Utf8(text, after), prefix, use_float=True)
        except (ijson.JSONError, ValueError) as error:
            raise InvalidInput(f"{name} is broken JSON from some point on; what came before it was read") from error


class _Utf8:
    """Text as the stream of UTF-8 bytes that the JSON parser reads."""

    def __init__(self, text: io.TextIOWrapper, after: str) -> None:
        self._text = text
        head = text.read(1000)
        _, found, rest = head.partition(after) if after else ("", "", head)
        self._held = (rest if found or not after else head).encode("utf-8", "replace")

    def read(self, size: int = -1) -> bytes:
        if size == 0:
            return b""
        some, self._held = self._held or self._text.read(size).encode("utf-8", "replace"), b""
        return some


def _encoding(head: bytes) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return encoding
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(head)
    except UnicodeDecodeError as error:
        # One stray byte in UTF-8 is damage; text in another encoding breaks wherever it is not ASCII.
        return "utf-8" if _mostly_utf8(head, error.start) else "cp1252"
    return "utf-8"


def _mostly_utf8(head: bytes, first_bad: int) -> bool:
    valid = len(head[:first_bad]) - len(head[:first_bad].decode("utf-8", "replace"))
    whole = head.decode("utf-8", "ignore")
    return valid > 0 or sum(ord(letter) > 0x7F for letter in whole) > 3


class _Records:
    """The records of a CSV: their cells, or why one is none.

    Lines are gathered until their quotes close. Where they never do, or close to a record of another width than the
    header's, the first line is bad and the next begins a record: one wrong quote must not swallow what follows.
    """

    def __init__(self, text: io.TextIOWrapper, *, escaped: bool) -> None:
        self._text, self._escaped = text, escaped
        self._waiting: deque[str] = deque()
        self._width: int | None = None

    def header(self, columns: Sequence[str], name: str) -> dict[str, int]:
        """Where each of the columns stands, from the first line that names them."""
        for (cells, _), _ in zip(self, range(_PREAMBLE_LINES), strict=False):
            there = {cell.strip().casefold(): at for at, cell in reversed(list(enumerate(cells)))}
            found = {column: there[column.casefold()] for column in columns if column.casefold() in there}
            if columns[0] in found and len(found) >= min(2, len(columns)):
                self._width = len(cells)
                return found
        raise InvalidInput(f"{name} has no line that names its columns ({', '.join(columns)})")

    def __iter__(self) -> Iterator[tuple[list[str], str | None]]:
        while True:
            gathered, is_open = self._gather()
            if not gathered:
                return
            used, cells, bad = (1, [], _NEVER_CLOSED) if is_open else self._first(gathered)
            self._waiting.extendleft(reversed(gathered[used:]))
            yield cells, bad

    def _gather(self) -> tuple[list[str], bool]:
        gathered: list[str] = []
        size, is_open = 0, False
        while line := self._waiting.popleft() if self._waiting else self._text.readline(_LONGEST_LINE):
            gathered.append(line)
            size += len(line)
            is_open ^= _quotes(line, escaped=self._escaped) % 2 == 1
            if not is_open or len(gathered) >= _LONGEST_ROW_LINES or size > _LONGEST_ROW:
                break
        return gathered, is_open

    def _first(self, gathered: list[str]) -> tuple[int, list[str], str | None]:
        """Lines used, cells and fault of the first record in the gathered lines."""
        reader = csv.reader(gathered, escapechar="\\" if self._escaped else None)
        try:
            cells = next(reader, [])
        except csv.Error as error:
            return 1, [], f"it is no row of a table ({error})"
        if self._width is not None and len(gathered) > 1 and len(cells) != self._width:
            return 1, [], "a quotation mark in it is in the wrong place"
        return max(reader.line_num, 1), cells, None


def _quotes(line: str, *, escaped: bool) -> int:
    return line.count('"') - (line.count('\\"') if escaped else 0)


csv.field_size_limit(_LONGEST_LINE)
