"""Two authors with a few passages each, embedded by the real model, in plain values: what the API tests ask about."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tests.champion.scenario import Bench
from tests.retrieval.scenario import Given, embedded
from twin_core.evaluation.samples import Sample
from twin_core.records import Author, Category
from twin_core.settings import Settings
from twin_core.store import registry, samples
from twin_core.store.adapters import Adapter
from twin_core.store.database import Database
from twin_core.store.filed import file_text
from twin_core.store.files import file_store

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


def with_report(bench: Bench, settings: Settings, pairs: Sequence[Sample]) -> Adapter:
    """An adapter that was measured, with its report and these samples."""
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    files = file_store(settings)

    def filed(content: bytes, ending: str) -> str:
        return file_text(
            bench.database, files, bench.author.id, content, ending=ending, kind="evaluation", document_ids=[]
        )

    with bench.database.transaction() as conn:
        evaluation = registry.latest_evaluation(conn, bench.author.id, adapter.id)
        assert evaluation is not None
        registry.set_report(conn, evaluation.id, filed(b"<h1>Report</h1>", "html"))
        samples.keep_samples(
            conn,
            bench.author.id,
            evaluation.id,
            other="base",
            count=len(pairs),
            file_key=filed(msgspec.json.encode(pairs), "json"),
        )
    return adapter
