"""The structure of a cleaned document: its sections or symbols, and where it may be cut without hurting.

One outline per category, in the same shape, so that `packing.py` need not know what it cuts. Headings come from
markdown-it, symbols from tree-sitter; a language without a parser has lines.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from twin_core.records import Category


@dataclass(frozen=True, slots=True)
class Mark:
    """A section or a symbol: its extent in characters, its depth (1 is outermost) and its name."""

    start: int
    end: int
    depth: int
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """Where a document may be cut. Positions are offsets of characters, ascending."""

    marks: Sequence[Mark] = ()
    """In order of their starts; the extents nest."""
    cuts: Sequence[Sequence[int]] = field(default=((), (), (), (), ()))
    """Places to cut below the marks, the best kind first: blocks, blank lines, lines, sentences, words."""


# Possessive quantifiers (`++`): a long run of blanks at the end of a file must not be searched from each of its places.
_SENTENCE = re.compile(r"[.!?…][\"'”’)\]*_]*+\s++|[。！？][」』”]*+\s*+")
_WORD = re.compile(r"\s++")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)++")
_LINE = re.compile(r"\n")
_EMPHASIS = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)")
_CONTAINERS = frozenset({"list_item_open", "tr_open"})

# tree-sitter's kinds of node that are a symbol, in the languages that people write most.
_CALLABLE = re.compile(r"(?:\w+_)?(?:function|method|constructor|macro|procedure|subroutine)(?:_\w+)?")
_HOLDER = re.compile(
    r"(?:abstract_)?(?:class|struct|enum|interface|trait|impl|module|namespace|protocol|object|record|union|mod|type"
    r"|extension|contract)(?:_(?:definition|declaration|item|specifier|alias|spec|alias_declaration))?"
)
# Wrappers around a symbol: the symbol in them gives the name, the wrapper the extent.
_WRAPPERS = frozenset({
    "decorated_definition", "export_statement", "template_declaration", "lexical_declaration", "variable_declaration",
    "type_declaration", "ambient_declaration",
})  # fmt: skip
# What symbols may stand in, besides a symbol: bodies, conditions around definitions, sections of a header file.
_PASSED = re.compile(r"\w*(?:body|block|list|section|preproc|linkage|statement|declaration)\w*")
_ASSIGNED = frozenset({"arrow_function", "function_expression", "function", "class"})
_DEEPEST = 4
_LONGEST_LABEL = 80


def outline(text: str, category: Category, language: str) -> Outline:
    """The outline of a cleaned text. Never raises: what has no structure has sentences and words."""
    if category == Category.CODE:
        return _code(text, language)
    if category == Category.ARTICLE:
        return _article(text)
    return Outline(cuts=([], _ends(_BLANK_LINES, text), _ends(_LINE, text), _ends(_SENTENCE, text), _ends(_WORD, text)))


def _article(text: str) -> Outline:
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").disable(["inline"]).enable("table").parse(text)
    starts = _line_starts(text)
    headings: list[tuple[int, int, str]] = []
    blocks: list[int] = []
    lines: list[int] = []
    for index, token in enumerate(tokens):
        if token.map is None or token.nesting < 0:
            continue
        first, last = token.map
        if token.type == "heading_open" and token.level == 0:
            label = _EMPHASIS.sub("", tokens[index + 1].content).strip()
            headings.append((starts[first], int(token.tag[1]), label[:_LONGEST_LABEL]))
        elif token.level == 0:
            blocks.append(starts[first])
        elif token.type in _CONTAINERS:
            lines.append(starts[first])
        if token.type in {"fence", "code_block", "html_block"}:
            lines.extend(starts[first + 1 : last])
    return Outline(
        marks=_nested(headings, len(text)),
        cuts=(
            sorted(blocks), _ends(_BLANK_LINES, text), sorted(set(lines)), _ends(_SENTENCE, text), _ends(_WORD, text)
        ),
    )  # fmt: skip


def _nested(headings: Sequence[tuple[int, int, str]], length: int) -> list[Mark]:
    """A section lasts until the next heading of its own level or above."""
    ends = [length] * len(headings)
    open_ones: list[int] = []
    for index, (start, level, _) in enumerate(headings):
        while open_ones and headings[open_ones[-1]][1] >= level:
            ends[open_ones.pop()] = start
        open_ones.append(index)
    return [Mark(start, end, level, label) for (start, level, label), end in zip(headings, ends, strict=True)]


def _code(text: str, language: str) -> Outline:
    marks = sorted(_symbols(text, language), key=lambda mark: (mark.start, mark.depth))
    return Outline(
        marks=marks,
        cuts=(
            sorted({mark.start for mark in marks}), _ends(_BLANK_LINES, text), _ends(_LINE, text), [], _ends(_WORD, text)
        ),
    )  # fmt: skip


def _symbols(text: str, language: str) -> Iterator[Mark]:
    parser = _parser(language)
    if parser is None:
        return
    source = text.encode("utf-8", "surrogatepass")
    characters = _character_offsets(text, source)
    # An explicit stack, because generated code nests deeper than Python recurses. With each node goes the byte from
    # which it counts: that of its wrapper, or of the comment right above it.
    stack = [(child, 1, begin) for child, begin in _children(parser.parse(source).root_node)]
    while stack:
        node, depth, begin = stack.pop()
        name = _symbol(node, source)
        if name:
            start = _with_indentation(text, characters(begin))
            yield Mark(start, max(characters(node.end_byte), start + 1), depth, name)
            if _CALLABLE.fullmatch(node.type) or depth == _DEEPEST:
                continue
            stack.extend((child, depth + 1, below) for child, below in _children(node))
        elif node.type in _WRAPPERS:
            stack.extend((child, depth, min(begin, below)) for child, below in _children(node))
        elif _PASSED.fullmatch(node.type):
            stack.extend((child, depth, below) for child, below in _children(node))


def _children(node: Any) -> Iterator[tuple[Any, int]]:
    """The children that are no comments, each with the byte where the comments right above it begin."""
    above: int | None = None
    for child in node.named_children:
        if "comment" in child.type or child.type == "attribute_item":
            above = child.start_byte if above is None else above
        else:
            yield child, child.start_byte if above is None else above
            above = None


def _symbol(node: Any, source: bytes) -> str:
    """The node's name if it is a symbol, else an empty text."""
    if node.type == "variable_declarator":
        value = node.child_by_field_name("value")
        return _name(node, source) if value is not None and value.type in _ASSIGNED else ""
    return _name(node, source) if _CALLABLE.fullmatch(node.type) or _HOLDER.fullmatch(node.type) else ""


def _with_indentation(text: str, offset: int) -> int:
    """The start of the offset's line where nothing but white space is before it."""
    start = text.rfind("\n", 0, offset) + 1
    return offset if text[start:offset].strip() else start


def _name(node: Any, source: bytes) -> str:
    named = node.child_by_field_name("name")
    declarator = node.child_by_field_name("declarator")
    if named is None and declarator is None:
        named = node.child_by_field_name("type")  # what an `impl` is for
    while named is None and declarator is not None:
        named = declarator if "identifier" in declarator.type else None
        declarator = declarator.child_by_field_name("declarator")
    if named is None:
        return ""
    text = source[named.start_byte : named.end_byte].decode("utf-8", "replace")
    return " ".join(text.split())[:_LONGEST_LABEL]


def _parser(language: str) -> Any | None:
    from tree_sitter_language_pack import get_parser

    try:
        return get_parser(language)  # type: ignore[arg-type]  # any name may come; an unknown one is a LookupError
    except (LookupError, ValueError, ImportError):
        return None


def _character_offsets(text: str, source: bytes) -> Callable[[int], int]:
    """From offsets in bytes, which are tree-sitter's, to offsets in characters, which are ours."""
    if len(source) == len(text):
        return lambda offset: offset
    ends = list(accumulate(len(character.encode("utf-8", "surrogatepass")) for character in text))
    return lambda offset: bisect_right(ends, offset)


def _line_starts(text: str) -> list[int]:
    starts = [0]
    starts.extend(found.end() for found in re.finditer("\n", text))
    return starts


def _ends(pattern: re.Pattern[str], text: str) -> list[int]:
    return [found.end() for found in pattern.finditer(text)]
