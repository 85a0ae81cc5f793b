"""Collects one source: from its collector's items to stored documents, with a ledger row for each item.

Order of writing, which a kill at any point must survive: raw revisions first (the warehouse may be another server, and
putting twice changes nothing), then documents, locations and ledger of the same batch in one Postgres transaction.
Which document an item belongs to is decided in `placing.py`; what may come in, in `gate.py`; how a platform is read, in
its collector.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from twin_core import forgetting, identity
from twin_core.collect.gate import StoredItem, forgotten, storable
from twin_core.collect.kinship import marks_of, stated_marks
from twin_core.collect.placing import Placing
from twin_core.collect.registry import collector_for
from twin_core.errors import InvalidInput, TwinError
from twin_core.records import (
    Failed,
    Found,
    Gone,
    Item,
    Known,
    Listed,
    Outcome,
    Skipped,
    Source,
    SourceReport,
    Unchanged,
)
from twin_core.settings import Settings
from twin_core.store import authors, ledger, placement
from twin_core.store.database import Database
from twin_core.store.documents import known_locations
from twin_core.store.ledger import LedgerItem
from twin_core.store.placement import Marks
from twin_core.warehouse.protocol import Warehouse

BATCH_ITEMS = 200
BATCH_BYTES = 16_000_000
BATCH_SECONDS = 5.0
"""A slow crawl saves what it has at least this often."""
MANY = 10
"""From this many stored items on, a source that suddenly lists none is not believed."""

_log = logging.getLogger(__name__)


def collect_source(
    database: Database,
    warehouse: Warehouse,
    source: Source,
    *,
    settings: Settings,
    progress: Callable[[Item], None] | None = None,
) -> SourceReport:
    """Read the source to its end and store what is new. Holds the author's lock: a second run waits.

    When the source cannot be read, or its collector breaks, what came before is stored, nothing is deleted and the
    report carries the error. Raises ServiceUnavailable when a store of ours does not answer.
    """
    with database.transaction() as conn:
        author = authors.author_by_id(conn, source.author_id)
    forgetting.resume(database, warehouse, author, settings=settings)
    with database.author_lock(source.author_id):
        run = _Run(database, warehouse, source, uuid4(), datetime.now(UTC))
        with database.transaction() as conn:
            ledger.start_run(conn, run_id=run.id, author_id=source.author_id, source_id=source.id)
            known = known_locations(conn, source.id)
        started = time.monotonic()
        try:
            run.read(known, settings, progress)
        except BaseException as error:
            run.finish(time.monotonic() - started, f"stopped: {_short(error)}")
            raise
        return run.finish(time.monotonic() - started, run.error)


def withdraw_source(database: Database, warehouse: Warehouse, source: Source) -> None:
    """Take every location of the source out of its document, as if the source had lost them all.

    The first step of removing a source: what is found elsewhere too lives on there, the rest is gone. Holds the
    author's lock.
    """
    with database.author_lock(source.author_id):
        run = _Run(database, warehouse, source, uuid4(), datetime.now(UTC))
        started = time.monotonic()
        with database.transaction() as conn:
            ledger.start_run(conn, run_id=run.id, author_id=source.author_id, source_id=source.id)
            known = list(known_locations(conn, source.id))
        for start in range(0, len(known), BATCH_ITEMS):
            run.store(
                [
                    Gone(native_id=native_id, reason="the source was removed")
                    for native_id in known[start : start + BATCH_ITEMS]
                ]
            )
        run.finish(time.monotonic() - started, None)


def split_location(database: Database, warehouse: Warehouse, source: Source, native_id: str) -> UUID:
    """Make a location a document of its own, by a person's word, which later runs respect. Returns that document.

    Holds the author's lock. Raises Refused when the location is not there, or the only one of its document.
    """
    with database.author_lock(source.author_id):
        run = _Run(database, warehouse, source, uuid4(), datetime.now(UTC))
        placing = run._load([native_id])  # noqa: SLF001  this module's own
        document_id = placing.split(native_id, run._tick())  # noqa: SLF001
        run._write(placing, [])  # noqa: SLF001
    return document_id


@dataclass(slots=True)
class _Run:
    database: Database
    warehouse: Warehouse
    source: Source
    id: UUID
    clock: datetime
    own_count: int | None = None
    error: str | None = None

    def read(self, known: Mapping[str, Known], settings: Settings, progress: Callable[[Item], None] | None) -> None:
        """Store the items as they come, then take out what is gone and part what is no longer one text."""
        listed: Listed | None = None
        batch: list[Item] = []
        size, since = 0, time.monotonic()
        for item in self._items(known, settings):
            if progress is not None:
                progress(item)
            if isinstance(item, Listed):
                listed = item
                continue
            batch.append(item)
            size += len(item.body) if isinstance(item, Found) else 0
            if len(batch) >= BATCH_ITEMS or size >= BATCH_BYTES or time.monotonic() - since >= BATCH_SECONDS:
                self.store(batch)
                batch, size, since = [], 0, time.monotonic()
        self.store(batch)
        if self.error is None and listed is not None:
            self.own_count = listed.own_count
            self.remove_unseen(len(known))
        if self.error is None:
            self.part_strayed()

    def store(self, batch: Sequence[Item]) -> None:
        """Store one batch. One item that the warehouse cannot take fails alone."""
        if not batch:
            return
        try:
            self._store(batch)
        except InvalidInput as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                self.store(batch[:middle])
                self.store(batch[middle:])
            elif isinstance(item := batch[0], Found):
                self._store([Failed(native_id=item.native_id, location=item.location, reason=str(error))])
            else:
                raise

    def remove_unseen(self, known: int) -> None:
        """The source was listed to its end: live locations that the run has no item of are gone."""
        with self.database.transaction() as conn:
            seen = ledger.count_items(conn, self.id)
            unseen = placement.unseen_places(conn, self.id, self.source.id)
        if not seen and known >= MANY and self.source.options.get("may_be_empty") != "yes":
            self.error = (
                f"the source lists nothing, where {known} items are stored, so nothing was deleted. If it is empty on "
                f"purpose, set its option may_be_empty=yes"
            )
            return
        for start in range(0, len(unseen), BATCH_ITEMS):
            self._store(
                [
                    Gone(native_id=native_id, reason="no longer listed by the source")
                    for native_id in unseen[start : start + BATCH_ITEMS]
                ]
            )

    def part_strayed(self) -> None:
        """Give locations whose text is no longer their document's a document of their own."""
        with self.database.transaction() as conn:
            strayed = placement.strayed_places(conn, self.id, self.source.id)
        for start in range(0, len(strayed), BATCH_ITEMS):
            some = strayed[start : start + BATCH_ITEMS]
            # Most hold where they are: what else they might join is asked only for those that do not.
            first_look = self._load(some)
            some = [native_id for native_id in some if not first_look.holds(native_id)]
            placing = self._load(some, *self._texts_of(some))
            words = []
            for native_id in some:
                at = self._tick()
                document_id = placing.part(native_id, at)
                if document_id is None:
                    continue
                words.append(
                    LedgerItem(
                        native_id=native_id,
                        location=placing.shelf.places[self.source.id, native_id].location,
                        outcome=Outcome.FETCHED,
                        reason="its text is no longer that of the other places of its document: now one of its own",
                        document_id=document_id,
                        at=at,
                    )
                )
            self._write(placing, words)

    def finish(self, seconds: float, error: str | None) -> SourceReport:
        """Close the run in the ledger and report it. A source that was due is due again when its schedule says."""
        source, now = self.source, datetime.now(UTC)
        with self.database.transaction() as conn:
            run = ledger.finish_run(conn, self.id, own_count=self.own_count, seconds=seconds, error=error)
            if source.schedule is not None and (source.next_run_at is None or source.next_run_at <= now):
                authors.schedule_next(conn, source.id, now)
        return SourceReport(
            source_id=source.id,
            platform=source.platform,
            locator=source.locator,
            run_id=self.id,
            fetched=run.fetched,
            unchanged=run.unchanged,
            skipped=run.skipped,
            failed=run.failed,
            deleted=run.deleted,
            own_count=run.own_count,
            seconds=seconds,
            error=error,
        )

    def _items(self, known: Mapping[str, Known], settings: Settings) -> Iterator[Item]:
        """The collector's items; its exceptions end the reading and become the run's error."""
        try:
            yield from collector_for(self.source.platform).collect(self.source, known, settings)
        except TwinError as error:
            self.error = str(error)
        except Exception as error:  # noqa: BLE001  one broken collector must not stop the others
            _log.exception("The collector %s broke on source %s", self.source.platform, self.source.id)
            self.error = f"the {self.source.platform} collector broke: {_short(error)}"

    def _store(self, batch: Sequence[Item]) -> None:
        items = [storable(item) for item in batch if not isinstance(item, Listed)]
        with self.database.transaction() as conn:
            known = known_locations(conn, self.source.id, [item.native_id for item in items])
        marks = {
            (item.native_id, item.content_hash): stated_marks(item)
            if item.native_id in known and known[item.native_id].content_hash == item.content_hash
            else marks_of(item)
            for item in items
            if isinstance(item, Found)
        }
        with self.database.transaction() as conn:
            by_name = {native_id: mark for (native_id, _), mark in marks.items()}
            blocked = forgotten(conn, self.source, items, marks=by_name, known=known)
            before = ledger.seen_items(conn, self.id, [item.native_id for item in items])
        items = [item for item in items if item.native_id not in blocked]
        placing = self._load(
            [item.native_id for item in items],
            [item.content_hash for item in items if isinstance(item, Found)],
            [mark for (native_id, _), mark in marks.items() if native_id not in blocked],
        )
        words = [
            LedgerItem(
                native_id=f"forgotten:{tombstone[:16]}",
                location="",
                outcome=Outcome.SKIPPED,
                reason="forgotten: it was asked that this never comes back",
                at=self._tick(),
            )
            for tombstone in blocked.values()
        ]
        for item in items:
            mark = marks[item.native_id, item.content_hash] if isinstance(item, Found) else None
            word = self._word(placing, item, mark, repeated=item.native_id in before)
            if word is not None:
                words.append(word)
            before.add(item.native_id)
        self._write(placing, words)

    def _word(self, placing: Placing, item: StoredItem, marks: Marks | None, *, repeated: bool) -> LedgerItem | None:
        """Place one item and say how it ended; None when it only repeats what was said."""
        at = self._tick()
        if repeated:
            return self._repeated(placing, item, at)
        if isinstance(item, Found) and marks is not None:
            outcome, document_id, reason = placing.take(item, marks, at)
            return LedgerItem(
                native_id=item.native_id,
                location=item.location,
                outcome=outcome,
                reason=reason,
                document_id=document_id,
                at=at,
            )
        assert not isinstance(item, Found), "every item that was found has marks"
        place = placing.shelf.places.get((self.source.id, item.native_id))
        location = item.location if isinstance(item, Skipped | Failed) else place.location if place else item.native_id
        word = LedgerItem(native_id=item.native_id, location=location, outcome=Outcome.SKIPPED, at=at)
        if isinstance(item, Unchanged):
            document = placing.keep(item.native_id, item.validators, at)
            if document is None:
                reason = "called unchanged by the source, but not stored: it is read again next time"
                return replace(word, outcome=Outcome.FAILED, reason=reason)
            return replace(word, outcome=Outcome.UNCHANGED, document_id=document)
        if isinstance(item, Failed):
            marked = placing.mark(item.native_id, item.validators)
            return replace(word, outcome=Outcome.FAILED, reason=item.reason, document_id=marked)
        if isinstance(item, Gone) or item.withdrawn:
            left = placing.leave(item.native_id)
            if left is not None:
                return replace(word, outcome=Outcome.DELETED, reason=item.reason, document_id=left[0])
        return replace(word, reason=item.reason, empty=isinstance(item, Skipped) and item.empty)

    def _repeated(self, placing: Placing, item: Item, at: datetime) -> LedgerItem | None:
        if not isinstance(item, Found):
            return None
        place = placing.shelf.places.get((self.source.id, item.native_id))
        if place is not None and place.content_hash == item.content_hash:
            return None
        return LedgerItem(
            native_id=item.native_id,
            location=item.location,
            outcome=Outcome.FAILED,
            reason="the source lists this item twice, with different texts; the first one counts",
            document_id=place.document_id if place else None,
            at=at,
        )

    def _load(
        self, native_ids: Sequence[str], content_hashes: Sequence[str] = (), marks: Sequence[Marks] = ()
    ) -> Placing:
        source = self.source
        with self.database.transaction() as conn:
            shelf = placement.load_shelf(
                conn,
                source.author_id,
                source.id,
                native_ids=native_ids,
                content_hashes=content_hashes,
                document_ids=[identity.document_id(source.id, native_id) for native_id in native_ids],
                marks=marks,
            )
        return Placing(source.author_id, source.id, shelf)

    def _texts_of(self, native_ids: Sequence[str]) -> tuple[list[str], list[Marks]]:
        """What is stored of locations of this source: hashes and marks of their texts."""
        places = self._load(native_ids).shelf.places
        stored = [places[self.source.id, native_id] for native_id in native_ids]
        return [place.content_hash for place in stored], [place.marks for place in stored]

    def _write(self, placing: Placing, words: Sequence[LedgerItem]) -> None:
        self.warehouse.put(list(placing.raw.values()))
        if placing.copies:
            wanted = {copy.of for copy in placing.copies.values()}
            raw = {revision.id: revision for revision in self.warehouse.get(list(wanted))}
            self.warehouse.put(
                [
                    replace(raw[copy.of], id=copy.revision_id, document_id=copy.document_id)
                    for copy in placing.copies.values()
                ]
            )
        author_id, shelf = self.source.author_id, placing.shelf
        with self.database.transaction() as conn:
            placement.write_documents(conn, author_id, [shelf.documents[key] for key in placing.touched_documents])
            placement.write_revisions(conn, author_id, placing.revisions.values())
            placement.write_places(conn, author_id, [shelf.places[key] for key in placing.touched_places])
            ledger.write_items(conn, words, run_id=self.id, author_id=author_id, source_id=self.source.id)

    def _tick(self) -> datetime:
        """The time, later than any given before: the order of items decides which new location leads."""
        self.clock = max(datetime.now(UTC), self.clock + timedelta(microseconds=1))
        return self.clock


def _short(error: BaseException) -> str:
    """The kind of an error, with its words where it is one of ours: another's may quote the text it choked on."""
    return str(error) if isinstance(error, TwinError) else type(error).__name__
