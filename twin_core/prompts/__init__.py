"""Versioned prompt templates, one file each, used alike in training and in serving.

A template is a text file `NAME.vN.md` beside this module, with `# system` and `# user` parts and `$names` to fill in.
Changing what a model reads means a new file with the next number; the version that traces record carries a hash, so
that an edit in place cannot hide. How retrieved text is made harmless is in `quoting.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

ANSWER = "answer.v1"
RETRIEVAL_ONLY = "retrieval_only.v1"
NOTHING_FOUND = "nothing_found.v1"
PASSAGE_OF_ARTICLE = "passage_of_article.v1"
PASSAGE_OF_CODE = "passage_of_code.v1"
INSTRUCTION = "instruction.v1"
UNDERSTAND = "understand.v1"
JUDGE_PAIR = "judge_pair.v1"
JUDGE_RATING = "judge_rating.v1"
UNSOURCED = "answer_unsourced.v1"
WRITE_OUTLINE = "write_article_outline.v1"
WRITE_REVISION = "write_revision.v1"
WRITE_RETRIEVAL_ONLY = "write_retrieval_only.v1"

_FILES = files(__package__ or "twin_core.prompts")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A loaded template: parts in order of appearance, `system`, `user` or `text`."""

    version: str
    """`answer.v1+0f3a9c21`: name, number and the first 8 hex digits of the file's SHA-256."""
    parts: dict[str, Template]

    def fill(self, part: str, **values: object) -> str:
        """The part with every `$name` replaced, once: what a value contains is never filled in again.

        Raises KeyError for a name that is not given.
        """
        return self.parts[part].substitute({name: str(value) for name, value in values.items()}).strip()


@cache
def load(name: str) -> Prompt:
    """The template of this name, such as `answer.v1`. Raises FileNotFoundError when there is none."""
    source = _FILES.joinpath(f"{name}.md").read_text(encoding="utf-8")
    parts: dict[str, list[str]] = {}
    current = parts.setdefault("text", [])
    for line in source.splitlines():
        if line in {"# system", "# user"}:
            current = parts.setdefault(line[2:], [])
        else:
            current.append(line)
    digest = hashlib.sha256(source.encode()).hexdigest()[:8]
    return Prompt(f"{name}+{digest}", {part: Template("\n".join(lines)) for part, lines in parts.items()})
