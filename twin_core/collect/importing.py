"""Importing an export: what is at a path becomes sources with consent; an upload is carried out to its end.

What an export is, is decided by its content (`formats.py`), and reading it is collecting like any other (`run.py`).
`twin import` and the run that takes uploads both go through here. An upload lies under `HOME/uploads/AUTHOR/incoming`
until it is recognised, then with its source, where forgetting the source takes it along.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import time
from uuid import UUID

from twin_core.collect import archive, formats
from twin_core.collect.run import collect_source
from twin_core.errors import InvalidInput, Refused
from twin_core.forgetting import UPLOADS
from twin_core.records import Author, Consent, Source, SourceReport
from twin_core.runtime.folders import folders
from twin_core.settings import Settings
from twin_core.store import authors, collect_requests, import_requests
from twin_core.store.database import Database
from twin_core.store.import_requests import ImportRequest
from twin_core.warehouse.protocol import Warehouse

SHOWN_NAMES = 20
ANYBODYS = frozenset({formats.FOLDER, "papers"})
"""What anybody can hold: an account's export shows by itself whose it is, a folder of files does not."""
INCOMING = "incoming"
MOST_ATTEMPTS = 3
"""An upload that ends its run three times is left alone."""
ABANDONED_SECONDS = 86_400
"""An upload that broke off leaves a folder and no request; after a day nobody is still sending it."""


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


def look(path: Path, own: Sequence[str], owner: Author, there: Sequence[Source], here: Settings) -> list[Meant]:
    """What is at the path, counted, with the sources it would become.

    Raises InvalidInput for what is nothing that is understood, and where whose writing it is must be said first.
    """
    path = path.expanduser().absolute()
    found = recognised(path, own, there, here)
    sources = [one.source(owner.id, own, there) for one in found]
    return [
        Meant(found=one, source=source, kinds=formats.survey(source, here))
        for one, source in zip(found, sources, strict=True)
    ]


def recognised(path: Path, own: Sequence[str], there: Sequence[Source], here: Settings) -> list[formats.Import]:
    """The exports at the path. Raises InvalidInput as `look` does."""
    options: dict[str, str | list[str]] = {"as": list(own)} if own else {}
    found = formats.recognise(path, options, here)
    for one in found:
        known = next((source for source in there if source.options.get("archive") == str(path)), None)
        if one.candidates and not (known and known.options.get("as")):
            names = ", ".join(_printable(name) for name in one.candidates[:SHOWN_NAMES])
            more = f" and {len(one.candidates) - SHOWN_NAMES} more" if len(one.candidates) > SHOWN_NAMES else ""
            raise InvalidInput(
                f"This {one.platform} export does not say who of them the author is. Name them: `as`, on the command "
                f"line --as NAME. There are: {names}{more}."
            )
    return found


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


def add(meant: Sequence[Meant], database: Database, *, claimed_by: str, mine: bool) -> list[Source]:
    """Make the sources, each with the export's SHA-256 as the proof of consent. Raises Refused without consent."""
    for one in meant:
        _check_claim(one.source, mine=mine)
    proofs = {path: archive.fingerprint(path) for path in {one.found.path for one in meant}}
    with database.transaction() as conn:
        return [
            authors.add_source(
                conn,
                author_id=one.source.author_id,
                platform=one.source.platform,
                locator=one.source.locator,
                schedule=one.source.schedule,
                options=one.source.options,
                consent=_consent(proofs[one.found.path], claimed_by),
            )
            for one in meant
        ]


def incoming(settings: Settings, author_id: UUID, request_id: UUID) -> Path:
    """The folder that an upload is received in."""
    return folders(settings).home / UPLOADS / str(author_id) / INCOMING / str(request_id)


def take_uploads(
    database: Database, warehouse: Warehouse, author: Author, request_ids: Sequence[UUID], *, settings: Settings
) -> list[SourceReport]:
    """Import the author's uploads, one after the other, and report on each source that was read.

    One that is refused says why on its request and does not stop the next. Interrupted anywhere, it is done again.
    """
    reports: list[SourceReport] = []
    for request_id in request_ids:
        with database.transaction() as conn:
            request = import_requests.import_request(conn, author.id, request_id)
            attempt = import_requests.begin(conn, request_id)
        if request.finished_at is not None:
            continue
        problem = None
        try:
            if attempt > MOST_ATTEMPTS:
                raise Refused(f"Importing it broke off {MOST_ATTEMPTS} times; the log of the runs says where.")
            reports += _import(database, warehouse, author, request, settings)
        except InvalidInput as error:
            problem = _without_paths(str(error), settings, request)
        with database.transaction() as conn:
            import_requests.finish(conn, request_id, problem)
        shutil.rmtree(incoming(settings, author.id, request_id), ignore_errors=True)
    _sweep(database, author.id, settings)
    return reports


def _import(
    database: Database, warehouse: Warehouse, author: Author, request: ImportRequest, settings: Settings
) -> Iterator[SourceReport]:
    path = incoming(settings, author.id, request.id) / request.name
    if not path.is_file():
        raise InvalidInput("The uploaded file is not there any more. Upload it again.")
    with database.transaction() as conn:
        there = authors.list_sources(conn, author.id)
    found = recognised(path, request.own, there, settings)
    meant = [Meant(found=one, source=one.source(author.id, request.own, there), kinds={}) for one in found]
    for one in meant:
        _check_claim(one.source, mine=request.mine)
    for one_round in rounds(meant):
        kept = [_kept(one, path, author.id, settings) for one in one_round]
        sources = add(kept, database, claimed_by=request.claimed_by, mine=request.mine)
        with database.transaction() as conn:
            asked = [
                collect_requests.request_collection(conn, author_id=author.id, source_id=source.id).id
                for source in sources
            ]
            import_requests.note_sources(conn, request.id, [source.id for source in sources], asked)
        for source in sources:
            yield collect_source(database, warehouse, source, settings=settings)


def _kept(one: Meant, upload: Path, author_id: UUID, settings: Settings) -> Meant:
    """The import with its file where the source keeps it: alone, for a newer export takes the place of an older one."""
    folder = folders(settings).home / UPLOADS / str(author_id) / str(one.source.id)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = folder / upload.name
    for older in folder.iterdir():
        older.unlink()
    try:
        place.hardlink_to(upload)
    except OSError:  # another file system
        shutil.copy2(upload, place)
    options = {**one.source.options, "archive": str(place)}
    return replace(one, found=replace(one.found, path=place), source=replace(one.source, options=options))


def _sweep(database: Database, author_id: UUID, settings: Settings) -> None:
    """Remove what uploads that broke off have left."""
    folder = folders(settings).home / UPLOADS / str(author_id) / INCOMING
    if not folder.is_dir():
        return
    with database.transaction() as conn:
        asked = {str(one) for one in import_requests.open_imports(conn, author_id).get(author_id, ())}
    for left in folder.iterdir():
        if left.name not in asked and time() - left.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _check_claim(source: Source, *, mine: bool) -> None:
    if source.platform in ANYBODYS and not mine:
        raise Refused(
            "Anybody can have these files. Say that the author wrote them: `mine`, on the command line --mine."
        )


def _consent(proof: str, claimed_by: str) -> Consent:
    return Consent(claimed_by=claimed_by, proof=f"SHA-256 of what was imported: {proof}", claimed_at=datetime.now(UTC))


def _without_paths(said: str, settings: Settings, request: ImportRequest) -> str:
    """What was said of a file, for someone who knows it by its name and not by where it lies here."""
    folder = incoming(settings, request.author_id, request.id)
    return said.replace(f"{folder}{os.sep}", "").replace(str(folders(settings).home), "")


def _printable(name: str) -> str:
    return "".join(letter for letter in name if letter.isprintable())
