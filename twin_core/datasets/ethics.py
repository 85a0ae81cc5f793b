"""What a dataset says of others: people and groups that are named, in which tone, slurs, quotations left in.

A report for a person to read before a twin learns from the texts, with figures that a rule can hold against limits.
It finds candidates and does not judge. Named people are found by form (a known given name or a word such as `said`
beside capitalised words), because models that recognise names are larger than everything else here; tone is VADER's
for the sentence of the mention, which is not yet a tone towards whom it mentions, and for English alone; slurs are a
short list. The report says so, too.
"""

from __future__ import annotations

import re
from codecs import decode
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from twin_core.datasets.ethics_page import Entry, Sample, page
from twin_core.datasets.lexicons import GIVEN_NAMES, GROUPS, NOT_NAMES, SLURS_ROT13, TECHNICAL
from twin_core.errors import InvalidInput

if TYPE_CHECKING:
    import polars as pl

VERSION = "1"
SAMPLES = 3
"""Sentences shown of each person, group, slur."""
QUOTATIONS = 20
"""Quotations shown."""
NEGATIVE = -0.3
"""VADER's compound from which a sentence counts as negative. Its authors say -0.05, which a mere "no problem" passes."""
COUNTED = ("people", "people_negative", "groups", "groups_negative", "slurs", "quotes")
"""The counts that TWIN_ETHICS_BLOCKS may limit: mentions, mentions in negative sentences, words, passages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EthicsReport:
    """Figures without text, fit for metadata; and the page, which holds text of the documents named."""

    counts: Mapping[str, int]
    html: str
    document_ids: tuple[str, ...]
    """The documents of which a sentence stands in the page."""


@dataclass(frozen=True, slots=True)
class _Mention:
    kind: str
    """person, group or slur."""
    what: str
    sentence: str
    tone: float | None
    row: int


def ethics_report(frame: pl.DataFrame, *, title: str, author: str = "") -> EthicsReport:
    """Look through the answers of a dataset version: `completion` or `chosen`, whichever the frame has.

    Further columns: document_id, language, category, and for the samples title and location. `author` is the author's
    own name, which is nobody else's. The same frame gives the same report.
    """
    column = "completion" if "completion" in frame.columns else "chosen"
    mentions: list[_Mention] = []
    quotations: list[tuple[str, int]] = []
    rows = frame.to_dicts()
    for number, row in enumerate(rows):
        if row.get("category") == "code":
            continue
        prose = _prose(row[column])
        mentions += (
            one for one in _mentions(prose, row["language"], number) if one.what.casefold() != author.casefold()
        )
        quotations += [(quotation, number) for quotation in _quotations(prose)]
    counts = {
        "passages": len(rows),
        **{
            name: count
            for kind, plural in (("person", "people"), ("group", "groups"))
            for name, count in (
                (plural, sum(one.kind == kind for one in mentions)),
                (f"{plural}_distinct", len({one.what for one in mentions if one.kind == kind})),
                (f"{plural}_negative", sum(one.kind == kind and _negative(one) for one in mentions)),
            )
        },
        "slurs": sum(one.kind == "slur" for one in mentions),
        "quotes": len({number for _, number in quotations}),
        "not_english": sum(row["language"] != "en" for row in rows),
    }
    shown: set[int] = set()
    sections = {
        kind: _entries([one for one in mentions if one.kind == kind], rows, shown)
        for kind in ("slur", "group", "person")
    }
    samples = [_sample(text, None, rows[number]) for text, number in quotations[:QUOTATIONS]]
    shown |= {number for _, number in quotations[:QUOTATIONS]}
    return EthicsReport(
        counts=counts,
        html=page(title=title, counts=counts, sections=sections, quotations=samples),
        document_ids=tuple(sorted({str(rows[number]["document_id"]) for number in shown})),
    )


def hostility(text: str, language: str = "en") -> int:
    """Slurs, and mentions of groups in negative sentences: what an answer is compared on with its author's own rate."""
    found = _mentions(_prose(text), language, 0)
    return sum(one.kind == "slur" or (one.kind == "group" and _negative(one)) for one in found)


def blocked(counts: Mapping[str, int], limits: Mapping[str, int]) -> list[str]:
    """Why a version with these counts may not be published: one sentence per limit that is exceeded.

    Raises InvalidInput for a limit on something that is not counted.
    """
    unknown = sorted(set(limits) - set(COUNTED))
    if unknown:
        raise InvalidInput(
            f"TWIN_ETHICS_BLOCKS limits {', '.join(unknown)}. What can be limited: {', '.join(COUNTED)}."
        )
    return [
        f"{counts.get(name, 0)} {name.replace('_', ' ')} where TWIN_ETHICS_BLOCKS allows {most}"
        for name, most in sorted(limits.items())
        if counts.get(name, 0) > most
    ]


_CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]+`|^(?: {4}|\t).*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[([^\[\]\n]{0,300})\]\([^)\n]{0,500}\)|https?://\S+")
_MARKS = re.compile(r"[*_#|]+")


_ENDS = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\b[DM]r\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bProf\.)[\"'”’)]*\s+(?=[\"'“‘(]*[A-ZÀ-ÞŁŚŻ])"
)


def _prose(text: str) -> str:
    """The text without code, link targets and marks of emphasis."""
    return _MARKS.sub("", _LINK.sub(r"\1", _CODE.sub(" ", text)))


def _sentences(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from (found for one in _ENDS.split(line) if (found := one.strip()))


# People ---------------------------------------------------------------------------------------------------------------

_NAME_WORD = r"[A-ZÀ-ÖØ-ÞŁŚŻŹĆ](?:[a-zà-öø-ÿąćęłńóśźż]+(?:['’-][A-Z]?[a-zà-öø-ÿ]+)?|\.)"
_NAME = re.compile(
    rf"(?<![\w@.])(?P<name>{_NAME_WORD}(?: (?:de|van|von|der|den|di|da|la|le|bin|al|el))*(?: {_NAME_WORD}){{1,2}})(?![\w])"
)
_SAID = (
    r"(?:said|says|wrote|writes|argues?|argued|explains?|explained|told|tweeted|posted|suggested|suggests|asked|asks|noted|notes|"
    r"points? out|pointed out|built|created|released|published|invented|recommends?|recommended|thinks?|believes?)"
)
_BEFORE = re.compile(
    r"(?:\b(?:by|thanks to|according to|from|via|with|like|credit to|author|hat tip to|h/t|Mr\.?|Mrs\.?|Ms\.?|Dr\.?|Prof\.?)) $",
    re.IGNORECASE,
)
_AFTER = re.compile(
    rf"(?:,? who\b| {_SAID}\b|['’]s (?:post|article|book|talk|blog|essay|paper|library|tool|work|words|advice|tweet|project)\b)"
)
_NEAR = 40
"""Characters beside a name in which a word may say that it is one."""
_OF = re.compile(r"['’]s$")
_TITLES = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof)\.? $")


def _people(sentence: str) -> Iterator[str]:
    for match in _NAME.finditer(sentence):
        name = _OF.sub("", match["name"])
        words = name.split()
        if any(word.strip(".").casefold() in NOT_NAMES for word in words):
            continue
        end = match.start() + len(name)
        before, after = sentence[max(0, match.start() - _NEAR) : match.start()], sentence[end : end + _NEAR]
        known = words[0].casefold() in GIVEN_NAMES
        said = bool(re.match(rf" {_SAID}\b|,? who\b", after)) or bool(_TITLES.search(before))
        if known or said or (_BEFORE.search(before) and _AFTER.match(after)):
            yield name


# Groups and slurs -----------------------------------------------------------------------------------------------------


@cache
def _groups() -> re.Pattern[str]:
    kinds = (f"(?P<{kind}>{'|'.join(words)})" for kind, words in GROUPS.items())
    return re.compile(rf"(?<![\w-])(?:{'|'.join(kinds)})(?![\w-])", re.IGNORECASE)


@cache
def _slurs() -> re.Pattern[str]:
    words = sorted((decode(word, "rot13") for word in SLURS_ROT13), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, words))})(?:s|es)?(?![\w-])", re.IGNORECASE)


@cache
def _analyser() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    for word in TECHNICAL:
        analyser.lexicon.pop(word, None)
    return analyser


def _mentions(prose: str, language: str, row: int) -> Iterator[_Mention]:
    for sentence in _sentences(prose):
        found = [("person", name) for name in _people(sentence)]
        found += [("group", match.group().casefold()) for match in _groups().finditer(sentence)]
        found += [("slur", match.group().casefold()) for match in _slurs().finditer(sentence)]
        if found:
            tone = float(_analyser().polarity_scores(sentence)["compound"]) if language == "en" else None
            yield from (_Mention(kind, what, sentence, tone, row) for kind, what in found)


def _negative(mention: _Mention) -> bool:
    return mention.tone is not None and mention.tone <= NEGATIVE


# Quotations -----------------------------------------------------------------------------------------------------------

_QUOTED = re.compile(r"[“\"«„](?P<words>[^”\"»“\n]{40,1500})[”\"»“]")


def _quotations(prose: str) -> Iterator[str]:
    for line in prose.splitlines():
        if line.lstrip().startswith(">") and len(line.split()) >= 5:
            yield line.lstrip("> ").strip()
        else:
            yield from (match["words"] for match in _QUOTED.finditer(line) if len(match["words"].split()) >= 8)


# The page's rows ------------------------------------------------------------------------------------------------------


def _entries(mentions: Sequence[_Mention], rows: Sequence[Mapping[str, Any]], shown: set[int]) -> list[Entry]:
    """One entry per person or word, the most negative and the most frequent first."""
    together: dict[str, list[_Mention]] = defaultdict(list)
    for one in mentions:
        together[one.what].append(one)
    entries = []
    for what, found in together.items():
        tones = [one.tone for one in found if one.tone is not None]
        worst = sorted(found, key=lambda one: (one.tone if one.tone is not None else 0.0, one.row))[:SAMPLES]
        shown |= {one.row for one in worst}
        entries.append(
            Entry(
                what=what,
                kind=_kind_of_group(what) if found[0].kind == "group" else "",
                mentions=len(found),
                documents=len({rows[one.row]["document_id"] for one in found}),
                negative=sum(map(_negative, found)),
                tone=sum(tones) / len(tones) if tones else None,
                samples=[_sample(one.sentence, one.tone, rows[one.row]) for one in worst],
            )
        )
    return sorted(entries, key=lambda entry: (-entry.negative, -entry.mentions, entry.what))


def _kind_of_group(what: str) -> str:
    match = _groups().fullmatch(what)
    return match.lastgroup or "" if match else ""


def _sample(sentence: str, tone: float | None, row: Mapping[str, Any]) -> Sample:
    return Sample(
        text=sentence[:400],
        tone=tone,
        title=str(row.get("title") or "without a title"),
        location=str(row.get("location") or ""),
    )
