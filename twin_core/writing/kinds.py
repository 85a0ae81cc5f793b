"""The kinds of text that a twin writes: how long each is, whose manner it takes, which template asks for it.

What the templates say is in `prompts/`; how a text is written is in `write.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from twin_core.records import Category


class Kind(StrEnum):
    """What is to be written."""

    POST = "post"
    ARTICLE = "article"
    THREAD = "thread"
    REPLY = "reply"
    CODE = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a kind of text is like."""

    words: int
    """How long it is unless the brief says otherwise."""
    most_words: int
    manner: Category
    """The author's own pieces of this category show the register: tone, length, shape."""
    template: str
    outlined: bool = False
    """Whether an outline is written first and then followed."""


FEWEST_WORDS = 20
"""Fewer are a headline."""

FORMS: Mapping[Kind, Form] = {
    # LinkedIn takes 3,000 characters, which is about 450 words, and folds a post after its first lines.
    Kind.POST: Form(words=150, most_words=450, manner=Category.POST, template="write_post.v1"),
    # A draft is asked for in one answer: what fits beside its passages in the 4,096 tokens that every model has.
    # Without an outline small models repeat their first section until they stop.
    Kind.ARTICLE: Form(
        words=900, most_words=2_500, manner=Category.ARTICLE, template="write_article.v1", outlined=True
    ),
    # Seven posts of 280 characters are some 300 words; beyond fifteen nobody reads on.
    Kind.THREAD: Form(words=250, most_words=650, manner=Category.POST, template="write_thread.v1"),
    # A reply longer than what it replies to is a post.
    Kind.REPLY: Form(words=60, most_words=200, manner=Category.POST, template="write_reply.v1"),
    # A function with its comments; a word of code is about three tokens.
    Kind.CODE: Form(words=200, most_words=800, manner=Category.CODE, template="write_code.v1"),
}
