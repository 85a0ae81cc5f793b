"""The ethics report as one HTML page that needs nothing else: no script, no font, no image, nothing fetched.

It quotes the author's texts, so it belongs into the file store (`store/filed.py`), where forgetting finds it, and
nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A sentence and where it stands."""

    text: str
    tone: float | None
    """VADER's compound, -1 to 1; None where the language is not English."""
    title: str
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One person, group or word."""

    what: str
    kind: str
    mentions: int
    documents: int
    negative: int
    tone: float | None
    samples: Sequence[Sample]


_HEADINGS = {
    "slur": (
        "Slurs",
        "Words of a short list that insult people for what they are. Some have harmless senses: read the sentence.",
    ),
    "group": (
        "Groups of people",
        "Named by nationality, religion, gender, orientation, age, disability, politics or class.",
    ),
    "person": ("People", "Capitalised words beside a known given name, or beside a word such as said or who."),
}
_TILES = (
    ("passages", "passages"), ("people", "mentions of people"), ("people_negative", "of them in negative sentences"),
    ("groups", "mentions of groups"), ("groups_negative", "of them in negative sentences"), ("slurs", "slurs"),
    ("quotes", "passages with quotations"), ("not_english", "passages without a tone"),
)  # fmt: skip
_LIMITS = (
    "People are found by form. Single names, names in other scripts and handles are missed; products and places with a given name in them are taken for people.",
    "Tone is that of the whole sentence, by VADER's word list, for English only. It says how a sentence sounds, not whom it is against: irony and “kill the process” mislead it.",
    "Groups and slurs are word lists, mostly English. A text can be unkind without any of these words.",
    "Quotations are what is left in the passages between quotation marks or behind > in eight words or more. Those that could be told were cut out before.",
    "The figures help to find what to read. They do not say that a dataset is fair.",
)
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --dim: #5d6675; --line: #d9dee6; --back: #fbfbfc; --card: #fff; --bad: #b3261e; --good: #19703a }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --dim: #9aa4b2; --line: #353c48; --back: #14181e; --card: #1b2028; --bad: #ff8a80; --good: #7fd19b } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 62rem; margin: 2.5rem auto; padding: 0 1.25rem }
h1 { font-size: 1.6rem; margin: 0 0 .25rem } h2 { font-size: 1.2rem; margin: 2.5rem 0 .25rem } p.dim, .dim { color: var(--dim) }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: .75rem; margin: 1.5rem 0; padding: 0; list-style: none }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem }
.tiles b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums } .tiles .warn b { color: var(--bad) }
table { border-collapse: collapse; width: 100%; margin-top: .75rem } th { text-align: left; font-weight: 600; color: var(--dim); font-size: .85rem }
th, td { padding: .5rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
details summary { cursor: pointer; color: var(--dim) } blockquote { margin: .5rem 0; padding-left: .75rem; border-left: 3px solid var(--line); overflow-wrap: anywhere }
blockquote cite { display: block; color: var(--dim); font-style: normal; font-size: .85rem } .bad { color: var(--bad) } .good { color: var(--good) }
"""


def page(
    *, title: str, counts: Mapping[str, int], sections: Mapping[str, Sequence[Entry]], quotations: Sequence[Sample]
) -> str:
    """The whole page."""
    body = [
        f"<h1>{escape(title)}</h1>",
        '<p class="dim">What the passages of this dataset say of others. Read it before a model learns from them.</p>',
        _tiles(counts),
        *(_section(kind, entries) for kind, entries in sections.items()),
        "<h2>Quotations</h2>",
        '<p class="dim">Words of others, or of the author in quotation marks, that are still in the passages.</p>',
        *([_quote(sample) for sample in quotations] or ["<p>None found.</p>"]),
        "<h2>What this cannot see</h2>",
        f"<ul>{''.join(f'<li>{escape(limit)}</li>' for limit in _LIMITS)}</ul>",
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{chr(10).join(body)}\n</body></html>\n"
    )


def _tiles(counts: Mapping[str, int]) -> str:
    alarming = {"slurs", "groups_negative"}
    tiles = (
        f"<li{' class=warn' if name in alarming and counts[name] else ''}><b>{counts[name]:,}</b>{escape(words)}</li>"
        for name, words in _TILES
    )
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


def _section(kind: str, entries: Sequence[Entry]) -> str:
    heading, about = _HEADINGS[kind]
    top = f'<h2>{heading}</h2><p class="dim">{escape(about)}</p>'
    if not entries:
        return f"{top}<p>None found.</p>"
    head = '<tr><th>named</th><th class="n">mentions</th><th class="n">documents</th><th class="n">negative</th><th class="n">mean tone</th><th>sentences</th></tr>'
    return f"{top}<table><thead>{head}</thead><tbody>{''.join(map(_row, entries))}</tbody></table>"


def _row(entry: Entry) -> str:
    kind = f' <span class="dim">{escape(entry.kind)}</span>' if entry.kind else ""
    samples = "".join(map(_quote, entry.samples))
    return (
        f'<tr><td>{escape(entry.what)}{kind}</td><td class="n">{entry.mentions}</td><td class="n">{entry.documents}</td>'
        f'<td class="n{" bad" if entry.negative else ""}">{entry.negative}</td><td class="n">{_tone(entry.tone)}</td>'
        f"<td><details><summary>{len(entry.samples)} shown</summary>{samples}</details></td></tr>"
    )


def _quote(sample: Sample) -> str:
    where = escape(sample.title)
    if sample.location.startswith(("https://", "http://")):
        where = f'<a href="{escape(sample.location)}" rel="noreferrer">{where}</a>'
    tone = f" · tone {_tone(sample.tone)}" if sample.tone is not None else ""
    return f"<blockquote>{escape(sample.text)}<cite>{where}{tone}</cite></blockquote>"


def _tone(value: float | None) -> str:
    if value is None:
        return '<span class="dim">–</span>'
    mood = "bad" if value <= -0.3 else "good" if value >= 0.3 else "dim"
    return f'<span class="{mood}">{value:+.2f}</span>'
