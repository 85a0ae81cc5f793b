"""What is kept of an answer or a draft when it ended: its cost by the settings, and as much of its text as they allow.

Redaction and sampling happen here, before anything is stored. What goes later, by age, is in `monitoring/upkeep.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from twin_core.models.chat import Usage
from twin_core.settings import Settings
from twin_core.store.answer_cache import remember
from twin_core.store.database import Database
from twin_core.store.traces import Trace, record_trace
from twin_core.text.redact import redact

MILLION = 1_000_000


def record(database: Database, trace: Trace, settings: Settings, *, cache_key: str | None = None) -> bool:
    """Store the trace, under row-level security as its author, with its cost and with what may be kept of it.

    With `cache_key` it is given again to whoever asks the same. False when what it rests on was forgotten meanwhile: then
    nothing of it is kept.
    """
    cost = 0.0 if trace.cached_from else cost_of(trace.usage, settings)
    kept = as_kept(replace(trace, cost=cost), settings)
    with database.as_author(trace.author_id) as conn:
        stored = record_trace(conn, kept)
        if stored and cache_key is not None and kept.texts == "whole":
            remember(conn, trace.author_id, cache_key, trace.id)
        return stored


def as_kept(trace: Trace, settings: Settings) -> Trace:
    """The trace as the settings let it be kept: whole, redacted, or without its texts."""
    if not _sampled(trace.id, settings.trace_texts):
        return _without_texts(trace)
    return _redacted(trace, settings) if settings.trace_redact else trace


def kept_edit(edited: str | None, settings: Settings) -> str | None:
    """An answer as somebody says it should have been, as the settings let it be kept."""
    return _clean(edited, settings) if edited is not None and settings.trace_redact else edited


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


def _sampled(trace_id: UUID, share: float) -> bool:
    """Ids are random, so a share of them is a random sample, and the same one whenever it is asked for."""
    return trace_id.int / 2**128 < share


def _clean(text: str, settings: Settings) -> str:
    return redact(text, keep=settings.dataset_keep).text


def _redacted(trace: Trace, settings: Settings) -> Trace:
    return replace(
        trace,
        question=_clean(trace.question, settings),
        answer=_clean(trace.answer, settings),
        instruction=None if trace.instruction is None else _clean(trace.instruction, settings),
        error=None if trace.error is None else _clean(trace.error, settings),
        queries=[_clean(query, settings) for query in trace.queries],
        passages=[replace(one, text=_clean(one.text, settings)) for one in trace.passages],
        links=[replace(one, title=_clean(one.title, settings), text=_clean(one.text, settings)) for one in trace.links],
        texts="redacted",
    )


def _without_texts(trace: Trace) -> Trace:
    return replace(
        trace,
        question="",
        answer="",
        instruction=None,
        error=None,
        queries=(),
        passages=[replace(one, text="") for one in trace.passages],
        links=(),
        texts="dropped",
    )
