"""What an answer depends on is in its key: each condition alone gives another one, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.retrieval.scenario import Given, fill
from twin_core import prompts
from twin_core.models.chat import Message
from twin_core.records import Author, Category, SearchFilters
from twin_core.settings import Settings
from twin_core.store.database import Database
from twin_core.writing.answer_cache import Conditions, key_of

ASKED = Conditions(
    question="How do I coil a line?",
    history=(Message(role="user", content="Hello"),),
    filters=SearchFilters(),
    retrieval="fast",
    passages=6,
    tokens=700,
    temperature=None,
)


@pytest.fixture
def ada(database: Database) -> Author:
    return fill(database, "ada", [Given(text="With the lay.")])


def settings(**changed: Any) -> Settings:
    return Settings(_env_file=None, answer_cache_hours=1, **changed)


def key(database: Database, author: Author, asked: Conditions = ASKED, given: Settings | None = None) -> str | None:
    with database.transaction() as conn:
        return key_of(conn, author, asked, deployed=None, settings=given or settings())


@pytest.mark.parametrize(
    "other",
    [
        {"question": "How do I coil a rope?"},
        {"history": ()},
        {"history": (Message(role="assistant", content="Hello"),)},
        {"filters": SearchFilters(categories=(Category.POST,))},
        {"retrieval": "full"},
        {"passages": 5},
        {"tokens": 699},
    ],
    ids=str,
)
def test_another_condition_is_another_key(database: Database, ada: Author, other: dict[str, Any]) -> None:
    assert key(database, ada, replace(ASKED, **other)) != key(database, ada)


@pytest.mark.parametrize(
    "other",
    [
        {"llm_model": "m2"},
        {"llm_url": "http://other:1"},
        {"llm_route": "generate"},
        {"search_dense_candidates": 7},
        {"rerank_model": "other"},
        {"understanding_queries": 1},
        {"context_passages": 5},
        {"embedding_model": "other"},
        {"base_model": "other"},
    ],
    ids=str,
)
def test_another_setting_of_search_or_model_is_another_key(
    database: Database, ada: Author, other: dict[str, Any]
) -> None:
    assert key(database, ada, given=settings(**other)) != key(database, ada)


def test_another_author_and_another_prompt_are_another_key(
    database: Database, ada: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key(database, ada)
    assert key(database, replace(ada, language="pl")) != before
    assert key(database, fill(database, "bob", [Given(text="With the lay.")])) != before
    load = prompts.load
    for changed in (prompts.ANSWER, prompts.UNSOURCED, prompts.UNDERSTAND):
        monkeypatch.setattr(
            prompts, "load", lambda name, new=changed: replace(load(name), version="new") if name == new else load(name)
        )
        assert key(database, ada) != before, changed


def test_what_changes_no_answer_changes_no_key_and_variety_has_none(database: Database, ada: Author) -> None:
    assert key(database, ada) == key(database, ada)
    assert key(database, ada, given=settings(llm_price_prompt=3.0, trace_redact=True)) == key(database, ada)
    assert key(database, ada, replace(ASKED, temperature=0.7)) is None
    assert key(database, ada, given=settings().model_copy(update={"answer_cache_hours": 0.0})) is None
