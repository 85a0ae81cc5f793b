"""What a source states beside the text (titles, dates, tags), brought to values that every store can hold.

A front matter, a feed or a page may state anything, of any type and length: here it becomes plain text, lists of
text, and dates with a time zone. Nothing is guessed: what cannot be read is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

_LONGEST = 2_000
_MOST_VALUES = 100
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_FORMATS = (
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%B %d, %Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%d %b %Y",
    "%Y-%m-%d %H:%M:%S %z",
)
_DAY_WITH_HYPHENS = re.compile(r"(?<!\d)(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?!\d)")


def storable(text: str) -> str:
    """The text without what PostgreSQL and UTF-8 cannot hold: NUL and lone surrogates become U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def short(value: object) -> str | None:
    """One value as one line of text of at most 2,000 characters; None for nothing, and for what has parts."""
    if value is None or isinstance(value, (Mapping, list, tuple, set, bytes)):
        return None
    text = value.isoformat() if isinstance(value, (date, datetime)) else str(value)
    return " ".join(storable(text[:_LONGEST]).split()) or None


def texts(value: object) -> list[str]:
    """A value as a list of texts: a list, or words separated by commas."""
    if isinstance(value, str):
        parts: Iterable[object] = value.split(",")
    elif isinstance(value, (list, tuple, set)):
        parts = value
    else:
        parts = [value]
    found = (short(part) for part, _ in zip(parts, range(_MOST_VALUES), strict=False))
    return [text.lstrip("#") for text in found if text]


def moment(value: object) -> datetime | None:
    """A date or time as people and programs write it; without a zone it is taken as UTC. None when unreadable."""
    if isinstance(value, datetime):
        return _zoned(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, str):
        return None
    text = value.strip()[:64]
    try:
        return _zoned(datetime.fromisoformat(text))
    except ValueError:
        pass
    for form in _FORMATS:
        try:
            return _zoned(datetime.strptime(text, form))  # noqa: DTZ007 - the zone is set by _zoned
        except ValueError:
            continue
    try:
        return _zoned(parsedate_to_datetime(text))
    except (ValueError, IndexError, TypeError):
        return None


def day_in_name(name: str) -> datetime | None:
    """The YYYY-MM-DD in a file name, as midnight UTC."""
    found = _DAY_WITH_HYPHENS.search(name)
    if found is None:
        return None
    try:
        return datetime(int(found[1]), int(found[2]), int(found[3]), tzinfo=UTC)
    except ValueError:
        return None


def _zoned(value: datetime) -> datetime | None:
    try:
        utc = (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    return utc if 1 < utc.year < 9999 else None
