"""Backups: the twin's database and its files in one archive, and back again without what was forgotten since.

The archive holds a dump of the database, the files (datasets, adapters, reports, uploads), the raw documents when they
are in MongoDB, and the journal of tombstones. What can be fetched again (clones) and what is secret (`HOME/secrets`) is not in it,
nor are Dagster's and MLflow's databases: they hold runs, no writing.

Restoring puts the dump into a database beside the old one, sets the tombstones of the journal there, forgets what they
name, and only then puts it in the old one's place: nobody ever sees what was forgotten.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from twin_core import forgetting
from twin_core.collect.removing import forget_source
from twin_core.errors import InvalidInput, Refused
from twin_core.records import RawRevision
from twin_core.runtime import dumps, journal, postgres
from twin_core.runtime.folders import folders, make_home
from twin_core.runtime.state import read_state
from twin_core.runtime.stores import open_warehouse, stores
from twin_core.settings import Settings
from twin_core.store import authors, backups, migrate
from twin_core.store.database import Database
from twin_core.store.tombstones import Tombstone, salt_of, source_tombstone
from twin_core.warehouse import encoding
from twin_core.warehouse.protocol import Warehouse

T = TypeVar("T")

FORMAT = 1
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUp:
    """What a backup holds."""

    path: Path
    bytes: int
    schema: str
    contents: Mapping[str, int]
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore brought, and what it forgot again on the way."""

    made_at: str
    contents: Mapping[str, int]
    files: int
    tombstones_set: int
    documents_forgotten: int
    sources_forgotten: int
    authors_forgotten: int


def back_up(settings: Settings, to: Path, *, replace: bool = False) -> BackedUp:
    """Write a backup to one file, whole or not at all. Services may run.

    Raises Refused when there is a file already and it is not to be replaced.
    """
    if to.exists() and not replace:
        raise Refused(f"There is a file {to} already. Name another one, or add --replace.")
    if not to.parent.is_dir():
        raise InvalidInput(f"There is no folder {to.parent}. Make it, or name another place.")
    draft = to.with_name(f".{to.name}.partial")
    home = make_home(settings).home
    with stores(settings) as opened, tempfile.TemporaryDirectory(prefix="backup-", dir=home) as scratch:
        with opened.database.transaction() as conn:
            journal.catch_up(settings, conn)
            held, schema = backups.contents(conn), backups.schema_revision(conn)
        dumped = Path(scratch) / "database.dump"
        dumps.dump(settings, dumped)
        parts = {"database.dump": dumped, "tombstones.jsonl": journal.path_of(settings)}
        if opened.warehouse.name != "postgres":
            parts["raw.jsonl.gz"] = _write_raw(opened.database, opened.warehouse, Path(scratch))
        trees = _trees(settings)
        files = sum(1 for tree in trees.values() for path in tree.rglob("*") if path.is_file())
        manifest = Path(scratch) / "manifest.json"
        manifest.write_text(
            json.dumps(
                {
                    "format": FORMAT,
                    "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
                    "schema": schema,
                    "contents": held,
                    "files": files,
                }
            )
        )
        try:
            mode = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with os.fdopen(os.open(draft, mode, 0o600), "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
                archive.add(manifest, "manifest.json")
                for name, path in parts.items():
                    if path.exists():
                        archive.add(path, name)
                for name, tree in trees.items():
                    archive.add(tree, name)
            draft.replace(to)
        finally:
            draft.unlink(missing_ok=True)
    return BackedUp(path=to, bytes=to.stat().st_size, schema=schema, contents=held, files=files)


def restore(settings: Settings, path: Path, *, replace: bool = False) -> Restored:
    """Bring back what a backup holds, without what was forgotten since.

    Raises Refused while services run, or when there are authors already and they are not to be replaced; InvalidInput
    for what is no backup or one of a newer version.
    """
    state = read_state(settings)
    if state is not None and state.alive:
        raise Refused("Services are running on this twin. Stop them with `twin down`, then restore.")
    with tempfile.TemporaryDirectory(prefix="restore-", dir=make_home(settings).home) as scratch:
        manifest = _unpack(path, Path(scratch))
        postgres.ensure_running(settings)
        with (
            stores(settings) as opened,
            opened.database.transaction() as conn,
        ):  # makes the roles that the dump grants to
            held = backups.contents(conn)
            journal.catch_up(settings, conn)
        if held["authors"] and not replace:
            raise Refused(
                f"There are {held['authors']} authors with {held['documents']} documents here, which would be replaced. "
                f"Add --replace if that is meant; `twin backup` saves them first."
            )
        _merge_journal(settings, Path(scratch) / "tombstones.jsonl")
        try:
            draft = dumps.restore_beside(settings, Path(scratch) / "database.dump")
            migrate.upgrade(draft)
            with _files_of(settings, Path(scratch)):  # in place before it is forgotten again: files are purged too
                restored = _forget_again(settings, draft, Path(scratch), manifest)
                dumps.put_in_place(settings)
        except BaseException:
            dumps.drop_draft(settings)
            raise
    return restored


def _forget_again(settings: Settings, draft: str, scratch: Path, manifest: Mapping[str, object]) -> Restored:
    said = journal.read(settings)
    counts = {"tombstones": 0, "documents": 0, "sources": 0, "authors": 0}
    database = Database(draft)
    try:
        warehouse = open_warehouse(settings, database)
        try:
            _read_raw(warehouse, scratch / "raw.jsonl.gz")
            with database.transaction() as conn:
                there = backups.authors_since(conn)
            for author, since in there:
                if any(gone.was(author.id) and since < gone.at for gone in said.authors):
                    receipt = forgetting.erase_author(database, warehouse, author, settings=settings)
                    counts["authors"] += 1
                    counts["documents"] += len(receipt.document_ids)
                    continue
                with database.transaction() as conn:
                    counts["tombstones"] += backups.set_again(conn, author.id, said.tombstones)
                counts["sources"] += _forget_sources(settings, database, warehouse, author.id, said.tombstones)
                again = forgetting.replay(database, warehouse, author, settings=settings)
                counts["documents"] += len(again.document_ids) if again else 0
                forgetting.resume(database, warehouse, author, settings=settings)
        finally:
            warehouse.close()
        with database.transaction() as conn:
            held = backups.contents(conn)
    finally:
        database.close()
    return Restored(
        made_at=str(manifest["made_at"]),
        contents=held,
        files=int(str(manifest["files"])),
        tombstones_set=counts["tombstones"],
        documents_forgotten=counts["documents"],
        sources_forgotten=counts["sources"],
        authors_forgotten=counts["authors"],
    )


def _forget_sources(
    settings: Settings, database: Database, warehouse: Warehouse, author_id: UUID, tombstones: Iterable[Tombstone]
) -> int:
    """Forget the sources that were forgotten after they were added. One that was added again later stays."""
    when = {one.hash: one.at for one in tombstones if one.kind == "source" and one.author_id == author_id}
    with database.transaction() as conn:
        salt = salt_of(conn, author_id)
        back = [
            authors.source_by_id(conn, source_id)
            for source_id, since in backups.sources_since(conn, author_id)
            if (at := when.get(source_tombstone(salt, source_id))) is not None and since < at
        ]
    for source in back:
        forget_source(database, warehouse, source, settings=settings)
    return len(back)


def _unpack(path: Path, to: Path) -> Mapping[str, object]:
    try:
        with tarfile.open(path) as archive:
            archive.extractall(to, filter="data")
        manifest = json.loads((to / "manifest.json").read_text("utf-8"))
        version = manifest["format"]
    except FileNotFoundError as error:
        what = f"There is no file {path}." if not path.exists() else f"{path} is no backup of a twin."
        raise InvalidInput(f"{what} `twin backup FILE` makes one.") from error
    except (tarfile.TarError, OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path} is no backup of a twin, or is damaged ({type(error).__name__}).") from error
    if version != FORMAT:
        raise InvalidInput(f"{path} was made by another version of this program (format {version}). Use that version.")
    if not isinstance(manifest, dict):
        raise InvalidInput(f"{path} is no backup of a twin.")
    return manifest


def _trees(settings: Settings) -> dict[str, Path]:
    """Name in the archive -> folder, of those that there are."""
    uploads = folders(settings).home / forgetting.UPLOADS
    named = {"files": settings.files_folder.absolute(), "uploads": uploads}
    return {name: tree for name, tree in named.items() if tree.is_dir()}


@contextmanager
def _files_of(settings: Settings, scratch: Path) -> Iterator[None]:
    """Put the archive's folders in the place of those that are there; back again when what follows fails."""
    old = scratch / "old"
    old.mkdir()
    places = {
        "files": settings.files_folder.absolute(), "uploads": folders(settings).home / forgetting.UPLOADS,
    }  # fmt: skip
    for name, place in places.items():
        if place.exists():
            shutil.move(place, old / name)
        if (scratch / name).is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(scratch / name, place)
    try:
        yield
    except BaseException:
        for name, place in places.items():
            shutil.rmtree(place, ignore_errors=True)
            if (old / name).exists():
                shutil.move(old / name, place)
        raise


def _merge_journal(settings: Settings, theirs: Path) -> None:
    """Take over what the archive's journal has and this home's lacks: for a backup that moves to another machine."""
    if not theirs.exists():
        return
    here = {(one.author_id, one.hash) for one in journal.read(settings).tombstones}
    there = journal.read_file(theirs)
    journal.append(settings, [one for one in there.tombstones if (one.author_id, one.hash) not in here])
    journal.add_authors(settings, there.authors)


def _write_raw(database: Database, warehouse: Warehouse, scratch: Path) -> Path:
    path = scratch / "raw.jsonl.gz"
    with database.transaction() as conn:
        ids = list(backups.revision_ids(conn))
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for some in _batched(ids):
            for raw in warehouse.get(list(some)):
                names = {"id": str(raw.id), "document": str(raw.document_id), "author": str(raw.author_id)}
                file.write(json.dumps({**names, "raw": encoding.encode(raw)}) + "\n")
    return path


def _read_raw(warehouse: Warehouse, path: Path) -> None:
    if not path.exists():
        return
    if warehouse.name == "postgres":
        raise InvalidInput("The backup's raw documents were in MongoDB. Set TWIN_MONGO_URL, then restore.")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for lines in _batched(file):
            warehouse.put([_raw(json.loads(line)) for line in lines])


def _batched(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    while some := list(islice(left, _BATCH)):
        yield some


def _raw(said: Mapping[str, object]) -> RawRevision:
    raw = said["raw"]
    if not isinstance(raw, Mapping):
        raise InvalidInput("The backup's raw documents are damaged.")
    return encoding.decode(
        revision_id=UUID(str(said["id"])),
        document_id=UUID(str(said["document"])),
        author_id=UUID(str(said["author"])),
        raw=raw,
    )
