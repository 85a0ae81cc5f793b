"""What a person typed, taken apart: the words to search for and the phrases that must be there word for word.

Pure text handling. How words become lexemes is in `text/lexical.py`, what is done with them in `search.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from twin_core.errors import InvalidInput

MAX_CHARACTERS = 2_000
"""Longest query. MiniLM reads some 1,000 characters; beyond twice that nobody typed it as a question."""

_PHRASE = re.compile(r'"([^"]*)"|“([^“”]*)”|„([^„“”]*)[“”]|«([^«»]*)»')
_QUOTES = re.compile(r'["“”„«»]')
_BETWEEN = r"[[:space:][:punct:]]+"
# Scripts without spaces have no word boundary to insist on, and neither has a phrase that begins with a sign.
_SPACED_LETTER = re.compile(r"[0-9A-Za-z\u00c0-\u1fff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query as the legs take it."""

    text: str
    """All words, quotation marks removed."""
    phrases: tuple[str, ...] = ()
    """What stood in quotation marks."""

    @property
    def patterns(self) -> tuple[str, ...]:
        """One PostgreSQL regular expression per phrase, meant for `~*`."""
        return tuple(_pattern(phrase) for phrase in self.phrases)


def parse(query: str) -> Query:
    """Take a query apart. A quotation mark without its partner is ignored.

    Raises InvalidInput when no word is left, or when it is longer than MAX_CHARACTERS.
    """
    if "\x00" in query:
        raise InvalidInput("The query holds a NUL character, which no text does. Remove it.")
    if len(query) > MAX_CHARACTERS:
        raise InvalidInput(f"The query has {len(query)} characters; at most {MAX_CHARACTERS} are searched. Shorten it.")
    found = (
        " ".join(next(part for part in match.groups() if part is not None).split()) for match in _PHRASE.finditer(query)
    )
    phrases = tuple(dict.fromkeys(phrase for phrase in found if _words(phrase)))
    words = " ".join(_QUOTES.sub(" ", query).split())
    if not _words(words):
        raise InvalidInput("The query has no words in it. Say what to search for.")
    return Query(text=words, phrases=phrases)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _pattern(phrase: str) -> str:
    words = [re.sub(r"([^\w])", r"\\\1", word) for word in phrase.split()]
    before = r"\m" if _SPACED_LETTER.match(phrase[0]) else ""
    after = r"\M" if _SPACED_LETTER.match(phrase[-1]) else ""
    return before + _BETWEEN.join(words) + after
