"""Tokens per key: asked before the work, counted after it, however it ends.

The engine's own count where it gives one, else a token per four characters. What is over the limit when the work begins
is refused; work that has begun is finished, so a key may go over by what it has at work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from anyio import CancelScope

from twin_api.limits import TooMany
from twin_api.services import Services
from twin_core.models.chat import Usage
from twin_core.store import token_use
from twin_core.store.keys import KeyHolder

CHARACTERS_PER_TOKEN = 4
E = TypeVar("E")


async def check_tokens(services: Services, holder: KeyHolder) -> None:
    """Raise TooMany when the key has used up its tokens of this minute or this day."""
    used = await asyncio.to_thread(_used, services, holder)
    settings = services.settings
    if used.day >= settings.api_tokens_per_day:
        said = f"This key has used its {settings.api_tokens_per_day:,} tokens of today (UTC)."
        raise TooMany(said, used.seconds_left_of_day)
    if used.minute >= settings.api_tokens_per_minute:
        raise TooMany(f"This key may use {settings.api_tokens_per_minute:,} tokens a minute.", used.seconds_left)


async def spend_tokens(services: Services, holder: KeyHolder, tokens: int) -> None:
    """Count tokens against the key."""
    if tokens > 0:
        await asyncio.to_thread(_spend, services, holder, tokens)


async def metered(events: AsyncGenerator[E], services: Services, holder: KeyHolder, asked: int) -> AsyncGenerator[E]:
    """The events of a generation as they come, counted at the end. `asked` are the characters of what was asked."""
    counted, written = 0, 0
    try:
        async with aclosing(events):
            async for event in events:
                if hasattr(event, "usage"):  # an answer or a draft: all of its text again, with what it cost
                    counted += _cost(event, asked)
                    written = 0
                else:
                    written += len(getattr(event, "text", ""))
                yield event
    finally:
        if written:  # broken off, by the caller or by us: what was generated was paid for all the same
            counted += (asked + written) // CHARACTERS_PER_TOKEN
        with CancelScope(shield=True):
            await spend_tokens(services, holder, counted)


def _cost(event: object, asked: int) -> int:
    usage = getattr(event, "usage", None)
    if isinstance(usage, Usage):
        return usage.prompt_tokens + usage.completion_tokens
    if getattr(event, "outcome", "") == "retrieval_only" or getattr(event, "cached_from", None):  # no model wrote it
        return 0
    return (asked + len(getattr(event, "text", ""))) // CHARACTERS_PER_TOKEN


def _used(services: Services, holder: KeyHolder) -> token_use.TokensUsed:
    with services.database.as_author(holder.author_id) as conn:
        return token_use.tokens_used(conn, holder.author_id, holder.key_id)


def _spend(services: Services, holder: KeyHolder, tokens: int) -> None:
    with services.database.as_author(holder.author_id) as conn:
        token_use.use_tokens(conn, holder.author_id, holder.key_id, tokens)
