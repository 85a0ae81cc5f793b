"""Answers of a given form from a language model: JSON that is read and checked, and asked for again while it cannot be used."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from twin_core.models.chat import ChatClient, Message

Form = TypeVar("Form")
ATTEMPTS = 3
"""The first and two more, each told what was wrong before."""
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


class Unusable(ValueError):
    """The answer is not what was asked for; says why, in words that the model is told."""


async def filled(
    client: ChatClient,
    opening: Sequence[Message],
    read: Callable[[str], Form],
    *,
    harmless: Callable[[str], str],
    schema: Mapping[str, object],
    max_tokens: int,
) -> Form | None:
    """What `read` makes of the model's answer, None when none of ATTEMPTS could be used. `read` raises Unusable.

    An answer that could not be used is shown to the model again, as `harmless` leaves it. Raises ChatError when the model does not answer.
    """
    messages = list(opening)
    for attempt in range(ATTEMPTS):
        said = await client.complete(messages, max_tokens=max_tokens, temperature=0.0, seed=attempt, schema=schema)
        try:
            return read(said.text)
        except Unusable as wrong:
            again = f"That cannot be used: {wrong}. Answer again, with JSON alone."
            answered = Message(role="assistant", content=harmless(said.text) or "{}")
            messages = [*opening, answered, Message(role="user", content=again)]
    return None


def decoded(said: str, form: type[Form], *, described: str = "of the form that was asked for") -> Form:
    """The JSON object in an answer. Raises Unusable."""
    found = _OBJECT.search(said)
    if found is None:
        raise Unusable("it holds no JSON object")
    try:
        return msgspec.json.decode(found[0], type=form)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Unusable(f"it is not {described}") from error
