"""What is kept of an answer or a draft when it ended: its cost by the settings, and the trace in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from twin_core.models.chat import Usage
from twin_core.settings import Settings
from twin_core.store.database import Database
from twin_core.store.traces import Trace, record_trace

MILLION = 1_000_000


def record(database: Database, trace: Trace, settings: Settings) -> bool:
    """Store the trace, under row-level security as its author, with what it cost.

    False when what it rests on was forgotten meanwhile: then nothing of it is kept.
    """
    trace = replace(trace, cost=cost_of(trace.usage, settings))
    with database.as_author(trace.author_id) as conn:
        return record_trace(conn, trace)


def counted(usage: Usage | None) -> dict[str, int]:
    """Tokens as a trace keeps them: nothing where no engine counted."""
    if usage is None:
        return {}
    return {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}


def cost_of(usage: Mapping[str, int], settings: Settings) -> float | None:
    """What those tokens cost; None when nobody counted them."""
    if not usage:
        return None
    prompt = usage["prompt_tokens"] * settings.llm_price_prompt
    return (prompt + usage["completion_tokens"] * settings.llm_price_completion) / MILLION
