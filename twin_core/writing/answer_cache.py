"""Whether a question was answered before under the very same conditions, and what those conditions are.

The key is a hash over everything that an answer depends on; whatever changes, nobody has to remember to empty anything.
Off unless `TWIN_ANSWER_CACHE_HOURS` is set: someone who asks again mostly wants another answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from twin_core import prompts
from twin_core.models.chat import Message
from twin_core.records import Author, SearchFilters
from twin_core.settings import Settings
from twin_core.store import answer_cache as store
from twin_core.store.registry import Deployment
from twin_core.store.traces import KeptDraft

VERSION = "1"
"""Raise it when the same question under the same conditions is to be answered differently."""
_MATTERING = ("search_", "retriev", "rerank_", "understand", "context_", "embedding_", "base_model", "llm_")
"""Settings by the beginning of their names. One too many costs a cached answer, one too few gives a wrong one."""
_NOT_MATTERING = ("llm_api_key", "llm_price_prompt", "llm_price_completion", "llm_port")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a question is asked under, beside the settings and the state of the corpus."""

    question: str
    history: Sequence[Message]
    filters: SearchFilters
    retrieval: str
    passages: int
    tokens: int
    temperature: float | None


def key_of(
    conn: Connection, author: Author, asked: Conditions, *, deployed: Deployment | None, settings: Settings
) -> str | None:
    """The key of an answer; None when none is to be given again: the cache is off, or variety was asked for."""
    if not settings.answer_cache_hours or asked.temperature:
        return None
    mattering = {
        name: value
        for name, value in settings.model_dump(mode="json").items()
        if name.startswith(_MATTERING) and name not in _NOT_MATTERING
    }
    said = {
        "version": VERSION,
        "author": [str(author.id), author.name, author.language],
        "asked": asdict(asked),
        "prompts": [prompts.load(name).version for name in (prompts.ANSWER, prompts.UNSOURCED, prompts.UNDERSTAND)],
        # What "last month" means: only a question that is read depends on the day.
        "day": datetime.now(UTC).date() if asked.retrieval != "off" else None,
        "deployment": str(deployed.id) if deployed else None,
        "corpus": store.corpus_version(conn, author.id),
        "settings": mattering,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def look_up(conn: Connection, author: Author, key: str, settings: Settings) -> KeptDraft | None:
    """The answer that was given before, or None."""
    return store.look_up(conn, author.id, key, within=timedelta(hours=settings.answer_cache_hours))
