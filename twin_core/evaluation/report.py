"""The scorecard for people: one HTML page that needs nothing else, and the same figures as Markdown.

The page shows samples, so it holds text of the author and of what they retrieved: whoever stores it must be able to
take it away when a document is forgotten. The Markdown holds figures alone and may go anywhere.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite

from twin_core.evaluation.plots import intervals, radar
from twin_core.evaluation.safety import Copied
from twin_core.evaluation.scorecard import GATED, Scorecard
from twin_core.promotion import AUTHOR, GUARDRAILS, Decision
from twin_core.records import Difference

SAMPLES = 6
METRICS = {
    "style": "style, z-score: 0 is typical of the author",
    "style_embedding": "style embedding, cosine with the author's centroid (not gated)",
    "fit": "fit, bits per byte of the author's text (less is better)",
    "content": "content: 0 is as near as the author's texts about other matters, 1 what the author wrote",
    "chrf": "chrF against the author's text, 0 to 1",
    "bleu": "BLEU, 0 to 1",
    "rouge_l": "ROUGE-L, 0 to 1",
    "similarity": "cosine of embeddings",
    "grounding": "sentences that cited passages support, share",
    "safety": "safety: 1 is clean",
    "copied_share": "eight-word windows copied from training text, share",
    "longest_copy": "longest copy in words, mean",
    "personal_data": "personal data and secrets per answer",
    "harm": "slurs and hostility above the author's own rate, per answer",
    "judge": "taken for the author's by the judge: 0.5 cannot be told apart (not gated)",
    "judge_accuracy": "accuracy by the judge, 1 to 3, for comparison only",
    "judge_style": "style by the judge, 1 to 3, for comparison only",
}

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .7rem;border-bottom:1px solid #ddd;text-align:right;vertical-align:top}
th:first-child,td:first-child{text-align:left}
.verdict{padding:.8rem 1rem;border-left:6px solid #9aa0a6;background:#f6f6f6}
.verdict.yes{border-color:#389826}.verdict.no{border-color:#cb3c33}
.sample{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:1rem;border-top:1px solid #ddd;padding:1rem 0}
.sample>h3{grid-column:1/-1;margin:0}.sample h4{margin:0 0 .3rem}.sample p{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
mark{background:#ffd9d4;text-decoration:underline wavy #cb3c33}
.plots{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start}img{max-width:100%;height:auto}
small{color:#555}
"""


def html(
    card: Scorecard, decision: Decision | None = None, *, title: str = "Evaluation", notes: Sequence[str] = ()
) -> str:
    """The whole report. Every text in it is escaped; what an answer copied from training text is marked."""
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_what(card))}</p>",
        *(f"<p>{escape(note)}</p>" for note in notes),
        _verdict(decision),
        "<h2>Between floor and ceiling</h2>",
        (
            "<p><small>Floor is the base model, ceiling the author's own text; on fit, the best model; grounding and safety as they are. For the eye only: "
            "decisions are made on the differences.</small></p>"
        ),
        _image(radar(_measured_axes(card), _normalised(card)), "Radar of the axes, one line per system"),
        "<h2>Differences</h2>",
        (
            f"<p><small>{escape(card.challenger)} minus each other system, 95 % intervals by drawing documents. Right of nought is better; "
            "the dotted line is the margin of a guardrail.</small></p>"
        ),
        *_differences(card),
        "<h2>Figures</h2>",
        _table(card),
        "<h2>Samples</h2>",
        (
            "<p><small>The prompts on which the challenger is least, middling and most like the author, and those on which it copies most. "
            "<mark>Marked</mark>: stands word for word in training text and not in what was retrieved.</small></p>"
        ),
        *(_sample(card, index) for index in chosen(card)),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def markdown(card: Scorecard, decision: Decision | None = None, *, title: str = "Evaluation") -> str:
    """The figures and the decision, without any text of anybody."""
    lines = [f"# {title}", "", _what(card), ""]
    if decision:
        lines += [f"**{decision.verdict.value}**", "", *(f"- {reason}" for reason in decision.reasons), ""]
    names = list(card.systems)
    lines += [f"| | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for metric, label in METRICS.items():
        values = [_shown(card, name, metric) for name in names]
        if any(value != "–" for value in values):
            lines.append(f"| {label} | {' | '.join(values)} |")
    for rival, axes in card.against.items():
        lines += ["", f"## {card.challenger} minus {rival}", "", "| axis | mean | 95 % interval |", "|---|---:|---:|"]
        lines += [
            f"| {axis} | {found.mean:+.3f} | {found.low:+.3f} to {found.high:+.3f} |" for axis, found in axes.items()
        ]
    return "\n".join(lines) + "\n"


def chosen(card: Scorecard, count: int = SAMPLES) -> list[int]:
    """Which prompts are shown: worst, middle and best style of the challenger, then the longest copies. Always the same."""
    own = card.systems[card.challenger].metrics
    ranked = sorted((value, index) for index, value in enumerate(own["style"].tolist()) if isfinite(value))
    ends = [index for _, index in ([ranked[0], ranked[len(ranked) // 2], ranked[-1]] if ranked else [])]
    copies = sorted(range(len(card.cases)), key=lambda index: (-own["longest_copy"][index], index))
    return list(dict.fromkeys([*ends, *copies]))[:count]


def highlighted(answer: str, copied: Copied) -> str:
    """The answer as HTML, with what it copied marked."""
    out, at = [], 0
    for span in copied.spans:
        if span.end <= at:
            continue
        start = max(span.start, at)
        out += [
            escape(answer[at:start]),
            f'<mark title="{span.words} words">',
            escape(answer[start : span.end]),
            "</mark>",
        ]
        at = span.end
    return "".join([*out, escape(answer[at:])])


def _what(card: Scorecard) -> str:
    return f"{len(card.cases)} prompts from {card.documents} held-out documents; {len(card.systems) - 1} systems, challenger {card.challenger}."


def _verdict(decision: Decision | None) -> str:
    if decision is None:
        return ""
    kind = "yes" if decision.approvable else "" if decision.approvable_with_reason else "no"
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in decision.reasons)
    return f'<div class="verdict {kind}"><strong>{escape(decision.verdict.value)}</strong><ul>{reasons}</ul></div>'


def _measured_axes(card: Scorecard) -> list[str]:
    return [axis for axis in GATED if any(isfinite(one.mean(axis)) for one in card.systems.values())]


def _normalised(card: Scorecard) -> dict[str, dict[str, float]]:
    floor = "base" if "base" in card.systems else next(iter(card.systems))
    return {
        name: {axis: card.normalised(name, axis, floor=floor) for axis in _measured_axes(card)}
        for name in card.systems
        if name != AUTHOR
    }


def _differences(card: Scorecard) -> list[str]:
    margins = {axis: rule.margin for axis, rule in GUARDRAILS.items()}
    return [
        f'<h3>{escape(card.challenger)} minus {escape(rival)}</h3><div class="plots">'
        f"{_image(intervals(axes, margins), f'Differences to {rival}')}{_difference_table(axes)}</div>"
        for rival, axes in card.against.items()
        if axes
    ]


def _difference_table(axes: Mapping[str, Difference]) -> str:
    rows = "".join(
        f"<tr><td>{axis}</td><td>{found.mean:+.3f}</td><td>{found.low:+.3f} to {found.high:+.3f}</td></tr>"
        for axis, found in axes.items()
    )
    return f"<table><tr><th>axis</th><th>mean</th><th>95 % interval</th></tr>{rows}</table>"


def _table(card: Scorecard) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in card.systems)
    rows = []
    for metric, label in METRICS.items():
        values = [_shown(card, name, metric) for name in card.systems]
        if any(value != "–" for value in values):
            rows.append(f"<tr><td>{escape(label)}</td>{''.join(f'<td>{value}</td>' for value in values)}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _shown(card: Scorecard, name: str, metric: str) -> str:
    value = card.systems[name].mean(metric)
    if not isfinite(value):
        return "–"
    return f"{-value if metric == 'fit' else value:.3f}"


def _sample(card: Scorecard, index: int) -> str:
    case = card.cases[index]
    parts = [f"<div><h4>the author</h4><p>{escape(case.reference)}</p></div>"]
    for name, one in card.systems.items():
        if name == AUTHOR:
            continue
        style, longest = one.metrics["style"][index], one.copied[index].longest
        figures = f"style of the drafts on this document {style:+.1f}" if isfinite(style) else "style not measured"
        figures += f", copies {longest} words" if longest else ""
        parts.append(
            f"<div><h4>{escape(name)} <small>{figures}</small></h4><p>{highlighted(one.answers[index], one.copied[index])}</p></div>"
        )
    return f'<section class="sample"><h3>{escape(case.prompt)}</h3>{"".join(parts)}</section>'


def _image(png: bytes, words: str) -> str:
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{b64encode(png).decode()}">'
