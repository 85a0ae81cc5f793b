"""Datasets: what an author's twin learns from, as immutable versions, one partition per author.

An asset here finds by itself whether there is anything to build. The rules of `dataset_rules.py` are evaluated before
the version is published, and what they found is the asset's check: it cannot come too late. Too little to make a set of
is an outcome and no failure; a set that does not pass is one.

Annotations are evaluated: Dagster does not understand the ones that `from __future__` leaves as text.
"""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from twin_assets.automation import transient_errors, when_inputs_change
from twin_assets.dataset_rules import validator
from twin_assets.failing import permanent_errors_are_final
from twin_assets.partitions import author_check, authors
from twin_assets.plots import bars
from twin_assets.reports import markdown_table
from twin_assets.resources import Twin
from twin_core.datasets.build import BUILD_VERSION, build_instruct
from twin_core.datasets.cards import card
from twin_core.datasets.measures import Verdict
from twin_core.datasets.preferences import PREFERENCES_VERSION, build_preference
from twin_core.datasets.versions import Built, NotValid
from twin_core.errors import NothingToPublish
from twin_core.records import Author
from twin_core.store.authors import author_by_slug
from twin_core.store.datasets import examples_of, read_version
from twin_core.store.filed import file_text
from twin_core.store.files import file_store

FIT = "fit_to_publish"
NOTHING = "nothing"
"""Data version of an asset for which nothing was ever published."""
PARQUET, REPORT = "dataset", "validation_report"
"""Kinds of files."""

_shared: dict[str, Any] = {
    "partitions_def": authors,
    "group_name": "datasets",
    "owners": ["team:twin"],
    "tags": {"pipeline": "datasets"},
    "retry_policy": transient_errors,
    "automation_condition": when_inputs_change,
    "kinds": {"python", "polars", "postgres"},
}


class BuildOptions(dg.Config):
    """What a person may ask of a build by hand."""

    allow_shrink: bool = False
    fresh: bool = False


@dg.asset(  # type: ignore[untyped-decorator]
    **_shared,
    deps=["cleaned_documents", "embeddings"],
    code_version=BUILD_VERSION,
    check_specs=[author_check(FIT, "instruct_dataset", "The version keeps the rules of publishing.", blocking=True)],
    description="Instructions with the author's own text as the answer: an immutable, split, decontaminated version.",
)
def instruct_dataset(
    context: dg.AssetExecutionContext, config: BuildOptions, twin: Twin
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]
    """Build what is new and publish it, when it passes."""

    def build(author: Author) -> Built:
        settings, told = twin.settings(), twin.progress("instruct_dataset")
        return build_instruct(
            twin.stores.database, author, settings=settings, validate=validator(settings),
            allow_shrink=config.allow_shrink, fresh=config.fresh,
            progress=None if told is None else lambda _, done, total: told(done, total),
        )  # fmt: skip

    yield from _published(context, twin, build)


@dg.asset(  # type: ignore[untyped-decorator]
    **_shared,
    deps=[instruct_dataset],
    code_version=PREFERENCES_VERSION,
    check_specs=[author_check(FIT, "preference_dataset", "The version keeps the rules of publishing.", blocking=True)],
    description="The author's passage preferred to what models wrote for the same prompt, and people's edits.",
)
def preference_dataset(
    context: dg.AssetExecutionContext, config: BuildOptions, twin: Twin
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]
    """Build what is new and publish it, when it passes."""

    def build(author: Author) -> Built:
        settings = twin.settings()
        return build_preference(
            twin.stores.database, author, settings=settings, validate=validator(settings),
            allow_shrink=config.allow_shrink,
        )  # fmt: skip

    yield from _published(context, twin, build)


def _published(
    context: dg.AssetExecutionContext, twin: Twin, build: Callable[[Author], Built]
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]
    """What a build ends as: a version with its check, nothing to publish, or a failed check and a failed step."""
    with permanent_errors_are_final():
        with twin.stores.database.transaction() as conn:
            author = author_by_slug(conn, context.partition_key)
        try:
            built = build(author)
        except NothingToPublish as too_little:
            yield dg.MaterializeResult(
                metadata={"outcome": str(too_little), "published": False}, data_version=dg.DataVersion(NOTHING)
            )
            yield dg.AssetCheckResult(check_name=FIT, passed=True, description="Nothing was to be published.")
            return
        except NotValid as wrong:
            yield _check(twin, author, wrong.verdict, None)
            raise
        yield dg.MaterializeResult(
            metadata=_metadata(twin, author, built), data_version=dg.DataVersion(built.version.id)
        )
        yield _check(twin, author, built.verdict, built.version.id)


def _metadata(twin: Twin, author: Author, built: Built) -> dict[str, Any]:
    version, made = built.version, built.version.manifest
    metadata: dict[str, Any] = {
        "outcome": "published" if built.new else "unchanged",
        "published": built.new,
        "version": version.id,
        "examples": version.examples,
        "documents": sum(made["documents"].values()),
        "seconds": round(built.seconds, 3),
    }
    if built.counts:
        metadata["steps"] = dg.MetadataValue.md(markdown_table(("step", "count"), list(built.counts.items())))
    if made["drops"]:
        metadata["drops"] = dg.MetadataValue.md(markdown_table(("reason", "passages"), list(made["drops"].items())))
    if built.trouble:
        metadata["trouble"] = built.trouble
    if built.new:
        sizes = {
            f"{category}, {split}": count for category, by in made["by_category"].items() for split, count in by.items()
        }
        metadata["picture"] = dg.MetadataValue.md(bars(sizes, title="Examples by category and side"))
        metadata["card"] = dg.MetadataValue.md(card(version))
        metadata["parquet"] = dg.MetadataValue.url(_parquet(twin, author, version.id))
    for name, count in built.ethics.items():
        metadata[f"ethics: {name}"] = count
    if built.ethics_key is not None:
        metadata["ethics_report"] = dg.MetadataValue.url(file_store(twin.settings()).address(built.ethics_key))
    return metadata


def _parquet(twin: Twin, author: Author, version_id: str) -> str:
    """File the version as Parquet. It holds text, so it is recorded with every document that is in it or quoted in it."""
    from twin_core.datasets.exports import as_parquet

    database, files = twin.stores.database, file_store(twin.settings())
    with database.transaction() as conn:
        frame = read_version(conn, version_id)
        examples = examples_of(conn, version_id)
    documents = {one.document_id for one in examples} | {
        quoted for one in examples for quoted in one.context_document_ids
    }
    key = file_text(
        database, files, author.id, as_parquet(frame), ending="parquet", kind=PARQUET,
        document_ids=sorted(documents), version_id=version_id,
    )  # fmt: skip
    return files.address(key)


def _check(twin: Twin, author: Author, verdict: Verdict | None, version_id: str | None) -> dg.AssetCheckResult:
    if verdict is None:
        return dg.AssetCheckResult(
            check_name=FIT, passed=True, description="Nothing changed since the version was validated."
        )
    files = file_store(twin.settings())
    key = file_text(
        twin.stores.database, files, author.id, verdict.report.encode(), ending="html", kind=REPORT, document_ids=[],
        version_id=version_id,
    )  # fmt: skip
    rows = [(rule, "holds" if holds else "broken", found) for rule, holds, found in verdict.findings]
    return dg.AssetCheckResult(
        check_name=FIT,
        passed=verdict.passed,
        metadata={
            "rules": dg.MetadataValue.md(markdown_table(("rule", "outcome", "found"), rows)),
            "report": dg.MetadataValue.url(files.address(key)),
        },
    )
