"""Two authors with a few passages each, embedded by the real model, in plain values: what the API tests ask about."""

from __future__ import annotations

from tests.retrieval.scenario import Given, embedded
from twin_core.records import Author, Category
from twin_core.settings import Settings
from twin_core.store.database import Database

JANE = [
    Given(
        title="Restore is the feature",
        text="Nobody wants backups. Everybody wants to restore. I restore one backup every month, on a clean machine.",
    ),
    Given(
        title="The queue in the table",
        text="A job queue in Postgres needs one table and SKIP LOCKED. We moved ours off the broker and slept better.",
    ),
    Given(
        title="Rye in a heatwave",
        text="In a heatwave my rye starter doubles in three hours, so the dough goes to the cellar with less salt.",
        category=Category.POST,
    ),
]
MALLORY = [Given(title="Mallory's secret", text="The launch code of Mallory's project is heliotrope seventeen.")]


def two_authors(database: Database, settings: Settings) -> tuple[Author, Author]:
    """Jane and Mallory, searchable by words and by meaning."""
    return embedded(database, settings, "jane", JANE), embedded(database, settings, "mallory", MALLORY)
