"""Which passages an answer names: what is a label, what is not, and what a model makes up."""

from __future__ import annotations

import pytest

from twin_core.writing.citations import cited_labels


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        ("Restore it [1].", {1}),
        ("Both say so [1][3].", {1, 3}),
        ("Both say so [1, 3]; and [2;3].", {1, 2, 3}),
        ("All of them [1-3].", {1, 2, 3}),
        ("All of them [1–3].", {1, 2, 3}),
        ("word[2], without a space", {2}),
        ("An invented one [9] beside [2].", {2}),
        ("A huge range [1-999999].", set()),
        ("A link [1](https://example.org) is none.", set()),
        ("Code `a[1]` is none.", set()),
        ("```python\nx = a[2]\n```\nbut [3] is.", {3}),
        ("```\nnever closed a[1]", set()),
        ("A task [x], a footnote [^1], an empty [].", set()),
        ("Nothing at all.", set()),
    ],
)
def test_labels_are_read_from_prose_and_only_those_that_exist(answer: str, labels: set[int]) -> None:
    assert cited_labels(answer, [1, 2, 3]) == labels
