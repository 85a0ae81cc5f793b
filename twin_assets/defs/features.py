"""Features: from raw documents to what training reads (cleaned documents) and what retrieval reads (chunks, vectors).

Each stage finds by itself what changed, under the author's lock; a stage with nothing to do returns at once. The last
asset of the file ends a refresh: it tells what the run did, and fails when something failed.

Annotations are evaluated: Dagster does not understand the ones that `from __future__` leaves as text.
"""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
from sqlalchemy import Connection

from twin_assets.automation import transient_errors, when_inputs_change
from twin_assets.failing import permanent_errors_are_final
from twin_assets.partitions import authors
from twin_assets.plots import histogram
from twin_assets.reports import ledger_table, markdown_table, report_of_run, stage_metadata
from twin_assets.resources import Twin
from twin_core.features.chunk import CHUNKER_VERSION, chunk_author
from twin_core.features.clean import CLEANER_VERSION, clean_author
from twin_core.features.embed import embed_author
from twin_core.records import Author, StageReport
from twin_core.store import facts, versions
from twin_core.store.authors import author_by_slug

_shared: dict[str, Any] = {
    "partitions_def": authors,
    "group_name": "features",
    "owners": ["team:twin"],
    "tags": {"pipeline": "features"},
    "retry_policy": transient_errors,
    "automation_condition": when_inputs_change,
}


@dg.asset(  # type: ignore[untyped-decorator]
    **_shared,
    deps=["raw_documents"],
    kinds={"python", "postgres"},
    code_version=CLEANER_VERSION,
    description="Normalised text of each live document's latest revision. Snapshot 1: training reads this.",
)
def cleaned_documents(context: dg.AssetExecutionContext, twin: Twin) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Clean what changed, one handler per category."""
    with permanent_errors_are_final():
        stores, author = twin.stores, _author(twin, context.partition_key)
        report = clean_author(
            stores.database,
            stores.warehouse,
            author,
            settings=twin.settings(),
            progress=twin.progress("cleaned_documents"),
        )
        return _published(twin, author, report, versions.cleaned_version)


@dg.asset(  # type: ignore[untyped-decorator]
    **_shared,
    deps=[cleaned_documents],
    kinds={"python", "postgres"},
    code_version=CHUNKER_VERSION,
    description="Passages that fit the embedding model's window, with their postings for lexical search.",
)
def chunks(context: dg.AssetExecutionContext, twin: Twin) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Cut what changed into passages; take out those of superseded and deleted documents."""
    with permanent_errors_are_final():
        author = _author(twin, context.partition_key)
        report = chunk_author(twin.stores.database, author, settings=twin.settings(), progress=twin.progress("chunks"))
        return _published(twin, author, report, versions.chunk_version, picture=_lengths)


@dg.asset(  # type: ignore[untyped-decorator]
    **_shared,
    deps=[chunks],
    kinds={"python", "pgvector"},
    code_version="1",  # which model made a vector is in its row and in the data version
    description="One vector per passage and embedding model. Snapshot 2, with the chunks: retrieval reads this.",
)
def embeddings(context: dg.AssetExecutionContext, twin: Twin) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Embed the passages that have no vector of their text yet; equal texts share one computation."""
    with permanent_errors_are_final():
        author = _author(twin, context.partition_key)
        report = embed_author(
            twin.stores.database, author, settings=twin.settings(), progress=twin.progress("embeddings")
        )
        return _published(twin, author, report, versions.embedding_version)


@dg.asset(
    partitions_def=authors,
    deps=["raw_documents", cleaned_documents, chunks, embeddings],
    group_name="features",
    kinds={"python"},
    owners=["team:twin"],
    tags={"pipeline": "features"},
    automation_condition=when_inputs_change,  # a stage that runs otherwise than by a refresh must not hide a failure
    description="What the last refresh did: the ledger. Red when a source, an item or a document failed.",
)
def refresh_outcome(context: dg.AssetExecutionContext, twin: Twin) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
    """Close a refresh: record what it did, then fail if anything in it failed.

    The stages themselves succeed although a part of their input failed, because the next stage must still process the
    rest; a stage that raised would leave what was stored unsearchable for one bad page. So that the run is not green
    all the same, this step reads the run's own reports and raises at the end, when everything is done and recorded.
    A blocking check would do that too, but would also keep everything downstream of the refresh waiting for as long
    as a single page is broken.
    """
    run = report_of_run(context.instance, context.run_id)
    with permanent_errors_are_final(), twin.stores.database.transaction() as conn:
        totals = facts.totals(conn, author_by_slug(conn, context.partition_key).id)
    stages = [
        (name, stage.done, stage.unchanged, stage.failed, stage.deleted, stage.rows, f"{stage.seconds:.1f}")
        for name, stage in run.stages.items()
    ]
    yield dg.MaterializeResult(
        metadata={
            "ledger": dg.MetadataValue.md(ledger_table(run.sources)),
            "stages": dg.MetadataValue.md(
                markdown_table(("stage", "done", "unchanged", "failed", "deleted", "rows", "seconds"), stages)
            ),
            "failed": run.failed,
            "changed": run.changed,
            **{f"{name}_now": getattr(totals, name) for name in ("documents", "cleaned", "chunks", "vectors")},
        }
    )
    if run.failed:
        raise dg.Failure(
            description=f"{run.failed} failed; everything else is stored and searchable. The ledger says what and why.",
            metadata={
                **{f"{report.platform} {report.source_id}": report.failed for report in run.sources if report.failed},
                **{
                    f"{report.platform} {report.source_id} error": report.error
                    for report in run.sources
                    if report.error
                },
                **{name: stage.failed for name, stage in run.stages.items() if stage.failed},
            },
            allow_retries=False,
        )


def _author(twin: Twin, slug: str) -> Author:
    with twin.stores.database.transaction() as conn:
        return author_by_slug(conn, slug)


def _published(
    twin: Twin,
    author: Author,
    report: StageReport,
    version: Callable[[Connection, Any], str],
    *,
    picture: Callable[[Connection, Author], str] | None = None,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """What a stage returns: its counts, the version of what is published now and, if it did anything, a picture."""
    metadata = stage_metadata(report)
    with twin.stores.database.transaction() as conn:
        if picture is not None and (report.done or report.deleted):
            metadata["picture"] = dg.MetadataValue.md(picture(conn, author))
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(version(conn, author.id)))


def _lengths(conn: Connection, author: Author) -> str:
    width = 16
    counts = facts.token_histogram(conn, author.id, width=width)
    return histogram(counts, width=width, title="Chunks by length", unit="tokens, special tokens included")
