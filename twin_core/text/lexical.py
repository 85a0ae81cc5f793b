"""What lexical search sees: which PostgreSQL configuration reads a text, and in what form the text is handed to it.

Documents and queries go through the same steps, so that a word matches itself whatever script or identifier style it
is written in. The SQL that calls `to_tsvector` is in `store`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from twin_core.records import Category

# PostgreSQL's own stemmers by ISO 639-1 code. Estonian and Polish are not here: the first came with version 18 only.
_CONFIGS = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "nb": "norwegian", "ne": "nepali",
    "nl": "dutch", "nn": "norwegian", "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian",
    "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip

# Han, Hiragana, Katakana, Thai, Lao, Burmese, Khmer: written without spaces between words. (Korean has spaces.)
_UNSPACED = "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_UNSPACED += "\u0e01-\u0e5b\u0e80-\u0edf\u1000-\u109f\u1780-\u17ff"
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")
# PostgreSQL takes `either/or` for a file name, and a curly quotation mark for a letter where the locale is C.
_SEPARATOR = re.compile(r"[/\\]|[^\x00-\x7f\w\s]")
_WORD = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+")


def search_config(language: str, category: Category) -> str:
    """The PostgreSQL text search configuration for a text: the language's stemmer, or `simple`.

    `simple` for code and for languages that PostgreSQL has no stemmer for.
    """
    return "simple" if category == Category.CODE else _CONFIGS.get(language.lower()[:2], "simple")


def indexed_text(context: str, text: str, category: Category) -> str:
    """What is given to `to_tsvector` for a passage: its context and its text, made searchable.

    In code every identifier is followed by its parts (`getParser` and `get_parser` both give getparser, get, parser).
    Scripts without spaces become pairs of characters. Slashes separate words; dotted names are taken apart.
    """
    return _searchable(f"{context}\n{text}" if context else text, identifiers=category == Category.CODE)


def query_text(query: str, category: Category | None = None) -> str:
    """The same for a query. Identifiers are taken apart too, unless `category` says that only prose is searched."""
    return _searchable(query, identifiers=category in (None, Category.CODE))


def _searchable(text: str, *, identifiers: bool) -> str:
    text = _SEPARATOR.sub(" ", text)
    text = _UNSPACED_RUN.sub(lambda found: f" {_pairs(found.group())} ", text)
    return _WORD.sub(lambda found: _word(found.group(), identifiers=identifiers), text)


def _pairs(run: str) -> str:
    return run if len(run) < 2 else " ".join(run[at : at + 2] for at in range(len(run) - 1))


@lru_cache(maxsize=65_536)
def _word(word: str, *, identifiers: bool) -> str:
    pieces = word.split(".")
    if identifiers:
        pieces = [piece for name in pieces for piece in _identifier(name)]
    return " ".join(pieces)


def _identifier(name: str) -> list[str]:
    parts = _PART.findall(name)
    joined = "".join(parts)
    # A joined form longer than a lexeme may be is of no use; PostgreSQL would only complain about it.
    return [name] if len(parts) < 2 or len(joined) > 200 else [joined, *parts]
