"""A word matches itself, in every script and in every identifier style, in the database that will be asked."""

from __future__ import annotations

import pytest
from sqlalchemy import text as sql

from twin_core.records import Category
from twin_core.store.database import Database
from twin_core.text.lexical import _CONFIGS, indexed_text, query_text, search_config


@pytest.mark.parametrize(
    ("language", "category", "config"),
    [
        ("en", Category.ARTICLE, "english"),
        ("de-AT", Category.POST, "german"),
        ("pl", Category.ARTICLE, "simple"),
        ("zh", Category.POST, "simple"),
        ("python", Category.CODE, "simple"),
        ("en", Category.CODE, "simple"),
    ],
)
def test_a_text_is_read_in_its_language(language: str, category: Category, config: str) -> None:
    assert search_config(language, category) == config


def test_the_server_knows_every_configuration_that_is_used(database: Database) -> None:
    with database.transaction() as conn:
        known = set(conn.execute(sql("SELECT cfgname FROM pg_ts_config")).scalars())
    assert set(_CONFIGS.values()) <= known


@pytest.mark.parametrize("name", ["getParser", "get_parser", "GetParser", "GET_PARSER"])
def test_every_style_of_an_identifier_gives_the_same_words(name: str) -> None:
    assert indexed_text("", name, Category.CODE).lower() == "getparser get parser"


def test_prose_keeps_its_names_whole() -> None:
    assert indexed_text("", "JavaScript on GitHub", Category.ARTICLE) == "JavaScript on GitHub"
    assert query_text("JavaScript", Category.ARTICLE) == "JavaScript"
    assert query_text("JavaScript") == "JavaScript Java Script"


@pytest.mark.parametrize(
    ("passage", "query"),
    [
        ("我在北京大学学习历史", "大学"),
        ("東京タワーに行きました", "タワー"),
        ("use and/or in a path like src/app.py", "or"),
        ("“quoted” words", "quoted"),
        ("call sqlite3.connect now", "connect"),
        ("Zażółć gęślą jaźń", "jaźń"),
        ("the e-mail arrived", "e-mail"),
    ],
)
def test_a_passage_is_found_by_its_own_words(database: Database, passage: str, query: str) -> None:
    with database.transaction() as conn:
        found = conn.execute(
            sql("SELECT tsvector_to_array(to_tsvector('simple', :q)) && tsvector_to_array(to_tsvector('simple', :t))"),
            {"q": query_text(query), "t": indexed_text("", passage, Category.ARTICLE)},
        ).scalar_one()
    assert found
