"""A story for each test: author Ann, an empty database, an ephemeral Dagster instance."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from tests.graph.scenario import Story
from twin_core.settings import Settings
from twin_core.store import authors
from twin_core.store.database import Database


@pytest.fixture
def story(settings: Settings, database: Database) -> Iterator[Story]:
    with database.transaction() as conn:
        author = authors.add_author(conn, slug="ann", name="Ann")
    with dg.DagsterInstance.ephemeral() as instance:
        yield Story(settings, database, instance, author)


@pytest.fixture
def lasting_story(settings: Settings, database: Database) -> Iterator[Story]:
    """The same with an instance that sensors can be evaluated against."""
    with database.transaction() as conn:
        author = authors.add_author(conn, slug="ann", name="Ann")
    with dg.instance_for_test() as instance:
        yield Story(settings, database, instance, author)
