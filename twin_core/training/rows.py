"""From a dataset version to the rows that TRL trains on, cut here to the length that training allows.

TRL cuts on the right by itself and then drops rows of which nothing is left to learn, without a word. So rows are cut beforehand,
at a boundary of the text, what cannot be used is counted, and the trainers are held to the number of rows that they were given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twin_core.errors import InvalidInput

if TYPE_CHECKING:
    import polars as pl

SHORTEST_ANSWER = 32
"""Tokens: with less room than this beside the prompt, a row teaches next to nothing."""
MOST_LEFT_OUT = 0.5
"""More than this share left out is a wrong setting, not a few long rows."""
_ENDS = (re.compile(r"\n\n"), re.compile(r"(?<=[.!?。！？])\s"), re.compile(r"\s"))
"""Where a text may be cut, the best first: after a paragraph, a sentence, a word."""

Message = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows for a trainer, with what was done to fit them."""

    rows: list[dict[str, Any]]
    ids: tuple[str, ...]
    """Of the examples that the rows are made from."""
    cut: int
    """Answers shortened."""
    left_out: int
    """Rows whose prompt leaves no room for an answer."""
    tokens: int
    """Of prompts and answers together, once through."""
    answer_tokens: int
    """Of what the loss is taken on."""


class Lengths:
    """Counts tokens as the trainer will: the conversation through the base's own chat template."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length

    def prompt(self, prompt: Sequence[Message]) -> int:
        text = self.tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True)
        return self._count(text)

    def whole(self, prompt: Sequence[Message], answer: str) -> int:
        said = [*prompt, {"role": "assistant", "content": answer}]
        return self._count(self.tokenizer.apply_chat_template(said, tokenize=False))

    def fitted(self, prompt: Sequence[Message], answer: str) -> str | None:
        """The answer, or its beginning where the whole does not fit; None when too little room is left for it."""
        length = self.whole(prompt, answer)
        if length <= self.max_length:
            return answer
        if self.max_length - self.prompt(prompt) < SHORTEST_ANSWER:
            return None
        places = self.tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        room = len(places) - (length - self.max_length)
        while room > 0:
            shorter = _shortened(answer, places[room - 1][1])
            if shorter and self.whole(prompt, shorter) <= self.max_length:
                return shorter
            room -= max(1, room // 20)
        return None

    def _count(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def _shortened(text: str, end: int) -> str:
    """The text up to the last good place before `end` that keeps most of it."""
    for boundary in _ENDS:
        places = [found.start() for found in boundary.finditer(text, 0, end)]
        if places and places[-1] >= end // 2:
            return text[: places[-1]].rstrip()
    return text[:end].rstrip()


def instruct_rows(frame: pl.DataFrame, tokenizer: Any, max_length: int) -> Rows:
    """Rows of `prompt` and `completion` as messages. Raises InvalidInput when there are none, or most do not fit."""
    lengths = Lengths(tokenizer, max_length)
    rows, ids, cut, tokens, learnt = [], [], 0, 0, 0
    for identifier, prompt, answer in frame.select("id", "prompt", "completion").iter_rows():
        fitted = lengths.fitted(prompt, answer)
        if fitted is None:
            continue
        cut += fitted != answer
        whole = lengths.whole(prompt, fitted)
        tokens, learnt = tokens + whole, learnt + whole - lengths.prompt(prompt)
        rows.append({"prompt": list(prompt), "completion": [{"role": "assistant", "content": fitted}]})
        ids.append(identifier)
    return _checked(rows, ids, frame.height, max_length, cut=cut, tokens=tokens, answer_tokens=learnt)


def preference_rows(frame: pl.DataFrame, tokenizer: Any, max_length: int) -> Rows:
    """Rows of `prompt`, `chosen` and `rejected` as messages. Raises as `instruct_rows` does.

    Both answers are cut on their own, and a row in which one of them has no room is left out: a pair of which one side was cut
    away would teach the length of the other.
    """
    lengths = Lengths(tokenizer, max_length)
    rows, ids, cut, tokens, learnt = [], [], 0, 0, 0
    for identifier, prompt, *answers in frame.select("id", "prompt", "chosen", "rejected").iter_rows():
        fitted = [lengths.fitted(prompt, answer) for answer in answers]
        chosen, rejected = fitted
        if chosen is None or rejected is None or chosen == rejected:
            continue
        cut += fitted != answers
        before = lengths.prompt(prompt)
        for answer in (chosen, rejected):
            whole = lengths.whole(prompt, answer)
            tokens, learnt = tokens + whole, learnt + whole - before
        made = {"chosen": chosen, "rejected": rejected}
        row = {name: [{"role": "assistant", "content": answer}] for name, answer in made.items()}
        rows.append({"prompt": list(prompt), **row})
        ids.append(identifier)
    return _checked(rows, ids, frame.height, max_length, cut=cut, tokens=tokens, answer_tokens=learnt)


def _checked(rows: list[dict[str, Any]], ids: list[str], of: int, max_length: int, **counts: int) -> Rows:
    left_out = of - len(rows)
    if not of:
        raise InvalidInput("This dataset version has no train examples left. Build a new one: `twin dataset build`.")
    if left_out > MOST_LEFT_OUT * of:
        raise InvalidInput(
            f"{left_out} of {of} examples do not fit into {max_length} tokens: their prompts leave no room for an answer. "
            f"Raise `max_length`, up to the window of the base model."
        )
    return Rows(rows=rows, ids=tuple(ids), left_out=left_out, **counts)
