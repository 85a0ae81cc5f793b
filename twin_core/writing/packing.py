"""What goes into a prompt: as many of the best passages as the model's window has room for, with the answer.

Token counts are exact where the model is a folder on this machine and its tokenizer can be read, else estimated on
the safe side. What a prompt says is in `prompts/`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from twin_core.models.chat import Message
from twin_core.models.local_server import context_window, local_folder
from twin_core.records import Passage
from twin_core.retrieval.pack import pack
from twin_core.settings import Settings

Count = Callable[[str], int]

CHARACTERS_PER_TOKEN = 3
"""English prose has about 4.2 and code about 3.2 characters per token in current vocabularies; less is safe."""
ANSWER_SHARE = 4
"""The answer may take a quarter of a small window; the passages are what it is made from."""
TEMPLATE_TOKENS = 64
"""What the model's chat template adds around the messages."""
LABEL_TOKENS = 60
"""What the quotation adds around a passage, besides its title: label, delimiters, date and location."""
SMALLEST_CUT = 200
"""Characters: a passage cut shorter than this says nothing."""


def counter(settings: Settings) -> Count:
    """How many tokens a text is to the model that will read it."""
    folder = local_folder(settings)
    if folder is not None and (folder / "tokenizer.json").is_file() and importlib.util.find_spec("tokenizers"):
        return _exact(folder.resolve())
    return lambda text: len(text.encode()) // CHARACTERS_PER_TOKEN + 1


def answer_tokens(settings: Settings, asked: int | None = None) -> int:
    """The longest answer, in tokens: what was asked for, within the setting and a quarter of the model's window."""
    most = min(settings.llm_max_tokens, context_window(settings) // ANSWER_SHARE)
    return most if asked is None else max(1, min(asked, most))


def fitting(
    passages: Sequence[Passage], *, settings: Settings, frame: Sequence[str], answer: int, most: int, count: Count
) -> list[Passage]:
    """At most `most` passages that fit beside `frame` (all other text of the prompt) and `answer` tokens.

    Chosen for relevance and unlike each other. When not even the best one fits it is cut at its end, so that
    `text == document.text[start:end]` still holds. Empty when there is no room at all.
    """
    room = context_window(settings) - answer - TEMPLATE_TOKENS - sum(count(text) for text in frame)
    chosen = pack(passages, budget_tokens=room, count=lambda text: count(text) + LABEL_TOKENS)[:most]
    return chosen or _cut(passages[0], room, count)


def recent(history: Sequence[Message], *, settings: Settings, count: Count) -> list[Message]:
    """The last turns of a conversation that fit a quarter of the window, in order."""
    left = context_window(settings) // ANSWER_SHARE
    kept: list[Message] = []
    for message in reversed(history):
        left -= count(message.content) + 8
        if left < 0:
            break
        kept.append(message)
    return kept[::-1]


def beginning(text: str, tokens: int, count: Count) -> str:
    """As much of a text from its beginning as has so many tokens, whole words; empty when nothing worth it fits."""
    while count(text) > tokens:
        text = text[: len(text) * 3 // 4].rsplit(None, 1)[0].rstrip()
        if len(text) < SMALLEST_CUT:
            return ""
    return text


def _cut(passage: Passage, room: int, count: Count) -> list[Passage]:
    text = passage.text
    while count(text) + count(passage.title) + LABEL_TOKENS > room:
        text = text[: len(text) * 3 // 4].rstrip()
        if len(text) < SMALLEST_CUT:
            return []
    return [replace(passage, text=text, end=passage.start + len(text))]


@lru_cache(maxsize=2)
def _exact(folder: Path) -> Count:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
