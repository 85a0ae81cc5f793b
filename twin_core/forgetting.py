"""Forgetting documents everywhere, for good: a saga that can be interrupted anywhere and resumed.

Tombstones and the request are written first, in one transaction: from then on nothing brings the documents back. Then
every store that holds text is purged, and the receipt is made from what each store counts afterwards: zeros, or an
error. A store that holds text of documents registers here; what goes in Postgres is in `store/purging.py`. Forgetting an
author takes all their documents the same way, then what is theirs beside documents. A whole source is forgotten by
`collect/removing.py`, for it is collection that knows what another source has too.
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
from twin_core.models import copies
from twin_core.records import Author
from twin_core.runtime import journal
from twin_core.runtime.folders import folders
from twin_core.runtime.mlflow_store import delete_traces
from twin_core.settings import Settings
from twin_core.store import authors, filed, people, purging, trace_copies
from twin_core.store.database import Database
from twin_core.store.files import file_store
from twin_core.store.tombstones import (
    add_tombstones,
    buried,
    buried_texts,
    content_tombstone,
    location_tombstones,
    mark_tombstones,
    salt_of,
    text_tombstone,
)
from twin_core.text.fingerprint import bands
from twin_core.warehouse.protocol import Warehouse

CLONES, UPLOADS = "clones", "uploads"
"""Folders under HOME: clones by source, uploaded archives by author and source."""


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


AuthorStep = Callable[[Place], int]
"""The same for what belongs to an author and to no document."""

_stores: dict[str, tuple[Step, Step]] = {}
_author_stores: dict[str, tuple[AuthorStep, AuthorStep]] = {}


def register_store(name: str, purge: Step, count: Step) -> None:
    """Make a store part of every forgetting from now on. Stores are purged in the order in which they registered.

    Both must work on ids that the store never heard of, and again on ids that it has purged.
    """
    if name in _stores:
        raise ValueError(f"There is a store `{name}` already.")
    _stores[name] = (purge, count)


def register_author_store(name: str, purge: AuthorStep, count: AuthorStep) -> None:
    """Make what a store holds of an author, beside documents, part of forgetting an author. Same terms."""
    if name in _author_stores:
        raise ValueError(f"There is a store `{name}` of authors already.")
    _author_stores[name] = (purge, count)


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
            _bury(conn, place, reached)
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
        return [_try(place, request) for request in requests]


def _try(place: Place, request: purging.ForgetRequest) -> Receipt:
    """Carry a request out, or note on it why not, for whoever asked and waits."""
    try:
        return _carry_out(place, request)
    except TwinError as error:
        with place.database.transaction() as conn:
            purging.note_problem(conn, request.id, str(error))
        raise


def forget_author(database: Database, warehouse: Warehouse, author: Author, *, settings: Settings) -> Receipt:
    """Forget an author: every document, source and key, the login for SQL, files, and at last the author.

    Their tombstones go too; what stays is one line of the journal, by which a restored backup forgets them again. Holds
    the author's lock. Interrupted anywhere, it is finished by doing it again: the author's own row goes last.
    """
    journal.forget_author(settings, author.id)
    return erase_author(database, warehouse, author, settings=settings)


def erase_author(database: Database, warehouse: Warehouse, author: Author, *, settings: Settings) -> Receipt:
    """What `forget_author` does, without a word in the journal: for a backup that brought a forgotten author back."""
    place = Place(database=database, warehouse=warehouse, settings=settings, author_id=author.id)
    with database.author_lock(author.id):
        with database.transaction() as conn:
            documents = purging.every_document(conn, author.id)
            request_id = uuid4()
            purging.request_forgetting(conn, request_id=request_id, author_id=author.id, document_ids=documents)
        request = purging.ForgetRequest(
            id=request_id, author_id=author.id, document_ids=documents, state="requested", receipt=None
        )
        receipt = _purge(place, request, documents)
        before = {name: count(place) for name, (_, count) in _author_stores.items()}
        for name, (purge, count) in _author_stores.items():
            purge(place)
            if left := count(place):
                raise TwinError(
                    f"Not everything of {author.slug} could be forgotten: {left} in {name} are left. Try again."
                )
        stores = {**receipt.stores, **{name: Counted(before=count, after=0) for name, count in before.items()}}
    return Receipt(request_id=receipt.request_id, document_ids=receipt.document_ids, stores=stores)


def replay(database: Database, warehouse: Warehouse, author: Author, *, settings: Settings) -> Receipt | None:
    """Forget again what tombstones name and a restored backup brought back. None when there is nothing of it."""
    with database.transaction() as conn:
        salt = salt_of(conn, author.id)
        stored = purging.living(conn, author.id)
        marks: dict[str, list[UUID]] = {}
        for one in stored:
            addresses = [url for url in (one.canonical_url, one.address) if url is not None]
            for mark in (
                content_tombstone(salt, one.content_hash),
                *location_tombstones(salt, one.source_id, one.native_id, one.location),
                *mark_tombstones(salt, addresses, one.platform_id),
            ):
                marks.setdefault(mark, []).append(one.document_id)
        back = {document for mark in buried(conn, author.id, list(marks)) for document in marks[mark]}
        alike = buried_texts(conn, author.id, [text_tombstone(salt, one.bands or ()) for one in stored])
        back |= {one.document_id for one, grave in zip(stored, alike, strict=True) if grave is not None}
    if not back:
        return None
    return forget(database, warehouse, author, sorted(back), settings=settings)


def _bury(conn: Connection, place: Place, document_ids: Sequence[UUID]) -> None:
    """Set the tombstones of these documents. Again is harmless; without their rows there is nothing to set."""
    author_id = place.author_id
    salt, traits = salt_of(conn, author_id), purging.traits(conn, author_id, document_ids)
    items = [
        location_tombstones(salt, source_id, native_id, location)[0] for source_id, native_id, location in traits.items
    ]
    places = [
        location_tombstones(salt, source_id, native_id, location)[1] for source_id, native_id, location in traits.places
    ]
    marks = mark_tombstones(salt, traits.addresses, None)
    marks += [mark for platform_id in traits.platform_ids for mark in mark_tombstones(salt, (), platform_id)]
    added = add_tombstones(
        conn,
        author_id,
        locations=items + places + marks,
        contents=[content_tombstone(salt, content_hash) for content_hash in traits.contents],
        texts=[text_tombstone(salt, bands(signature)) for signature in traits.signatures],
    )
    journal.append(place.settings, added)


def _carry_out(place: Place, request: purging.ForgetRequest) -> Receipt:
    """Purge every store of what the request reaches. Starts wherever an earlier attempt stopped."""
    with place.database.transaction() as conn:
        reached = sorted(
            {*request.document_ids, *purging.going_together(conn, request.author_id, request.document_ids)}
        )
        _bury(conn, place, reached)
    return _purge(place, request, reached)


def _purge(place: Place, request: purging.ForgetRequest, reached: Sequence[UUID]) -> Receipt:
    """Purge every store of these documents, make the receipt, close the request."""
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


def _kept_whole(name: str, place: Place, document_ids: Sequence[UUID]) -> list[Path]:
    """Folders under HOME that hold the sources of these documents as they were given: clones, uploaded archives.

    They go whole, for nothing can be taken out of them. The next sync clones afresh; what was uploaded is in the warehouse.
    """
    with place.database.transaction() as conn:
        sources = purging.sources_of(conn, document_ids)
    held = folders(place.settings).home / name
    inside = held if name == CLONES else held / str(place.author_id)
    return [folder for source_id in sources if (folder := inside / str(source_id)).exists()]


def _purge_kept_whole(name: str, place: Place, document_ids: Sequence[UUID]) -> int:
    found = _kept_whole(name, place, document_ids)
    for folder in found:
        shutil.rmtree(folder)
    return len(found)


def _count_kept_whole(name: str, place: Place, document_ids: Sequence[UUID]) -> int:
    return len(_kept_whole(name, place, document_ids))


def source_folders(settings: Settings, author_id: UUID, source_id: UUID) -> list[Path]:
    """What HOME holds of a source as it was given, where it is there."""
    home = folders(settings).home
    named = (home / CLONES / str(source_id), home / UPLOADS / str(author_id) / str(source_id))
    return [folder for folder in named if folder.exists()]


def _author_folders(place: Place) -> list[Path]:
    with place.database.transaction() as conn:
        sources = authors.list_sources(conn, place.author_id)
        slugs = [author.slug for author in authors.list_authors(conn) if author.id == place.author_id]
    found = [folder for one in sources for folder in source_folders(place.settings, place.author_id, one.id)]
    home = folders(place.settings)
    whole = [
        home.home / UPLOADS / str(place.author_id),
        # Weights: checkpoints, adapters as they are unpacked, MLflow's copies.
        home.home / "training" / str(place.author_id),
        home.home / "models" / "adapters" / str(place.author_id),
        *(home.mlflow / "artifacts" / slug for slug in slugs),
    ]
    return [*found, *(folder for folder in whole if folder.exists())]


def _purge_author_folders(place: Place) -> int:
    found = _author_folders(place)
    for folder in found:
        shutil.rmtree(folder, ignore_errors=not folder.exists())
    return len(found)


def _count_author_folders(place: Place) -> int:
    return len(_author_folders(place))


def _purge_author_files(place: Place) -> int:
    """Also files that no document is named for, such as adapters."""
    store = file_store(place.settings)
    keys = list(store.list(place.author_id))
    for key in keys:
        store.delete(key)
    return len(keys)


def _count_author_files(place: Place) -> int:
    return sum(1 for _ in file_store(place.settings).list(place.author_id))


def _purge_login(place: Place) -> int:
    with place.database.transaction() as conn:
        return people.drop_sql_role(conn, place.author_id)


def _count_login(place: Place) -> int:
    with place.database.transaction() as conn:
        return people.count_sql_roles(conn, place.author_id)


def _purge_author_rows(place: Place) -> int:
    with place.database.transaction() as conn:
        return purging.purge_author(conn, place.author_id)


def _count_author_rows(place: Place) -> int:
    with place.database.transaction() as conn:
        return purging.count_author(conn, place.author_id)


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


def _purge_mlflow_traces(place: Place, document_ids: Sequence[UUID]) -> int:
    """Copies of answers, where the settings have them made. The rows say which there are, so they go first."""
    with place.database.transaction() as conn:
        copies = trace_copies.of_documents(conn, document_ids)
    return _delete_copies(place, copies)


def _count_mlflow_traces(place: Place, document_ids: Sequence[UUID]) -> int:
    with place.database.transaction() as conn:
        return len(trace_copies.of_documents(conn, document_ids))


def _purge_authors_mlflow_traces(place: Place) -> int:
    with place.database.transaction() as conn:
        copies = trace_copies.of_author(conn, place.author_id)
    return _delete_copies(place, copies)


def _count_authors_mlflow_traces(place: Place) -> int:
    with place.database.transaction() as conn:
        return len(trace_copies.of_author(conn, place.author_id))


def _delete_copies(place: Place, copies: Sequence[str]) -> int:
    delete_traces(place.settings, copies)
    with place.database.transaction() as conn:
        trace_copies.gone(conn, copies)
    return len(copies)


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


def _purge_copies(place: Place, document_ids: Sequence[UUID]) -> int:
    return copies.purge(place.database, place.settings, place.author_id, document_ids)


def _count_copies(place: Place, document_ids: Sequence[UUID]) -> int:
    return copies.count(place.database, place.settings, place.author_id, document_ids)


def _purge_author_copies(place: Place) -> int:
    return copies.purge_author(place.database, place.settings, place.author_id)


def _count_author_copies(place: Place) -> int:
    return copies.count_author(place.database, place.settings, place.author_id)


# The documents' own rows go last: an interrupted saga reads from them what is left to do.
for _name in (CLONES, UPLOADS):
    register_store(_name, partial(_purge_kept_whole, _name), partial(_count_kept_whole, _name))
register_store("files", _purge_files, _count_files)
register_store("copies of adapters", _purge_copies, _count_copies)
register_store("raw documents", _purge_raw, _count_raw)
register_store("MLflow's copies of answers", _purge_mlflow_traces, _count_mlflow_traces)
for _table in purging.TABLES:
    register_store(_table, partial(_purge_table, _table), partial(_count_table, _table))

# The author's rows go last, the author's own at the very end: it is what a second attempt begins from.
register_author_store("served copies of adapters", _purge_author_copies, _count_author_copies)
register_author_store("MLflow's copies of answers", _purge_authors_mlflow_traces, _count_authors_mlflow_traces)
register_author_store("folders", _purge_author_folders, _count_author_folders)
register_author_store("all other files", _purge_author_files, _count_author_files)
register_author_store("login for SQL", _purge_login, _count_login)
register_author_store("all other rows", _purge_author_rows, _count_author_rows)
