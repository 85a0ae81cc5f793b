"""`twin import`: an official export, or a folder of one's own files, becomes a source and is collected at once.

What an export is, is decided by its content (`twin_core.collect.formats`); collecting and all that follows is what
`twin sync` does. Here is what a person is shown before anything is written, and asked when an export does not say it.
"""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from twin_cli import output, sync
from twin_cli.authors import Slug, chosen
from twin_cli.terminal import harmless
from twin_core.collect import archive, formats
from twin_core.errors import InvalidInput, Refused
from twin_core.records import Author, Consent, Source
from twin_core.runtime.stores import stores
from twin_core.settings import Settings, settings
from twin_core.store import authors

SHOWN_NAMES = 20
SHOWN_REASONS = 5
ANYBODYS = frozenset({formats.FOLDER, "papers"})
"""What anybody can hold: an account's export shows by itself whose it is, a folder of files does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """One import with what it holds."""

    found: formats.Import
    source: Source
    kinds: dict[str, formats.Kind]

    @property
    def failed(self) -> int:
        """Items that could not be read."""
        return sum(kind.failed for kind in self.kinds.values())


def import_(
    path: Annotated[Path, typer.Argument(help="An export as it was downloaded or unpacked, or a folder of files.")],
    *,
    author: Slug = None,
    own: Annotated[
        list[str] | None,
        typer.Option("--as", metavar="NAME", help="The author's name or address in a chat or mailbox; again for more."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is there; store nothing.")] = False,
    mine: Annotated[
        bool, typer.Option("--mine", "--i-wrote-this", help="The author wrote what is there, and agrees.")
    ] = False,
    claimed_by: Annotated[str | None, typer.Option("--claimed-by", help="Who says so. Default: this account.")] = None,
    as_json: output.AsJson = False,
) -> None:
    """Import an official export: LinkedIn, Medium, Substack, X, mail, Telegram, WhatsApp, papers, Markdown folders.

    Recognises it by its content and says what it holds, then collects it and makes it searchable. Importing a newer
    export of the same account takes only what changed. Ends with 1 when something in it could not be read.
    """
    here = settings()
    with stores(here) as opened, opened.database.transaction() as conn:
        owner = chosen(conn, author)
        there = authors.list_sources(conn, owner.id)
    with output.words().status("Reading what is there"):
        meant = look(path, own or [], owner, there, here)
    if not as_json:
        show(meant)
    if dry_run:
        if as_json:
            output.show_json({"found": [_json(one) for one in meant], "stored": False})
        output.finish(output.PARTLY if any(one.failed for one in meant) else output.DONE)
    refreshed = []
    for one_round in rounds(meant):
        sources = add(one_round, owner, here, claimed_by=claimed_by or getpass.getuser(), mine=mine)
        refreshed += sync.run(here, [(owner, sources)], only_named=True)
    if as_json:
        told = [sync.as_json_of(done) for done in refreshed]
        output.show_json({"found": [_json(one) for one in meant], "stored": True, "refreshed": told})
    else:
        for done in refreshed:
            sync.show(done)
    if not all(done.complete for done in refreshed):
        output.finish(output.PARTLY)


def look(path: Path, own: Sequence[str], owner: Author, there: Sequence[Source], here: Settings) -> list[Meant]:
    """What is at the path, with the sources it would become.

    Raises InvalidInput for what is nothing that is understood, and where whose writing it is must be said first.
    """
    options: dict[str, str | list[str]] = {"as": list(own)} if own else {}
    path = path.expanduser().absolute()
    found = formats.recognise(path, options, here)
    for one in found:
        known = next((source for source in there if source.options.get("archive") == str(path)), None)
        if one.candidates and not (known and known.options.get("as")):
            names = ", ".join(harmless(name) for name in one.candidates[:SHOWN_NAMES])
            more = f" and {len(one.candidates) - SHOWN_NAMES} more" if len(one.candidates) > SHOWN_NAMES else ""
            raise InvalidInput(
                f"This {one.platform} export does not say who of them the author is. Name them with --as NAME. "
                f"There are: {names}{more}."
            )
    sources = [one.source(owner.id, own, there) for one in found]
    return [
        Meant(found=one, source=source, kinds=formats.survey(source, here))
        for one, source in zip(found, sources, strict=True)
    ]


def rounds(meant: Sequence[Meant]) -> list[list[Meant]]:
    """The imports in rounds of one export per source: two exports of one account are read one after the other."""
    made: list[list[Meant]] = []
    for one in meant:
        there = next((some for some in made if all(other.source.id != one.source.id for other in some)), None)
        if there is None:
            made.append([one])
        else:
            there.append(one)
    return made


def show(meant: Sequence[Meant]) -> None:
    """Print what was found, by kind, and why some of it is not taken."""
    output.show_rows(
        ["format", "account", "kind", "items", "first", "last", "skipped", "failed"],
        [
            [
                one.source.platform,
                harmless(one.source.locator),
                kind,
                counted.found,
                counted.first.date() if counted.first else None,
                counted.last.date() if counted.last else None,
                counted.skipped,
                counted.failed,
            ]
            for one in meant
            for kind, counted in one.kinds.items()
        ],
        title="What is there",
        empty="It is understood, and it is empty.",
    )
    for one in meant:
        for kind, counted in one.kinds.items():
            for reason, times in counted.reasons.most_common(SHOWN_REASONS):
                output.say(f"{one.source.platform} {kind}, {times:,} not taken: {harmless(reason)}")


def add(meant: Sequence[Meant], owner: Author, here: Settings, *, claimed_by: str, mine: bool) -> list[Source]:
    """Make the sources, each with the export's SHA-256 as the proof of consent. Raises Refused without consent."""
    added = []
    for one in meant:
        if one.source.platform in ANYBODYS and not mine:
            raise Refused("Anybody can have these files. Say that the author wrote them: `twin import ... --mine`.")
    proofs = {path: archive.fingerprint(path) for path in {one.found.path for one in meant}}
    with stores(here) as opened, opened.database.transaction() as conn:
        for one in meant:
            consent = Consent(
                claimed_by=claimed_by,
                proof=f"SHA-256 of what was imported: {proofs[one.found.path]}",
                claimed_at=datetime.now(UTC),
            )
            added.append(
                authors.add_source(
                    conn,
                    author_id=owner.id,
                    platform=one.source.platform,
                    locator=one.source.locator,
                    schedule=one.source.schedule,
                    options=one.source.options,
                    consent=consent,
                )
            )
    return added


def _json(one: Meant) -> dict[str, object]:
    return {
        "platform": one.source.platform,
        "locator": one.source.locator,
        "archive": one.found.path,
        "inside": one.found.inside,
        "kinds": one.kinds,
    }
