"""Which parts of a text are other people's words: quotations, quoted replies, forwarded mail.

Only marked here, as offsets; the text stays whole, because retrieval and citations need a quotation where it stands.
What must not be learnt from is left out where datasets are made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

Kind = Literal["quote", "reply", "forward"]
Span = tuple[int, int, Kind]
"""Start and end in the text, in characters, and what stands there."""

# "On Tue, 5 Mar 2024 at 10:00, Ben wrote:" in the languages that mail programs write most.
_ATTRIBUTION = re.compile(
    r"^(?:On|Am|Le|El|Il|Op|Em)\b.{4,300}\b(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|escreveu)\b.{0,80}:$"
)
_FORWARD = re.compile(
    r"^[ \t]*(?:-{2,}[ \t]*(?:forwarded message|original message|weitergeleitete nachricht|ursprüngliche nachricht|"
    r"message transféré|message d'origine|mensaje reenviado|mensaje original)[ \t]*-{2,}|begin forwarded message:)[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTED_LINES = re.compile(r"(?:^[ \t]{0,3}>[^\n]*(?:\n|\Z))+", re.MULTILINE)
# GitHub's and Obsidian's notes in a box are written with the sign of a quotation and are the author's own words.
_CALLOUT = re.compile(r"[ \t]{0,3}>[ \t]?\[!(?!quote|cite)\w+\]", re.IGNORECASE)


def in_markdown(text: str) -> list[Span]:
    """The block quotations of a Markdown text; with the line that says whose words follow, they are a reply."""
    from markdown_it import MarkdownIt

    starts = [0, *(found.end() for found in re.finditer("\n", text)), len(text) + 1]
    spans: list[Span] = []
    depth = 0
    for token in MarkdownIt("commonmark").disable(["inline"]).parse(text):
        if token.type == "blockquote_open":
            depth += 1
            if depth == 1 and token.map is not None:
                first, last = token.map
                spans.append(_with_attribution(text, starts[first], min(starts[last], len(text))))
        elif token.type == "blockquote_close":
            depth -= 1
    return _joined(span for span in spans if not _CALLOUT.match(text, _line_of_mark(text, span[0])))


def in_mail(text: str) -> list[Span]:
    """What a letter or post repeats of others: lines marked with `>`, and all below the head of a forwarded message."""
    spans = [_with_attribution(text, found.start(), found.end()) for found in _QUOTED_LINES.finditer(text)]
    if (head := _FORWARD.search(text)) is not None:
        spans.append((head.start(), len(text), "forward"))
    return _joined(span for span in spans if not _CALLOUT.match(text, span[0]))


def in_page(html: str, text: str) -> list[Span]:
    """Where the block quotations of a page stand in the text that was made of it.

    Extraction leaves nothing of `<blockquote>` but its words, so each of its paragraphs is looked for: letters and
    digits must agree, and it must fill whole lines, so that a short quotation is not found inside a sentence.
    """
    if "<blockquote" not in html.lower():
        return []
    letters, offsets = _letters(text)
    spans: list[Span] = []
    at = 0
    for paragraph in _quoted_paragraphs(html):
        wanted, _ = _letters(paragraph)
        found = _whole_lines(text, letters, offsets, wanted, at) if wanted else None
        if found is None:
            continue
        spans.append((*found[:2], "quote"))
        at = found[2]
    return _joined(_bridged(text, spans))


def _quoted_paragraphs(html: str) -> list[str]:
    from lxml import etree
    from lxml import html as markup

    try:
        root = markup.document_fromstring(html.encode("utf-8", "replace"), parser=markup.HTMLParser(encoding="utf-8"))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return []
    from twin_core.text.html import plain_text

    outer = root.xpath("//blockquote[not(ancestor::blockquote)]")
    return [
        line
        for quote in outer
        for line in plain_text(markup.tostring(quote, encoding="unicode", with_tail=False)).split("\n")
        if line.strip()
    ]


def _letters(text: str) -> tuple[str, list[int]]:
    """Letters and digits alone, folded, with the place of each in the text."""
    kept = [(folded, at) for at, character in enumerate(text) if character.isalnum() for folded in character.casefold()]
    return "".join(folded for folded, _ in kept), [at for _, at in kept]


def _whole_lines(text: str, letters: str, offsets: Sequence[int], wanted: str, at: int) -> tuple[int, int, int] | None:
    """Start and end in the text of the first occurrence that fills its lines, and where to go on; None without one."""
    while (found := letters.find(wanted, at)) >= 0:
        first, last = offsets[found], offsets[found + len(wanted) - 1]
        start, end = text.rfind("\n", 0, first) + 1, text.find("\n", last)
        end = len(text) if end < 0 else end
        before, after = text[start:first], text[last + 1 : end]
        if not any(character.isalnum() for character in before + after):
            return start, end, found + len(wanted)
        at = found + 1
    return None


def _bridged(text: str, spans: Sequence[Span]) -> list[Span]:
    """Paragraphs of one quotation as one span: nothing but white space is between them."""
    out: list[Span] = []
    for start, end, kind in spans:
        if out and out[-1][2] == kind and not text[out[-1][1] : start].strip():
            out[-1] = (out[-1][0], end, kind)
        else:
            out.append((start, end, kind))
    return out


def _with_attribution(text: str, start: int, end: int) -> Span:
    above = text[:start].rstrip()
    line = above.rfind("\n") + 1
    if above and _ATTRIBUTION.match(above[line:].strip()):
        return line, end, "reply"
    return start, end, "quote"


def _line_of_mark(text: str, start: int) -> int:
    found = _QUOTED_LINES.search(text, start)
    return found.start() if found is not None else start


def _joined(spans: Iterable[Span]) -> list[Span]:
    """In order and apart from each other; where two overlap, they are one of the kind that began first."""
    out: list[Span] = []
    for start, end, kind in sorted(spans, key=lambda span: (span[0], -span[1])):
        if end <= start:
            continue
        if out and start < out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end), out[-1][2])
        else:
            out.append((start, end, kind))
    return out
