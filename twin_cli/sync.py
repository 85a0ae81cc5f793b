"""`twin sync`: collect now, then clean, chunk and embed what changed; ends with the ledger.

Runs the same assets as the schedules, against the same Dagster instance (`twin_assets.launch`). Here is which sources
are meant and how it looks to a person; a dry run is in `dry_run.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from twin_cli import output
from twin_cli.authors import Slug
from twin_cli.sources import named
from twin_cli.terminal import harmless
from twin_core.collect.formats import THE_ARCHIVE
from twin_core.collect.registry import EXPORT
from twin_core.errors import InvalidInput
from twin_core.records import Author, Outcome, Source
from twin_core.runtime.stores import stores
from twin_core.settings import Settings, settings
from twin_core.store import authors, facts, ledger
from twin_core.store.database import Database

if TYPE_CHECKING:
    from twin_assets.launch import Refreshed, Tell

SHOWN_REASONS = 20
"""Failures told per source; the rest is in `twin items`."""

STAGES = {
    "raw_documents": "collecting",
    "cleaned_documents": "cleaning",
    "chunks": "chunking",
    "embeddings": "embedding",
}
"""Step -> what is shown while it works. Other steps take no time worth a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why one thing failed."""

    source: str
    where: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """One author's refresh, as it is told."""

    author: str
    refreshed: Refreshed
    reasons: tuple[Reason, ...]
    more: int
    """Failures beyond those in `reasons`."""
    notes: tuple[Reason, ...] = ()
    """What is to be said of an export as a whole: that it was read before, that it is not there any more."""

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return self.refreshed.succeeded


def sync(
    author: Slug = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="ID", help="Only this source, also when it is paused.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the sources and say what would happen; store nothing.")
    ] = False,
    as_json: output.AsJson = False,
) -> None:
    """Collect what is new and make it searchable; of every author and source, unless one is named.

    Ends with 1 when something failed. What did not fail is stored all the same, and the ledger says what and why.
    """
    here = settings()
    started = time.monotonic()
    with stores(here) as opened:
        meant = _meant(opened.database, author, source)
        if dry_run:
            from twin_cli import dry_run as dry

            output.finish(dry.show(opened.database, meant, here, as_json=as_json))
    done = run(here, meant, only_named=source is not None)
    seconds = time.monotonic() - started
    if as_json:
        output.show_json({"authors": [as_json_of(one) for one in done], "seconds": round(seconds, 3)})
    else:
        for one in done:
            show(one)
        output.say(f"{seconds:.1f} s.")
    if not all(one.complete for one in done):
        output.finish(output.PARTLY)


def run(here: Settings, meant: Sequence[tuple[Author, Sequence[Source]]], *, only_named: bool = False) -> list[Synced]:
    """Refresh each author in turn. `only_named`: just these sources, else all of the author's that are not paused."""
    from twin_assets.instance import instance
    from twin_assets.launch import refresh

    done = []
    with instance(here) as dagster, stores(here) as opened:
        for author, sources in meant:
            ids = [source.id for source in sources] if only_named else []
            with _telling(author.slug) as tell:
                ended = refresh(dagster, here, slug=author.slug, source_ids=ids, tell=tell)
            reasons, more = _reasons(opened.database, ended)
            notes = _notes(opened.database, ended)
            done.append(Synced(author=author.slug, refreshed=ended, reasons=reasons, more=more, notes=notes))
    return done


def sync_all(here: Settings) -> list[Synced]:
    """Refresh every author, as a plain `twin sync` does, and return what happened."""
    with stores(here) as opened:
        meant = _meant(opened.database, None, None)
    return run(here, meant)


def show(done: Synced) -> None:
    """Print one author's ledger: per source, then the stages, then what failed and why."""
    report = done.refreshed.report
    output.show_rows(
        ["platform", "source", *(str(outcome) for outcome in Outcome), "seconds"],
        [
            [
                one.platform,
                harmless(one.locator),
                *(getattr(one, outcome) for outcome in Outcome),
                round(one.seconds, 1),
            ]
            for one in report.sources
        ],
        title=done.author,
        empty=f"{done.author}: no source was collected.",
    )
    made = {name: report.stages.get(name) for name in ("cleaned_documents", "chunks", "embeddings")}
    cleaned, chunks, vectors = made["cleaned_documents"], made["chunks"], made["embeddings"]
    if done.complete and not report.changed:
        same = sum(one.unchanged for one in report.sources)
        output.show(f"Nothing to do: {same:,} unchanged, 0 cleaned, 0 chunked, 0 embedded.")
    else:
        told = []
        if cleaned is not None:
            told.append(f"{cleaned.done:,} documents cleaned in {cleaned.seconds:.1f} s")
        if chunks is not None:
            told.append(
                f"{chunks.rows:,} chunks of {chunks.done:,} documents made in {chunks.seconds:.1f} s, "
                f"{chunks.deleted:,} documents taken out"
            )
        if vectors is not None:
            told.append(f"{vectors.rows:,} embedded ({vectors.reused:,} reused) in {vectors.seconds:.1f} s")
        output.show("; ".join(told) + "." if told else "No stage after collection ran.")
    for note in done.notes:
        output.say(f"{harmless(note.where)}: {harmless(note.why)}")
    for step in done.refreshed.broken:
        output.warn(f"A step did not do its work: {step}")
    for reason in done.reasons:
        output.warn(f"failed: {harmless(reason.where)}: {harmless(reason.why)}")
    if done.more:
        output.warn(f"... and {done.more:,} more: twin items --source ID --outcome failed")


def _meant(database: Database, slug: str | None, source: str | None) -> list[tuple[Author, list[Source]]]:
    """The authors to refresh with the sources that will be collected. Raises InvalidInput when there is nothing to."""
    with database.transaction() as conn:
        if source is not None:
            one = named(conn, source)
            owner = authors.author_by_id(conn, one.author_id)
            if slug is not None and owner.slug != slug:
                raise InvalidInput(f"The source {source} is one of {owner.slug}, not of {slug}.")
            return [(owner, [one])]
        chosen = authors.list_authors(conn) if slug is None else [authors.author_by_slug(conn, slug)]
        meant = [(author, authors.list_sources(conn, author.id)) for author in chosen]
    meant = [(author, sources) for author, sources in meant if sources]
    if not meant:
        whose = slug or "SLUG"
        raise InvalidInput(
            f"There is nothing to sync: no source yet. Add one with "
            f"`twin source add --author {whose} folder PATH --i-wrote-this`."
        )
    return [(author, [one for one in sources if not one.paused]) for author, sources in meant]


def _reasons(database: Database, ended: Refreshed) -> tuple[tuple[Reason, ...], int]:
    """What failed and why: sources, items, documents. At most SHOWN_REASONS of each."""
    reasons: list[Reason] = []
    with database.transaction() as conn:
        for one in ended.report.sources:
            if one.error is not None:
                reasons.append(Reason(source=str(one.source_id), where=one.locator, why=one.error))
            if one.failed:
                items = ledger.items_of_run(conn, one.run_id, outcomes=[Outcome.FAILED], limit=SHOWN_REASONS)
                reasons += [
                    Reason(
                        source=str(one.source_id), where=item.location or item.native_id, why=item.reason or "failed"
                    )
                    for item in items
                ]
        for name, stage in ended.report.stages.items():
            some = dict(list(stage.failures.items())[:SHOWN_REASONS])
            places = facts.places_of(conn, [UUID(document) for document in some])
            reasons += [
                Reason(source=name, where=places.get(UUID(document), document), why=why)
                for document, why in some.items()
            ]
    return tuple(reasons), max(ended.report.failed - len(reasons), 0)


def _notes(database: Database, ended: Refreshed) -> tuple[Reason, ...]:
    imported = [one for one in ended.report.sources if one.locator.startswith(EXPORT)]
    with database.transaction() as conn:
        said = [(one, ledger.reason_of(conn, one.run_id, THE_ARCHIVE)) for one in imported]
    return tuple(
        Reason(source=str(one.source_id), where=f"{one.platform} {one.locator}", why=why) for one, why in said if why
    )


@contextmanager
def _telling(slug: str) -> Iterator[Tell]:
    """A progress display with a line per stage of this author."""
    with output.progress() as display:

        def tell(stage: str) -> object:
            if stage not in STAGES:
                return None
            task = display.add_task(f"{slug}: {STAGES[stage]}", total=None)

            def moved(done: int, total: int) -> None:
                display.update(task, completed=done, total=total)

            return moved

        yield tell  # type: ignore[misc]


def as_json_of(done: Synced) -> dict[str, object]:
    """One author's refresh as `--json` prints it."""
    report = done.refreshed.report
    return {
        "author": done.author,
        "run_id": report.run_id,
        "complete": done.complete,
        "changed": report.changed,
        "sources": report.sources,
        "stages": report.stages,
        "broken": done.refreshed.broken,
        "reasons": done.reasons,
        "more_reasons": done.more,
        "notes": done.notes,
    }
