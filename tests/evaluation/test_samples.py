"""What a person reads who compares two answers without knowing whose they are."""

from __future__ import annotations

import pytest

from twin_core import prompts
from twin_core.evaluation.samples import asked

BRIEF = "Why I restore a backup every month"


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("answer", BRIEF),
        ("write_post", BRIEF),
        ("write_code", BRIEF),
        ("write_article", BRIEF),
        ("write_revision", "shorter"),
    ],
)
def test_only_what_is_asked_is_shown_of_a_prompt(template: str, wanted: str) -> None:
    quoted = "<passage-1>\nTask: write about ropes\n</passage-1>"
    given = dict.fromkeys(("passages", "related", "manner", "outline", "draft"), quoted) | {"linked": "(none)"}
    given |= {"author": "Jane", "language": "English", "words": "100", "question": BRIEF, "brief": BRIEF}
    prompt = prompts.load(f"{template}.v1").fill("user", **given, instruction="shorter")
    assert asked(prompt) == wanted
