"""What is measured of a dataset version before it is published: one row per example, and one of the whole.

Counted anew from the finished examples, by nothing that the filters decided: a filter that lets something through must
be caught here. What the measures must be is decided by whoever validates; the transaction that publishes waits for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from twin_core.datasets.filters import LEAST_OF_AN_ANSWER, LENGTHS, contaminated, near_duplicates
from twin_core.records import QUESTION, Example, ExampleKind, Split
from twin_core.text.fingerprint import words
from twin_core.text.redact import redact


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Columns of equal length, keyed by name; ids and numbers only, never text."""

    examples: Mapping[str, Sequence[object]]
    whole: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What validation found."""

    passed: bool
    """Whether the version may be published."""
    findings: Sequence[tuple[str, bool, str]]
    """(rule, whether it holds, what was found), in the order of the rules."""
    report: str
    """An HTML page of it, without any text of the author."""


Validate = Callable[[Measures], Verdict]


def measure(
    examples: Sequence[Example],
    sides: Mapping[str, Split],
    *,
    spoken: frozenset[str],
    keep: Sequence[str],
    before: int | None,
) -> Measures:
    """Measure a version. `before` is how many examples the current one has, None when this is the first."""
    ordered = sorted(examples, key=lambda one: one.id)
    test = [one for one in ordered if sides[one.id] == Split.TEST]
    train = [one for one in ordered if sides[one.id] == Split.TRAIN]
    leaking = contaminated({one.id: all_of(one) for one in train}, [one.answer for one in test])
    # Two rejected answers to one passage are no copies of each other: what counts is what is learnt. Nor is what a question
    # is answered with a copy of the passage that it begins.
    passages = list({one.answer: one for one in ordered if one.origin != QUESTION}.values())
    pairs = near_duplicates([one.answer for one in passages])
    near = Counter[str]()
    across = Counter[str]()
    for first, second in pairs:
        for here, there in ((first, second), (second, first)):
            name = passages[here].answer
            near[name] += 1
            across[name] += sides[passages[here].id] != sides[passages[there].id]
    same = Counter(_said(one) for one in ordered)
    lengths = {one.id: len(words(one.answer)) for one in ordered}
    private = [sum(redact(all_of(one), keep=keep).counts.values()) for one in ordered]
    columns: dict[str, Sequence[object]] = {
        "example_id": [one.id for one in ordered],
        "words": [lengths[one.id] for one in ordered],
        "length_in_range": [int(_in_range(one, lengths[one.id])) for one in ordered],
        "language_known": [int(one.category.value == "code" or one.language in spoken) for one in ordered],
        "shared_with_test": [int(one.id in leaking) for one in ordered],
        "near_duplicates_across": [across[one.answer] for one in ordered],
        "near_duplicates": [near[one.answer] for one in ordered],
        "copies": [same[_said(one)] - 1 for one in ordered],
        "private": private,
    }
    drafts = [one for one in ordered if one.origin != QUESTION]
    rule_made = sum(one.origin == "rule" for one in drafts)
    whole = {
        "train": float(len(train)),
        "test": float(len(test)),
        "untested": float(not test and any(one.kind == ExampleKind.INSTRUCT for one in ordered)),
        "private": sum(bool(count) for count in private) / (len(ordered) or 1),
        "rule_made": rule_made / (len(drafts) or 1),
        "imbalance": _imbalance(train, test),
        "of_the_last": len(ordered) / before if before else 1.0,
    }
    return Measures(examples=columns, whole=whole)


def all_of(example: Example) -> str:
    """Everything of an example that a model learns from and that is not the template's: context, task, answers."""
    user = "\n".join(content for role, content in example.prompt if role == "user")
    return f"{user}\n\n{example.answer}\n\n{example.rejected or ''}"


def _said(example: Example) -> tuple[bool, str, str]:
    """Equal for two examples that teach the same."""
    return example.origin == QUESTION, " ".join(words(example.answer)), " ".join(words(example.rejected or ""))


def _in_range(example: Example, length: int) -> bool:
    least, most = LENGTHS[example.category]
    # The end of a passage that is continued is shorter than the passage.
    shortest = min(least, LEAST_OF_AN_ANSWER) if example.kind == ExampleKind.INSTRUCT else 1
    return shortest <= length <= most


def _imbalance(train: Sequence[Example], test: Sequence[Example]) -> float:
    """The largest difference between a category's share of train and its share of test, 0 to 1."""
    if not train or not test:
        return 0.0
    of_train, of_test = (Counter(one.category for one in side) for side in (train, test))
    return max(abs(of_train[one] / len(train) - of_test[one] / len(test)) for one in set(of_train) | set(of_test))
