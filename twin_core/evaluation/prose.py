"""What a text leaves when everything that is not its author's sentences is taken away.

Markdown habits, code and links tell authors apart for free, and a model learns them first: a measure that sees them
measures formatting. Quotations are other people's sentences. Cleaning for search, which keeps all this, is in `text`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from typing import Any

from twin_core.errors import InvalidInput
from twin_core.text.markdown import split_front_matter

_NOT_PROSE = frozenset({"blockquote_open", "heading_open", "table_open"})
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+")
_TEMPLATE = re.compile(r"\{[%{].*?[%}]\}")
_SPACE_BEFORE_MARK = re.compile(r"\s+([.,;:!?)])")
_EMPTY_BRACKETS = re.compile(r"\(\s*[,;/&\s]*\)")
_ORPHANED_MARKS = re.compile(r"([,;])(?:\s*[,;])+")
_WORD = re.compile(r"[^\W\d_]+")
_TYPOGRAPHY = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "…": "...", "\u00a0": " "})
FEWEST_WORDS = 3
"""A paragraph of fewer words is a label, a date or what is left of a link."""


def prose(text: str) -> tuple[str, ...]:
    """The paragraphs and list items of a Markdown or plain text, each on one line, without markup.

    Gone are front matter, headings, code (blocks and inline), quotations, tables, images, HTML, addresses, and paragraphs that
    are nothing but a link; the words of other links stay. Typographic quotes become plain ones, because the platform
    sets them and not the author.
    """
    with suppress(InvalidInput):  # what looks like front matter and is none stays: nothing to refuse a text for
        _, text = split_front_matter(text)
    inside: list[str] = []
    paragraphs = []
    for token in _parser().parse(text):
        if token.nesting == 1:
            inside.append(token.type)
        elif token.nesting == -1:
            inside.pop()
        elif token.type == "inline" and not _NOT_PROSE.intersection(inside):
            paragraph = _tidied(_words_of(token.children or []))
            if len(_WORD.findall(paragraph)) >= FEWEST_WORDS:
                paragraphs.append(paragraph)
    return tuple(paragraphs)


@lru_cache(maxsize=1)
def _parser() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table")


def _words_of(tokens: list[Any]) -> str:
    """The text of a paragraph; empty when all its words stand in links."""
    parts: list[str] = []
    links = 0
    automatic = own_words = False
    for token in tokens:
        if token.type == "link_open":
            links += 1
            automatic = token.info == "auto"
        elif token.type == "link_close":
            links -= 1
        elif token.type in {"softbreak", "hardbreak"}:
            parts.append(" ")
        elif token.type == "text" and not (links and automatic):
            parts.append(token.content)
            own_words = own_words or (not links and bool(_WORD.search(token.content)))
    return "".join(parts) if own_words else ""


def _tidied(text: str) -> str:
    """Without what taking code and links away leaves behind: `, , and` or an empty pair of brackets."""
    text = _ADDRESS.sub("", _TEMPLATE.sub("", text.translate(_TYPOGRAPHY)))
    text = _SPACE_BEFORE_MARK.sub(r"\1", _EMPTY_BRACKETS.sub("", " ".join(text.split())))
    return " ".join(_ORPHANED_MARKS.sub(r"\1", text).split())
