"""The rules that a dataset version must keep to be published, evaluated by Great Expectations before it is.

The measures are taken by `twin_core.datasets.measures`; the transaction that publishes waits for this verdict, and the
asset's check in the graph shows it. A rule that only reports (`blocks=False`) never holds a version back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from twin_assets.expectations import Finding, Rule, evaluate
from twin_core.datasets.measures import Measures, Validate, Verdict
from twin_core.datasets.versions import SHRUNK
from twin_core.settings import Settings

MOST_IMBALANCE = 0.5
"""Difference between a category's share of train and of test from which an evaluation speaks of something else."""

EXAMPLE_RULES = (
    Rule("no_shared_runs", "No train example shares 13 words in a row with a test answer.", "shared_with_test", at_most=0),
    Rule("no_near_copies_across", "No answer is a near-duplicate of one on the other side.", "near_duplicates_across", at_most=0),
    Rule("no_near_copies", "No two answers are near-duplicates.", "near_duplicates", at_most=0),
    Rule("no_copies", "No two examples are the same.", "copies", at_most=0),
    Rule("lengths", "Every answer is as long as its category allows.", "length_in_range", at_least=1),
    Rule("languages", "Every answer is in a language that the author writes in.", "language_known", at_least=1),
    Rule("unique_ids", "Every example is there once.", "example_id", unique=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Whole:
    rule: Rule
    blocks: bool = True


def _whole(settings: Settings) -> tuple[_Whole, ...]:
    """Rules over the version as a whole."""
    return (
        _Whole(Rule("some_train", "There is something to learn from.", "train", at_least=1)),
        _Whole(Rule("some_test", "There is something to be examined on.", "untested", at_most=0)),
        _Whole(
            Rule(
                "private", "Few enough examples hold personal data or secrets.", "private",
                at_most=settings.dataset_most_private,
            )
        ),
        _Whole(
            Rule(
                "rule_made", "Few enough instructions were made by rule.", "rule_made",
                at_most=settings.dataset_most_rule_made,
            )
        ),
        _Whole(Rule("not_shrunken", "The set is not below 80 % of the last one.", "of_the_last", at_least=SHRUNK)),
        _Whole(
            Rule("balance", "Categories have like shares on both sides.", "imbalance", at_most=MOST_IMBALANCE),
            blocks=False,
        ),
    )  # fmt: skip


def validator(settings: Settings) -> Validate:
    """What `build_instruct` and `build_preference` ask before they publish."""

    def validate(measures: Measures) -> Verdict:
        whole = _whole(settings)
        rules = [*EXAMPLE_RULES, *(one.rule for one in whole)]
        blocks = [*(True for _ in EXAMPLE_RULES), *(one.blocks for one in whole)]
        columns: dict[str, Sequence[object]] = {
            "version": ["this"],
            **{name: [value] for name, value in measures.whole.items()},
        }
        found = [
            *evaluate(EXAMPLE_RULES, measures.examples, identifier="example_id"),
            *evaluate([one.rule for one in whole], columns, identifier="version"),
        ]
        told = [
            f"{measures.whole[rule.column]:g}"
            if rule.column in measures.whole
            else f"{one.wrong} of {one.checked} wrong"
            for rule, one in zip(rules, found, strict=True)
        ]
        findings = [(rule.name, finding.passed, what) for rule, finding, what in zip(rules, found, told, strict=True)]
        passed = all(finding.passed or not blocking for finding, blocking in zip(found, blocks, strict=True))
        return Verdict(passed=passed, findings=findings, report=_page(rules, blocks, found, told))

    return validate


def _page(rules: Sequence[Rule], blocks: Sequence[bool], found: Sequence[Finding], told: Sequence[str]) -> str:
    """The report. Not Great Expectations' own page, which fetches its looks from five hosts when it is opened."""
    rows = "".join(
        f"<tr class={'good' if finding.passed else 'bad'}><td>{'holds' if finding.passed else 'broken'}</td>"
        f"<td>{escape(rule.description)}</td><td>{escape(what)}</td><td>{_bounds(rule)}</td>"
        f"<td>{'holds publishing back' if blocking else 'reports only'}</td>"
        f"<td><code>{'<br>'.join(escape(one) for one in finding.examples)}</code></td></tr>"
        for rule, blocking, finding, what in zip(rules, blocks, found, told, strict=True)
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Checks of a dataset version</title><style>"
        "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;color:#222}"
        "table{border-collapse:collapse;width:100%}td,th{padding:.4rem .6rem;border-bottom:1px solid #ddd;"
        "text-align:left;vertical-align:top}.good td:first-child{color:#17692f}.bad td:first-child{color:#a3180f;"
        "font-weight:600}</style><h1>Checks of a dataset version</h1><table><tr><th>outcome<th>rule<th>found"
        f"<th>allowed<th>weight<th>some of the examples</tr>{rows}</table></html>"
    )


def _bounds(rule: Rule) -> str:
    if rule.unique:
        return "unique"
    low = "" if rule.at_least is None else f"at least {rule.at_least:g}"
    high = "" if rule.at_most is None else f"at most {rule.at_most:g}"
    return " and ".join(part for part in (low, high) if part)
