"""From bytes to text: which encoding a body is in, and whether it is text at all.

Nothing here knows formats; what the text says is the business of `html.py` and `markdown.py`.
"""

from __future__ import annotations

import codecs
import re

from twin_core.errors import InvalidInput

# UTF-32's little-endian mark begins with UTF-16's, so it is asked about first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What servers and editors state without having looked: a body that is valid UTF-8 nevertheless is UTF-8.
_SAID_BY_HABIT = frozenset({"iso8859-1", "cp1252", "iso8859-15", "ascii"})
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_HTML_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{2,40})", re.IGNORECASE)
# Above this share of control characters a body is a picture, not a text with a stray form feed.
_BINARY_SHARE = 0.02
# Western text in an old single-byte encoding is mostly ASCII; where it is not, the language must be guessed.
_WESTERN_SHARE = 0.15


def decode(body: bytes, declared: str | None = None) -> str:
    """The text of `body`: byte-order mark, then UTF-8, then the declared charset, then a cautious guess.

    The mark itself is dropped; line ends are left as they are. Raises InvalidInput when the body is binary or
    when no encoding fits.
    """
    for mark, name in _MARKS:
        if body.startswith(mark):
            try:
                text = body.decode(name)
            except UnicodeDecodeError as error:
                raise InvalidInput(
                    f"The text starts as {name} and breaks at byte {error.start}. Save it again as UTF-8."
                ) from error
            if "\0" in text:
                raise InvalidInput("This is a binary file, not text (it holds NUL characters).")
            return text
    if b"\0" in body:
        raise InvalidInput("This is a binary file, not text (it holds NUL bytes). Text in UTF-16 needs its mark.")
    if len(_CONTROL.findall(body)) > max(_BINARY_SHARE * len(body), 3):
        raise InvalidInput("This is a binary file, not text (it is full of control characters).")
    charset = _codec(declared)
    if charset is not None and charset not in _SAID_BY_HABIT:
        try:
            return body.decode(charset)
        except (UnicodeDecodeError, LookupError):
            pass  # the declaration is wrong; what the bytes say counts
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        return _guess(body, charset, error.start)


def html_charset(body: bytes) -> str | None:
    """The charset that a page states of itself in its first 2,048 bytes, to be given to `decode`."""
    found = _HTML_CHARSET.search(body[:2048])
    return found.group(1).decode("ascii") if found else None


def _codec(name: str | None) -> str | None:
    if not name:
        return None
    try:
        return codecs.lookup(name.strip().strip("\"'")).name
    except (LookupError, ValueError):
        return None


def _guess(body: bytes, charset: str | None, first_bad: int) -> str:
    if charset == "iso8859-15":
        return body.decode(charset)
    high = sum(byte >= 0x80 for byte in body[:100_000])
    if charset in _SAID_BY_HABIT or high <= _WESTERN_SHARE * min(len(body), 100_000):
        try:
            return body.decode("cp1252")  # what "latin-1" has meant on the web for thirty years
        except UnicodeDecodeError:
            pass
    from charset_normalizer import from_bytes

    best = from_bytes(body[:100_000]).best()
    if best is not None:
        try:
            return body.decode(best.encoding)
        except UnicodeDecodeError:
            pass  # the sample fitted, the rest does not
    raise InvalidInput(
        f"The text is in no known encoding (not UTF-8 from byte {first_bad} on). Save it as UTF-8, or declare its charset."
    )
