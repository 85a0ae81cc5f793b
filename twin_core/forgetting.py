"""Forgetting documents everywhere, for good: a saga that can be interrupted anywhere and resumed.

Tombstones and the request are written first, in one transaction: from then on nothing brings the documents back. Then
every store that holds text is purged, and the receipt is made from what each store counts afterwards: zeros, or an
error. A store that holds text of documents registers here; what goes in Postgres is in `store/purging.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import Connection

from twin_core.errors import NotFound, TwinError
from twin_core.records import Author
from twin_core.runtime.folders import folders
from twin_core.settings import Settings
from twin_core.store import filed, purging
from twin_core.store.database import Database
from twin_core.store.files import file_store
from twin_core.store.tombstones import add_tombstones, buried, content_tombstone, location_tombstones, salt_of
from twin_core.warehouse.protocol import Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a store needs to find its own: handed to its `purge` and `count` with the document ids."""

    database: Database
    warehouse: Warehouse
    settings: Settings
    author_id: UUID


Step = Callable[[Place, Sequence[UUID]], int]
"""Takes document ids, returns how many rows or files it removed (purge) or holds (count)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How much one store held of the forgotten documents."""

    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What forgetting did, store by store. `after` is zero everywhere, or there is no receipt."""

    request_id: UUID
    document_ids: tuple[UUID, ...]
    """With those merged into them, and those of the very same text."""
    stores: Mapping[str, Counted]


_stores: dict[str, tuple[Step, Step]] = {}


def register_store(name: str, purge: Step, count: Step) -> None:
    """Make a store part of every forgetting from now on. Stores are purged in the order in which they registered.

    Both must work on ids that the store never heard of, and again on ids that it has purged.
    """
    if name in _stores:
        raise ValueError(f"There is a store `{name}` already.")
    _stores[name] = (purge, count)


def forget(
    database: Database, warehouse: Warehouse, author: Author, document_ids: Sequence[UUID], *, settings: Settings
) -> Receipt:
    """Forget documents of an author: leave tombstones, purge every store. Holds the author's lock.

    Raises NotFound when an id is not the author's. When a store does not answer, the error is raised, the tombstones
    stand, and `resume` finishes what was begun.
    """
    place = Place(database=database, warehouse=warehouse, settings=settings, author_id=author.id)
    with database.author_lock(author.id):
        with database.transaction() as conn:
            reached = purging.going_together(conn, author.id, document_ids)
            if not document_ids or not set(document_ids) <= set(reached):
                raise NotFound("There is no such document of this author. `twin documents` lists those there are.")
            request_id = uuid4()
            purging.request_forgetting(conn, request_id=request_id, author_id=author.id, document_ids=document_ids)
            _bury(conn, author.id, reached)
        request = purging.ForgetRequest(
            id=request_id, author_id=author.id, document_ids=list(document_ids), state="requested", receipt=None
        )
        return _carry_out(place, request)


def resume(database: Database, warehouse: Warehouse, author: Author, *, settings: Settings) -> list[Receipt]:
    """Carry out the author's requests that are not done: interrupted ones, and those that the API wrote."""
    with database.transaction() as conn:
        if not purging.open_requests(conn, author.id):
            return []
    place = Place(database=database, warehouse=warehouse, settings=settings, author_id=author.id)
    with database.author_lock(author.id):
        with database.transaction() as conn:
            requests = purging.open_requests(conn, author.id)
        return [_carry_out(place, request) for request in requests]


def replay(database: Database, warehouse: Warehouse, author: Author, *, settings: Settings) -> Receipt | None:
    """Forget again what tombstones name and a restored backup brought back. None when there is nothing of it."""
    with database.transaction() as conn:
        salt = salt_of(conn, author.id)
        marks: dict[str, UUID] = {}
        for document_id, source_id, native_id, location, content_hash in purging.living_traits(conn, author.id):
            marks[content_tombstone(salt, content_hash)] = document_id
            marks.update(dict.fromkeys(location_tombstones(salt, source_id, native_id, location), document_id))
        back = {marks[mark] for mark in buried(conn, author.id, list(marks))}
    if not back:
        return None
    return forget(database, warehouse, author, sorted(back), settings=settings)


def _bury(conn: Connection, author_id: UUID, document_ids: Sequence[UUID]) -> None:
    """Set the tombstones of these documents. Again is harmless; without their rows there is nothing to set."""
    salt, traits = salt_of(conn, author_id), purging.traits(conn, author_id, document_ids)
    items = [
        location_tombstones(salt, source_id, native_id, location)[0] for source_id, native_id, location in traits.items
    ]
    places = [
        location_tombstones(salt, source_id, native_id, location)[1] for source_id, native_id, location in traits.places
    ]
    contents = [content_tombstone(salt, content_hash) for content_hash in traits.contents]
    add_tombstones(conn, author_id, locations=items + places, contents=contents)


def _carry_out(place: Place, request: purging.ForgetRequest) -> Receipt:
    """Purge every store of what the request reaches. Starts wherever an earlier attempt stopped."""
    with place.database.transaction() as conn:
        reached = sorted(
            {*request.document_ids, *purging.going_together(conn, request.author_id, request.document_ids)}
        )
        _bury(conn, request.author_id, reached)
    if request.receipt is None:
        before = {name: count(place, reached) for name, (_, count) in _stores.items()}
        with place.database.transaction() as conn:
            purging.note_extent(conn, request.id, reached, before)
    else:
        before = {name: counts["before"] for name, counts in request.receipt.items()}
    after = {}
    for name, (purge, count) in _stores.items():
        purge(place, reached)
        after[name] = count(place, reached)
    left = {name: count for name, count in after.items() if count}
    if left:
        raise TwinError(
            f"Not everything could be forgotten: {', '.join(f'{count} in {name}' for name, count in left.items())} are "
            f"left. The documents cannot come back; the next `twin sync` or `twin forget` tries again."
        )
    stores = {name: Counted(before=before.get(name, 0), after=0) for name in _stores}
    with place.database.transaction() as conn:
        shown = {name: {"before": counted.before, "after": counted.after} for name, counted in stores.items()}
        purging.close_request(conn, request.id, shown)
    return Receipt(request_id=request.id, document_ids=tuple(reached), stores=stores)


def _clones(place: Place, document_ids: Sequence[UUID]) -> list[Path]:
    """Clone folders of the repositories in which these documents were found. The next sync clones afresh."""
    with place.database.transaction() as conn:
        sources = purging.sources_of(conn, document_ids, "git")
    held = folders(place.settings).home / "clones"
    return [folder for source_id in sources if (folder := held / str(source_id)).exists()]


def _purge_clones(place: Place, document_ids: Sequence[UUID]) -> int:
    found = _clones(place, document_ids)
    for folder in found:
        shutil.rmtree(folder)
    return len(found)


def _count_clones(place: Place, document_ids: Sequence[UUID]) -> int:
    return len(_clones(place, document_ids))


def _purge_files(place: Place, document_ids: Sequence[UUID]) -> int:
    """Datasets' files, reports: each goes whole. The rows go last, so that an interruption finds the files again."""
    with place.database.transaction() as conn:
        keys = filed.keys_holding(conn, document_ids)
    store = file_store(place.settings)
    for key in keys:
        store.delete(key)
    with place.database.transaction() as conn:
        return filed.unfile(conn, keys)


def _count_files(place: Place, document_ids: Sequence[UUID]) -> int:
    with place.database.transaction() as conn:
        return len(filed.keys_holding(conn, document_ids))


def _purge_raw(place: Place, document_ids: Sequence[UUID]) -> int:
    return place.warehouse.purge(document_ids)


def _count_raw(place: Place, document_ids: Sequence[UUID]) -> int:
    return place.warehouse.count(document_ids)


def _purge_table(name: str, place: Place, document_ids: Sequence[UUID]) -> int:
    with place.database.transaction() as conn:
        if name == "examples":
            purging.taint_datasets(conn, document_ids)
        gone = purging.purge_rows(conn, name, document_ids)
        if name == "chunks" and gone:
            purging.recount_lexemes(conn, place.author_id)
        return gone


def _count_table(name: str, place: Place, document_ids: Sequence[UUID]) -> int:
    with place.database.transaction() as conn:
        return purging.count_rows(conn, name, document_ids)


# The documents' own rows go last: an interrupted saga reads from them what is left to do.
register_store("clones", _purge_clones, _count_clones)
register_store("files", _purge_files, _count_files)
register_store("raw documents", _purge_raw, _count_raw)
for _table in purging.TABLES:
    register_store(_table, partial(_purge_table, _table), partial(_count_table, _table))
