"""One file as a source gave it -> what it says: title, date, tags, and the text whose hash tells whether it changed.

Shared by folder and git. Reading never alters the body: that goes to the warehouse as it is. Which files are read,
and under which rules, is decided by the platforms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from twin_core import identity
from twin_core.collect.rules import category_named
from twin_core.collect.stated import day_in_name, moment, short, texts
from twin_core.errors import TwinError
from twin_core.records import Category
from twin_core.text.decode import decode, html_charset
from twin_core.text.html import main_text
from twin_core.text.markdown import clean_markdown, split_front_matter

MEDIA_TYPES = {
    ".md": "text/markdown", ".markdown": "text/markdown", ".mdown": "text/markdown", ".mkd": "text/markdown",
    ".html": "text/html", ".htm": "text/html", ".xhtml": "text/html",
    ".txt": "text/plain", ".text": "text/plain", ".rst": "text/x-rst", ".adoc": "text/plain", ".org": "text/plain",
}  # fmt: skip
"""Suffix -> media type of the writing that is read without being told."""

# What front matter states that makes another document of the same text: these are part of its hash, so that a
# corrected date is not missed. `modified` and the like are not: editors touch them without a change to the text.
_TELLING = ("title", "date", "created", "category", "tags")
_HEADING = re.compile(r" {0,3}#[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}={3,}[ \t]*$")
_UNDERLINED = re.compile(r"^(?=\S)(.{1,200})\n(?:={3,}|-{3,}|~{3,})[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


class EmptyText(TwinError):
    """There is nothing to read in it."""


class Draft(TwinError):
    """The author says that it is not published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one file says."""

    category: Category | None
    """Where the file itself states it."""
    content_hash: str
    title: str
    written_at: datetime | None
    canonical_url: str | None = None
    """The address that the file names as its text's own."""
    metadata: Mapping[str, object] = field(default_factory=dict)


def media_type_of(path: str) -> str:
    """The media type of a file by its suffix; plain text for one that is not known."""
    return MEDIA_TYPES.get(PurePosixPath(path).suffix.lower(), "text/plain")


def read(body: bytes, path: str, media_type: str) -> Reading:
    """Read a file of writing.

    Raises EmptyText, Draft, and InvalidInput for what is binary, in no known encoding, or has broken front matter
    (naming the line).
    """
    text = decode(body, html_charset(body) if media_type == "text/html" else None)
    if not text.strip():
        raise EmptyText("the file is empty")
    if media_type == "text/html":
        return _read_page(text, path)
    matter, rest = split_front_matter(text) if media_type == "text/markdown" else ({}, text)
    matter = {key.strip().lower(): value for key, value in matter.items()}
    if _is_draft(matter):
        raise Draft("a draft, by its front matter")
    cleaned = clean_markdown(rest) if media_type == "text/markdown" else identity.normalise(rest)
    if not cleaned:
        raise EmptyText("no text besides the front matter" if matter else "no text in it")
    stated = category_named(str(matter["category"])) if _is_category(matter.get("category")) else None
    telling = {name: _plain(matter[name]) for name in _TELLING if matter.get(name) is not None}
    return Reading(
        category=stated,
        content_hash=identity.content_hash(f"{telling}\n{cleaned}" if telling else cleaned),
        title=short(matter.get("title")) or _heading(cleaned, media_type) or _from_name(path),
        written_at=moment(matter.get("date")) or moment(matter.get("created")) or day_in_name(path.rsplit("/", 1)[-1]),
        canonical_url=short(matter.get("canonical_url") or matter.get("canonical")),
        metadata=_metadata(matter),
    )


def read_code(body: bytes, path: str) -> Reading:
    """Read a file of code: nothing but its text counts. Raises EmptyText, and InvalidInput for what is not text."""
    text = decode(body)
    if not text.strip():
        raise EmptyText("the file is empty")
    return Reading(category=None, content_hash=identity.content_hash(text), title=path, written_at=None)


def is_bare(markdown: str) -> bool:
    """Whether an extracted page has no body: nothing at all, or headings only."""
    return all(not line.strip() or line.lstrip().startswith("#") for line in markdown.split("\n"))


def _read_page(text: str, path: str) -> Reading:
    page = main_text(text, None)
    if is_bare(page.markdown):
        raise EmptyText("empty body after extraction")
    name = path.rsplit("/", 1)[-1]
    return Reading(
        category=None,
        content_hash=identity.content_hash(page.markdown),
        title=short(page.title) or _heading(page.markdown, "text/markdown") or _from_name(path),
        written_at=page.written_at or day_in_name(name),
        canonical_url=short(page.metadata.get("canonical")),
        metadata={key: _plain(value) for key, value in page.metadata.items()},
    )


def _metadata(matter: Mapping[str, object]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name in ("tags", "aliases"):
        if found := texts(matter.get(name)):
            kept[name] = found
    for name in ("description", "language", "lang", "licence", "license", "canonical", "url", "category"):
        if text := short(matter.get(name)):
            kept[name] = text
    return kept


def _plain(value: object) -> object:
    return texts(value) if isinstance(value, (list, tuple, set)) else short(value)


def _is_category(value: object) -> bool:
    """A front matter's `category` is often a topic ("travel"): only our three words are taken as ours."""
    return isinstance(value, str) and value.strip().lower().removesuffix("s") in {"article", "post", "code"}


def _is_draft(matter: Mapping[str, object]) -> bool:
    def word(name: str) -> str:
        return str(matter.get(name, "")).strip().lower()

    return word("draft") in {"true", "yes", "1"} or word("published") in {"false", "no"} or word("status") == "draft"


def _heading(text: str, media_type: str) -> str | None:
    """The first heading of the first level; `#` lines inside code are comments, not headings."""
    if media_type == "text/x-rst":
        found = _UNDERLINED.search(text)
        return short(found.group(1)) if found else None
    if media_type != "text/markdown":
        return None
    fence = ""
    before = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) else fence
        elif mark:
            fence = mark[1]
        elif heading := _HEADING.match(line):
            return short(heading.group(1).replace("**", "").replace("`", ""))
        elif _UNDERLINE.match(line) and before.strip():
            return short(before)
        before = line
    return None


def _from_name(path: str) -> str:
    name = PurePosixPath(path)
    stem = name.parent.name if name.stem.lower() in {"index", "readme"} and name.parent.name else name.stem
    words = re.sub(r"^\d{4}-\d{2}-\d{2}[-_ ]*", "", stem).replace("_", " ").replace("-", " ")
    return short(words) or short(stem) or "Untitled"
