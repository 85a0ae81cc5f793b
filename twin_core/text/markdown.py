"""Markdown as people keep it in folders: front matter off, and the text brought to one plain form.

The form: headings, lists, tables, emphasis and code stay; links become their text, wikilinks their words, images and
HTML tags go, comments go. Code, fenced or indented or inline, is never touched. Cutting into passages is in `features`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Any

from twin_core.errors import InvalidInput
from twin_core.identity import normalise

_YAML_BLOCK = re.compile(r"\A---[ \t]*\n(.*?\n)?(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TOML_BLOCK = re.compile(r"\A\+\+\+[ \t]*\n(.*?\n)?\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL)
_TOKEN = re.compile(
    r"(?P<escape>\\[!-/:-@\[-`{-~])"
    r"|(?P<code>`+)"
    r"|(?P<wiki>!?\[\[[^\[\]\n]{1,500}\]\])"
    r"|(?P<open>!?\[)"
    r"|(?P<close>\])"
    r"|(?P<auto><(?:https?://|mailto:)[^<>\s]+>)"
    r"|(?P<comment><!--)"
    r"|(?P<tag></?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>]*)?/?>)"
    r"|(?P<space>&nbsp;|\u00a0)"
)
_TARGET = re.compile(
    r"""\(\s*(?:<[^<>\n]{0,2000}>|[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)"""
    r"""(?:\s+(?:"[^"]{0,2000}"|'[^']{0,2000}'|\([^()]{0,2000}\)))?\s*\)"""
)
_LABEL = re.compile(r"\[([^\[\]]{0,999})\]")
_DEFINITION = re.compile(r"^ {0,3}\[(?!\^)([^\[\]]{1,999})\]:[ \t]*\S+[^\n]*$")
_OBSIDIAN_COMMENT = re.compile(r"%%.*?%%", re.DOTALL)
_SCRIPT = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_BLOCK_TAGS = frozenset({"p", "div", "tr", "li", "ul", "ol", "table", "summary", "h1", "h2", "h3", "h4", "h5", "h6"})
_BLANK_LINES = re.compile(r"\n{3,}")


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The front matter's values and the text after it; `({}, text)` when there is none.

    YAML between `---` lines, or TOML between `+++` lines. Dates come as `date` or `datetime`. A pair of `---` lines
    around prose is prose. Raises InvalidInput naming the line when the block cannot be read.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if found := _YAML_BLOCK.match(text):
        values = _yaml(found.group(1) or "")
    elif found := _TOML_BLOCK.match(text):
        values = _toml(found.group(1) or "")
    else:
        return {}, text
    if values is None:
        return {}, text[found.end() :]
    if not isinstance(values, dict):
        return {}, text
    return {str(key): value for key, value in values.items()}, text[found.end() :]


def clean_markdown(text: str) -> str:
    """Markdown (without front matter) in the plain form described above; empty when nothing but images was there.

    Deterministic; cleaning what was cleaned changes nothing that matters to search.
    """
    text = normalise(text)
    if not text:
        return ""
    blocks, labels = _blocks(text)
    lines = text.split("\n")
    parts: list[tuple[bool, str]] = []
    at = 0
    for first, last in blocks:
        parts.append((False, _plain("\n".join(lines[at:first]), labels)))
        parts.append((True, "\n".join(lines[first:last]).rstrip("\n")))
        at = last
    parts.append((False, _plain("\n".join(lines[at:]), labels)))
    return normalise(_joined(parts))


def _yaml(block: str) -> Any:
    import yaml

    try:
        return yaml.load(block, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 2}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise InvalidInput(
            f"The front matter cannot be read{line}: {problem}. Quote values that hold a colon."
        ) from error
    except ValueError as error:  # a date such as 2024-02-31 is valid YAML and no date
        raise InvalidInput(f"The front matter cannot be read: {error}.") from error


def _toml(block: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(block)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = f" in line {int(found.group(1)) + 1}" if found else ""
        raise InvalidInput(f"The front matter cannot be read{line}: {error}.") from error


def _blocks(text: str) -> tuple[list[tuple[int, int]], frozenset[str]]:
    """Line ranges of code blocks, in order, and the labels of link definitions."""
    from markdown_it import MarkdownIt

    env: dict[str, Any] = {}
    # Only the block structure is wanted; the inline rules would cost most of the time.
    tokens = MarkdownIt("commonmark").disable(["inline"]).enable("table").parse(text, env)
    ranges = sorted(
        (token.map[0], token.map[1]) for token in tokens if token.type in {"fence", "code_block"} and token.map
    )
    labels = frozenset(_folded(label) for label in env.get("references", {}) if not label.startswith("^"))
    return ranges, labels


def _folded(label: str) -> str:
    return " ".join(label.split()).casefold()


def _plain(text: str, labels: frozenset[str]) -> str:
    """Prose without links, images, tags and comments. Linear in the length of the text."""
    text = _OBSIDIAN_COMMENT.sub("", _SCRIPT.sub("", text))
    if labels:
        text = "\n".join(
            line
            for line in text.split("\n")
            if not ((found := _DEFINITION.match(line)) and _folded(found.group(1)) in labels)
        )
    tokens = _tokens(text)
    closing = _pairs(tokens)
    out: list[str] = []
    jumps: dict[int, int] = {}  # position of a link's closing bracket -> where the text goes on after its target
    at = 0
    for kind, start, end in tokens:
        if start < at:
            continue  # inside something that was dropped
        out.append(text[at:start])
        at = end
        if kind == "open":
            closed = closing.get(start)
            after = _link_end(text, end, closed, labels) if closed is not None else None
            if after is None:
                out.append(text[start:end])
            elif text[start] == "!":
                at = after
            elif closed is not None:
                jumps[closed] = after
        elif kind == "close" and start in jumps:
            at = jumps[start]
        else:
            out.append(_kept(kind, text[start:end]))
    out.append(text[at:])
    return "".join(out)


def _kept(kind: str, found: str) -> str:
    if kind == "wiki":
        return "" if found.startswith("!") else _wiki_words(found[2:-2])
    if kind == "auto":
        return found[1:-1]
    if kind == "tag":
        name = found.strip("</>").split(maxsplit=1)[0].rstrip("/").lower()
        return "\n" if name in _BLOCK_TAGS else " " if name == "br" else ""
    return {"comment": "", "space": " "}.get(kind, found)


def _tokens(text: str) -> list[tuple[str, int, int]]:
    """What matters in prose, in order: inline code comes whole and hides what is in it."""
    runs: dict[int, list[int]] = {}
    for run in re.finditer("`+", text):
        runs.setdefault(len(run.group()), []).append(run.start())
    tokens: list[tuple[str, int, int]] = []
    at = 0
    comment_ends = True
    while found := _TOKEN.search(text, at):
        kind, start, end = str(found.lastgroup), found.start(), found.end()
        if kind == "code":
            same = runs.get(end - start, [])
            index = bisect_right(same, start)
            if index < len(same) and "\n\n" not in text[start : same[index]]:
                end = same[index] + (end - start)
        elif kind == "comment":
            closed = text.find("-->", start) if comment_ends else -1
            comment_ends = closed >= 0
            if comment_ends:
                end = closed + 3
            else:
                kind = "text"
        tokens.append((kind, start, end))
        at = end
    return tokens


def _pairs(tokens: list[tuple[str, int, int]]) -> dict[int, int]:
    """Position of each opening bracket -> position of its closing one."""
    stack: list[int] = []
    pairs: dict[int, int] = {}
    for kind, start, _ in tokens:
        if kind == "open":
            stack.append(start)
        elif kind == "close" and stack:
            pairs[stack.pop()] = start
    return pairs


def _link_end(text: str, inner: int, closed: int, labels: frozenset[str]) -> int | None:
    """Where the link whose words start at `inner` ends, its target included; None when the brackets are just brackets."""
    after = closed + 1
    if target := _TARGET.match(text, after):
        return target.end()
    if labels:
        own = _folded(text[inner:closed]) if closed - inner < 1000 else ""
        if label := _LABEL.match(text, after):
            return label.end() if (_folded(label.group(1)) or own) in labels else None
        if own in labels:
            return after
    return None


def _wiki_words(inside: str) -> str:
    """`Page|words` -> words; `Page#Heading` -> Page > Heading, as Obsidian shows it."""
    target, bar, words = inside.partition("|")
    if bar and words.strip():
        return words.strip()
    page, _, heading = target.partition("#")
    return " > ".join(part.strip(" ^") for part in (page, heading) if part.strip(" ^"))


def _joined(parts: list[tuple[bool, str]]) -> str:
    """One blank line around every code block, and between paragraphs at most one."""
    out = []
    for code, text in parts:
        if code:
            out.append(text)
        elif text.strip():
            out.append(_BLANK_LINES.sub("\n\n", normalise(text)))
    return "\n\n".join(out)
