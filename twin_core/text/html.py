"""The text of HTML as Markdown: of a whole page (and what it says of itself), or of a fragment that is all text.

A page's main text is found by trafilatura; a fragment, as exports and feeds hold it, has nothing to be found: it is
converted whole by markdownify, which keeps code, quotes and short texts. This module only asks them the same way
everywhere, so that the hash a collector takes and the text the cleaner stores come from the same call. Fetching and
decoding are elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from twin_core.identity import normalise

_HTML_TAG = re.compile(r"<html[^>]*?\blang\s*=\s*[\"']?\s*([A-Za-z]{2,3})", re.IGNORECASE)
_META_TIME = re.compile(
    r"""<meta[^>]+(?:property|name|itemprop)\s*=\s*["']?(?:article:published_time|datePublished|dc\.date(?:\.issued)?)["']?"""
    r"""[^>]*?\bcontent\s*=\s*["']([^"']{8,40})["']""",
    re.IGNORECASE,
)
_TIME_TAG = re.compile(
    r"""<time[^>]*class\s*=\s*["'][^"']*dt-published[^"']*["'][^>]*datetime\s*=\s*["']([^"']{8,40})""", re.IGNORECASE
)
# Left in, an empty page would be "saved" by the extractor's fallback with its menu for a text.
_FURNITURE = ["//nav", "//footer", "//body/header[following-sibling::main or following-sibling::article]"]
_BLANK_LINES = re.compile(r"\n{3,}")
_PARAGRAPHS = frozenset({
    "p", "div", "ul", "ol", "blockquote", "pre", "table", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article", "figure",
})  # fmt: skip
_LINES = frozenset({"li", "tr", "br", "figcaption", "dt", "dd"})
_NO_TEXT = frozenset({"script", "style", "head", "template", "noscript", "svg"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What a page gave. `markdown` is empty when the page has no body worth the name."""

    title: str | None
    markdown: str
    written_at: datetime | None
    language: str | None
    """ISO 639-1 code stated by the page, or None."""
    metadata: Mapping[str, object] = field(default_factory=dict)
    """What the page states: author, description, sitename, canonical (URL), tags. Absent keys were not stated."""


def main_text(html: str, url: str | None) -> Extracted:
    """Title, main text as Markdown, date and language of a page; navigation, comments, links and images left out.

    `written_at` comes from what the page states (meta, JSON-LD, `<time>`), never from a guess over its text; a date
    without a time is midnight UTC. Never raises on broken HTML: what cannot be read gives an empty `markdown`.
    """
    from trafilatura.core import bare_extraction

    found = bare_extraction(
        html,
        url=url,
        with_metadata=True,
        include_comments=False,
        include_formatting=True,
        include_links=False,
        include_images=False,
        include_tables=True,
        prune_xpath=_FURNITURE,
        date_extraction_params={"extensive_search": False, "original_date": True, "max_date": _tomorrow()},
    )
    language = _HTML_TAG.search(html[:5000])
    if found is None or isinstance(found, dict):
        return Extracted(
            title=_plain_title(html),
            markdown="",
            written_at=_written_at(html, None),
            language=language.group(1).lower() if language else None,
        )
    stated = {
        "author": found.author,
        "description": found.description,
        "sitename": found.sitename,
        "canonical": found.url,
        "tags": list(found.tags or ()),
    }
    return Extracted(
        title=(found.title or "").strip() or _plain_title(html),
        markdown=_BLANK_LINES.sub("\n\n", (found.text or "").strip()),
        written_at=_written_at(html, found.date),
        language=language.group(1).lower() if language else None,
        metadata={key: value for key, value in stated.items() if value},
    )


def plain_text(html: str) -> str:
    """All words of a piece of HTML, paragraph by paragraph: for posts, where nothing around them is left out.

    A paragraph is followed by an empty line, a list item by a line break; emphasis and links are their words. Never
    raises on broken HTML.
    """
    from lxml import etree
    from lxml import html as markup

    parser = markup.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        root = markup.document_fromstring(f"<div>{html}</div>".encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return ""
    out: list[str] = []
    # Start and end of elements instead of recursion: markup from strangers nests deeper than Python does.
    hidden = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else ""
        gap = "\n\n" if tag in _PARAGRAPHS else "\n" if tag in _LINES else ""
        if event == "start":
            hidden += tag in _NO_TEXT
            out.append(gap if tag != "br" else "")
            words = element.text
        else:
            hidden -= tag in _NO_TEXT
            out.append(gap if tag != "li" else "")
            words = element.tail
        if words and not hidden:
            out.append(re.sub(r"\s+", " ", words))
    lines = "\n".join(re.sub(r" {2,}", " ", line).strip() for line in "".join(out).split("\n"))
    return _BLANK_LINES.sub("\n\n", lines).strip("\n")


FRAGMENT = "text/html; fragment=1"
"""The media type of a fragment: HTML that is the text itself, from its first element to its last."""


def is_fragment(media_type: str) -> bool:
    """Whether a media type is that of a fragment."""
    kind, _, parameters = media_type.lower().partition(";")
    return "html" in kind and "fragment" in parameters


def fragment_markdown(html: str) -> str:
    """A fragment as normalised Markdown: links become their words, pictures and scripts go, everything else stays.

    Text is not escaped: what reads `a_b` or `<div>` in a browser reads so here. Never raises on broken HTML; one that
    is nested deeper than Python can follow gives its bare words.
    """
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    soup = BeautifulSoup(html, "lxml")
    for furniture in soup(["script", "style", "template", "noscript", "iframe", "button", "form", "svg"]):
        furniture.decompose()
    for line_break in soup.select("pre br"):
        line_break.replace_with("\n")
    for caption in soup.select("figure figcaption"):
        caption.decompose()  # it speaks of a picture that is not there
    converter = MarkdownConverter(
        strip=["a", "img"],
        heading_style="ATX",
        bullets="-",
        escape_asterisks=False,
        escape_underscores=False,
        escape_misc=False,
    )
    try:
        text = converter.convert_soup(soup)
    except RecursionError:
        text = "\n\n".join(soup.stripped_strings)
    return normalise(_BLANK_LINES.sub("\n\n", text.replace("\u00a0", " ")))


def _plain_title(html: str) -> str | None:
    from html import unescape

    found = re.search(r"<title[^>]*>([^<]{1,500})</title", html[:100_000], re.IGNORECASE)
    return " ".join(unescape(found.group(1)).split()) or None if found else None


def _tomorrow() -> str:
    from datetime import timedelta

    return (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%d")


def _written_at(html: str, day: str | None) -> datetime | None:
    for pattern in (_META_TIME, _TIME_TAG):
        found = pattern.search(html)
        if found:
            moment = _moment(found.group(1))
            if moment:
                return moment
    return _moment(day) if day else None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
