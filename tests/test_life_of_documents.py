"""The life of an author's documents as a random walk: write, edit, move, copy, delete, merge, forget, sync, be killed.

After every step what is stored is consistent; after every sync nothing is lost and nothing is there twice; what was
forgotten is nowhere. Real folders, the real collector, real stores, and real processes that die by SIGKILL. How many
steps is TWIN_TEST_STEPS (default: few enough for every run of the tests).
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as budget
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from sqlalchemy import event, text

from tests.collect.scripted import CONSENT
from tests.contract.mongo import fresh_mongo_url
from twin_core import forgetting
from twin_core.collect.run import collect_source, split_location
from twin_core.errors import Refused
from twin_core.features.chunk import chunk_author
from twin_core.features.clean import clean_author
from twin_core.records import Author, Source
from twin_core.settings import Settings
from twin_core.store import authors, purging
from twin_core.store.database import Database
from twin_core.store.merging import merge_documents
from twin_core.warehouse.mongo import MongoWarehouse
from twin_core.warehouse.postgres import PostgresWarehouse
from twin_core.warehouse.protocol import Warehouse

WORDS = ("amber", "birch", "cedar", "dune", "ember", "fern", "gale", "heath", "iris", "juniper", "kelp", "larch")
FOLDERS, NAMES = ("one", "two"), ("a.md", "b.md", "sub/c.md", "d.md")
SPOTS = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES))
SHORT = [f"# On {word}\n\nWhat {word} taught me, in a few plain words.\n" for word in WORDS]
# Three pieces long enough to be known by their words: whole, with one word changed, cut short, with or without the
# address that is theirs. Whole and changed are near-duplicates (0.9), whole and cut are not (0.4).
PIECES = {word: [f"{word}{number}" for number in range(100)] for word in ("moss", "nettle", "oak")}
LONG = {
    (word, form, address): (f"---\ncanonical: https://ada.example/{word}\n---\n" if address else "") + " ".join(words)
    for word, whole in PIECES.items()
    for form, words in {
        "whole": whole, "changed": [*whole[:50], "changed", *whole[51:]], "cut": whole[:40],
    }.items()
    for address in (False, True)
}  # fmt: skip
TEXTS = st.sampled_from([*SHORT, *LONG.values()])
ANY = st.integers(0, 10_000)


def plain(body: str) -> str:
    """What a file says, without the address that it names: that is no part of its text."""
    return body.rpartition("---\n")[2]


def piece_of(body: str) -> str | None:
    """Which of the long pieces a text is a form of."""
    return next((word for word in PIECES if plain(body).startswith(f"{word}0 ")), None)


@dataclass(frozen=True)
class Stores:
    """How to open the stores, here and in a process that is about to die."""

    url: str
    settings: Settings
    open_warehouse: Callable[[Database], Warehouse]


class Life(RuleBasedStateMachine):
    """One author with two folders. `files` is what lies in them, `buried` what was forgotten."""

    stores: Stores

    def __init__(self) -> None:
        super().__init__()
        self.database = Database(self.stores.url)
        self.warehouse = self.stores.open_warehouse(self.database)
        self.root = Path(tempfile.mkdtemp(prefix="life-"))
        self.files: dict[tuple[str, str], str] = {}
        self.buried_spots: set[tuple[str, str]] = set()
        self.buried_texts: set[str] = set()
        self.buried_pieces: set[str] = set()
        self.forgotten: set[UUID] = set()
        self.split_off: dict[tuple[UUID, str], UUID] = {}
        with self.database.transaction() as conn:
            self.author: Author = authors.add_author(conn, slug=f"life-{uuid4().hex}", name="Jane")
            self.sources: dict[str, Source] = {}
            for folder in FOLDERS:
                (self.root / folder).mkdir()
                (self.root / folder / "anchor.md").write_text(f"The anchor of {folder}.")
                self.sources[folder] = authors.add_source(
                    conn, author_id=self.author.id, platform="folder", locator=str(self.root / folder), consent=CONSENT
                )

    def teardown(self) -> None:
        self.sync()
        with self.database.transaction() as conn:
            conn.execute(text("DELETE FROM warehouse.authors WHERE id = :id"), {"id": self.author.id})
        self.warehouse.close()
        self.database.close()
        shutil.rmtree(self.root)

    # What an author does

    @rule(spot=SPOTS, body=TEXTS)
    def write(self, spot: tuple[str, str], body: str) -> None:
        """A new file, or an edit of one."""
        self._put(spot, body)

    @precondition(lambda self: self.files)
    @rule(which=ANY, spot=SPOTS)
    def move(self, which: int, spot: tuple[str, str]) -> None:
        self._put(spot, self._take(self._pick(which)))

    @precondition(lambda self: self.files)
    @rule(which=ANY, spot=SPOTS)
    def copy(self, which: int, spot: tuple[str, str]) -> None:
        self._put(spot, self.files[self._pick(which)])

    @precondition(lambda self: self.files)
    @rule(which=ANY)
    def delete(self, which: int) -> None:
        self._take(self._pick(which))

    @rule(kept=ANY, merged=ANY)
    def merge(self, kept: int, merged: int) -> None:
        live = self._live_documents()
        if len(live) < 2:
            return
        with self.database.author_lock(self.author.id), self.database.transaction() as conn:
            try:
                merge_documents(conn, self.author.id, kept=live[kept % len(live)], merged=live[merged % len(live)])
            except Refused:
                assert kept % len(live) == merged % len(live)
        self._check_consistent()

    @rule(which=ANY)
    def split(self, which: int) -> None:
        places = self._rows(
            "SELECT source_id, native_id FROM warehouse.document_locations WHERE author_id = :author AND state = 'live' "
            "ORDER BY source_id, native_id"
        )
        if not places:
            return
        source_id, native_id = places[which % len(places)]
        source = next(one for one in self.sources.values() if one.id == source_id)
        try:
            own = split_location(self.database, self.warehouse, source, native_id)
        except Refused:
            return  # the only place of its document
        self.split_off[source_id, native_id] = own
        self._check_consistent()

    @rule(which=ANY)
    def forget(self, which: int) -> None:
        live = self._live_documents()
        if not live:
            return
        extent = self._extent(live[which % len(live)])
        receipt = forgetting.forget(
            self.database, self.warehouse, self.author, [live[which % len(live)]], settings=self.stores.settings
        )
        assert set(receipt.document_ids) == extent.documents
        assert {counted.after for counted in receipt.stores.values()} == {0}
        self._bury(extent)
        self._check_consistent()

    @rule()
    def sync(self) -> None:
        """Collect both folders until there is nothing new; two rounds are always enough. Then features, then all checks."""
        for _ in range(3):
            reports = [
                collect_source(self.database, self.warehouse, source, settings=self.stores.settings)
                for source in self.sources.values()
            ]
            assert [(report.error, report.failed) for report in reports] == [(None, 0)] * 2
            if not any(report.fetched + report.deleted for report in reports):
                break
        else:
            raise AssertionError("three rounds, and still something new")
        self._check_consistent()
        self._check_nothing_lost()
        self._check_the_persons_word()
        clean_author(self.database, self.warehouse, self.author, settings=self.stores.settings)
        chunk_author(self.database, self.author, settings=self.stores.settings)
        self._check_features()

    # What happens to a process

    @rule(at=st.integers(1, 40))
    def sync_and_be_killed(self, at: int) -> None:
        """Another process collects, and dies by SIGKILL as it sends its n-th statement or document."""

        def collect(database: Database, warehouse: Warehouse) -> None:
            for source in self.sources.values():
                collect_source(database, warehouse, source, settings=self.stores.settings)

        self._in_doomed_process(at, collect)
        self._check_consistent()

    @rule(which=ANY, at=st.integers(1, 40))
    def forget_and_be_killed(self, which: int, at: int) -> None:
        live = self._live_documents()
        if not live:
            return
        wanted = live[which % len(live)]
        extent = self._extent(wanted)
        before = self._rows("SELECT count(*) FROM warehouse.forget_requests WHERE author_id = :author")[0][0]
        self._in_doomed_process(
            at,
            lambda database, warehouse: forgetting.forget(
                database, warehouse, self.author, [wanted], settings=self.stores.settings
            ),
        )
        forgetting.resume(self.database, self.warehouse, self.author, settings=self.stores.settings)
        # Asked and recorded is as good as done.
        if self._rows("SELECT count(*) FROM warehouse.forget_requests WHERE author_id = :author")[0][0] > before:
            self._bury(extent)
        self._check_consistent()

    # What must hold

    def _check_consistent(self) -> None:
        """Every lineage join resolves, whenever it is asked."""
        documents = self._rows(
            "SELECT id, state, head_revision_id, content_hash, merged_into FROM warehouse.documents WHERE author_id = :author"
        )
        revisions = {
            row[0]: row
            for row in self._rows(
                "SELECT id, document_id, content_hash FROM warehouse.revisions WHERE author_id = :author"
            )
        }
        places = self._rows("""
            SELECT l.document_id, l.revision_id, l.content_hash, l.state, l.source_id, l.native_id
            FROM warehouse.document_locations l JOIN warehouse.sources s ON s.id = l.source_id
            WHERE l.author_id = :author
        """)
        states = {row[0]: row[1] for row in documents}
        merged_into = {row[0]: row[4] for row in documents if row[1] == "merged"}
        living = Counter(row[0] for row in places if row[3] == "live")
        for document, state, head, content_hash, home in documents:
            assert revisions[head][1:] == (document, content_hash)
            assert (living[document] > 0) == (state == "live"), (state, living[document])
            assert state != "merged" or states[home] in {"live", "gone"}
        for document, revision, content_hash, *_ in places:
            holder = revisions[revision][1]
            assert revisions[revision][2] == content_hash
            assert holder == document or merged_into[holder] == document
        bodies = {raw.id: raw for raw in self.warehouse.get(list(revisions))}
        assert set(bodies) == set(revisions)
        for raw in bodies.values():
            assert (raw.document_id, raw.content_hash) == revisions[raw.id][1:]
        gone = sorted(self.forgotten)
        assert self.warehouse.count(gone) == 0
        with self.database.transaction() as conn:
            assert {name: purging.count_rows(conn, name, gone) for name in purging.TABLES} == dict.fromkeys(
                purging.TABLES, 0
            )

    def _check_nothing_lost(self) -> None:
        """Every file is a live location of a live document that says what the file says, and nothing else is."""
        rows = self._rows("""
            SELECT s.locator, l.native_id, d.id, d.head_revision_id, l.revision_id, l.joined_by, l.leads
            FROM warehouse.document_locations l JOIN warehouse.documents d ON d.id = l.document_id
            JOIN warehouse.sources s ON s.id = l.source_id
            WHERE l.author_id = :author AND l.state = 'live' AND d.state = 'live'
        """)
        bodies = {raw.id: raw.body.decode() for raw in self.warehouse.get([row[4] for row in rows])}
        stored = {(Path(str(row[0])).name, str(row[1])): row for row in rows}
        may_be = {
            spot: plain(body)
            for spot, body in self._on_disk().items()
            if spot not in self.buried_spots and plain(body) not in self.buried_texts
        }
        # What shares its address or most of its words with a forgotten piece is kept out when it is new, and not when
        # it was there and stayed: which of the two it is, is not for this model to say.
        must_be = {spot: body for spot, body in may_be.items() if piece_of(body) not in self.buried_pieces}
        found = {spot: plain(bodies[row[4]]) for spot, row in stored.items()}
        assert found.items() <= may_be.items()
        assert must_be.items() <= found.items()
        by_document: dict[object, list[tuple[Any, ...]]] = {}
        for row in rows:
            by_document.setdefault(row[2], []).append(row)
        for places in by_document.values():
            (leading,) = [place for place in places if place[6] is not None]
            assert leading[3] == leading[4]
            for place in places:
                # Another text than the document's: by a person's word, or beside a place of another source.
                met = place[5] == "by_hand" or len({other[0] for other in places}) > 1
                assert place[3] == place[4] or met

    def _check_the_persons_word(self) -> None:
        """What was split off is where it was put, or where a person merged that later."""
        rows = self._rows("""
            SELECT l.source_id, l.native_id, l.document_id FROM warehouse.document_locations l
            WHERE l.author_id = :author
        """)
        merged = dict(self._rows("SELECT id, merged_into FROM warehouse.documents WHERE author_id = :author"))
        for source_id, native_id, document in rows:
            own = self.split_off.get((source_id, native_id))
            if own is not None and own not in self.forgotten:
                assert document in {own, merged.get(own)}

    def _check_features(self) -> None:
        """Every chunk leads to a cleaned text, a revision, a raw body, a location and a source; every document has some."""
        chunks = self._rows("""
            SELECT k.id, k.text, k.start_at, k.end_at, c.text, k.document_id
            FROM features.chunks k
            JOIN features.cleaned_documents c ON c.revision_id = k.revision_id AND c.document_id = k.document_id
            JOIN warehouse.revisions r ON r.id = k.revision_id
            JOIN warehouse.documents d ON d.id = k.document_id AND d.head_revision_id = r.id AND d.state = 'live'
            JOIN warehouse.sources s ON s.id = d.source_id
            WHERE k.author_id = :author AND EXISTS
                  (SELECT FROM warehouse.document_locations l WHERE l.document_id = d.id AND l.state = 'live')
        """)
        assert len(chunks) == self._rows("SELECT count(*) FROM features.chunks WHERE author_id = :author")[0][0]
        assert len({row[0] for row in chunks}) == len(chunks)
        assert all(row[1] == row[4][row[2] : row[3]] for row in chunks)
        assert {row[5] for row in chunks} == set(self._live_documents())

    # How the test does it

    def _on_disk(self) -> dict[tuple[str, str], str]:
        anchors = {(folder, "anchor.md"): f"The anchor of {folder}." for folder in FOLDERS}
        return {**anchors, **self.files}

    def _put(self, spot: tuple[str, str], body: str) -> None:
        path = self.root / spot[0] / spot[1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(body)
        self.files[spot] = body

    def _take(self, spot: tuple[str, str]) -> str:
        (self.root / spot[0] / spot[1]).unlink()
        return self.files.pop(spot)

    def _pick(self, which: int) -> tuple[str, str]:
        return sorted(self.files)[which % len(self.files)]

    def _live_documents(self) -> list[UUID]:
        rows = self._rows("SELECT id FROM warehouse.documents WHERE author_id = :author AND state = 'live' ORDER BY id")
        return [UUID(str(row[0])) for row in rows]

    def _rows(self, sql: str, **values: object) -> list[tuple[Any, ...]]:
        with self.database.transaction() as conn:
            return [tuple(row) for row in conn.execute(text(sql), {"author": self.author.id, **values})]

    def _extent(self, document: UUID) -> Extent:
        """What forgetting this document will take with it: computed by other means than the product's."""
        rows = self._rows(
            "SELECT id, state, content_hash, merged_into FROM warehouse.documents WHERE author_id = :author"
        )
        own = {row[0]: row[2] for row in rows if row[1] != "merged"}
        together = {other for other, digest in own.items() if digest == own[document]}
        together |= {row[0] for row in rows if row[3] in together}
        staying = {row[2] for row in rows if row[1] == "live" and row[0] not in together}
        places = self._rows(
            "SELECT s.locator, l.native_id, l.document_id FROM warehouse.document_locations l "
            "JOIN warehouse.sources s ON s.id = l.source_id WHERE l.author_id = :author"
        )
        revisions = self._rows(
            "SELECT id, document_id, content_hash FROM warehouse.revisions WHERE author_id = :author"
        )
        bodies = {raw.id: raw.body.decode() for raw in self.warehouse.get([row[0] for row in revisions])}
        return Extent(
            documents=together,
            spots={(Path(str(row[0])).name, str(row[1])) for row in places if row[2] in together},
            texts={plain(bodies[row[0]]) for row in revisions if row[1] in together and row[2] not in staying},
            pieces={piece for row in revisions if row[1] in together and (piece := piece_of(bodies[row[0]]))},
        )

    def _bury(self, extent: Extent) -> None:
        self.buried_spots |= extent.spots
        self.buried_texts |= extent.texts
        self.buried_pieces |= extent.pieces
        self.forgotten |= extent.documents

    def _in_doomed_process(self, at: int, work: Callable[[Database, Warehouse], object]) -> None:
        """Fork, open stores of its own, work, and kill -9 at the n-th call to a store."""
        child = os.fork()
        if child == 0:
            try:
                database = Database(self.stores.url)
                left = iter(range(at - 1))

                def count(*_: object) -> None:
                    if next(left, None) is None:
                        os.kill(os.getpid(), signal.SIGKILL)

                event.listen(database.engine, "before_cursor_execute", count)
                event.listen(database.engine, "commit", count)
                work(database, Counting(self.stores.open_warehouse(database), count))
            except BaseException:
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert died or os.waitstatus_to_exitcode(status) == 0, "the work itself failed"


@dataclass(frozen=True)
class Extent:
    documents: set[UUID]
    spots: set[tuple[str, str]]
    texts: set[str]
    pieces: set[str]


class Counting:
    """A warehouse whose every write counts, before and after."""

    def __init__(self, warehouse: Warehouse, count: Callable[[], None]) -> None:
        self._warehouse, self._count = warehouse, count
        self.name = warehouse.name

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._warehouse, name)

        def counted(*arguments: object) -> object:
            self._count()
            result = real(*arguments)
            self._count()
            return result

        return counted if name in {"put", "purge"} else real


def live(stores: Stores, *, examples: int, steps: int) -> None:
    wanted = int(os.environ.get("TWIN_TEST_STEPS", "0"))
    if wanted:
        examples, steps = max(1, wanted // 25), 25
    run_state_machine_as_test(
        type("Living", (Life,), {"stores": stores}),
        settings=budget(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_documents_live_through_anything_in_postgres(database_url: str, settings: Settings) -> None:
    live(Stores(database_url, settings, PostgresWarehouse), examples=15, steps=15)


@pytest.mark.slow
@pytest.mark.mongo
@pytest.mark.timeout(3600)
def test_documents_live_through_anything_with_mongodb(database_url: str, settings: Settings) -> None:
    with fresh_mongo_url() as url:
        live(Stores(database_url, settings, lambda _: MongoWarehouse(url)), examples=3, steps=8)
