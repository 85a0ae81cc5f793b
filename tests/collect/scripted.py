"""An author with one source whose collector gives exactly the items that a test hands it, over real stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text

from twin_core import identity
from twin_core.collect import run
from twin_core.records import Author, Category, Consent, Found, Item, Known, Listed, Source, SourceReport
from twin_core.settings import Settings
from twin_core.store import authors, documents
from twin_core.store.database import Database
from twin_core.warehouse.postgres import PostgresWarehouse
from twin_core.warehouse.protocol import Warehouse

CONSENT = Consent(claimed_by="Jane", proof="it is mine", claimed_at=datetime(2024, 1, 1, tzinfo=UTC))
END = Listed()


def found(
    native_id: str,
    body: str,
    *,
    category: Category = Category.ARTICLE,
    location: str | None = None,
    canonical_url: str | None = None,
    platform_id: str | None = None,
    modified_at: datetime | None = None,
) -> Found:
    return Found(
        native_id=native_id,
        location=location or f"/notes/{native_id}",
        category=category,
        media_type="text/markdown",
        body=body.encode(),
        content_hash=identity.content_hash(body),
        canonical_url=canonical_url,
        platform_id=platform_id,
        modified_at=modified_at,
    )


@dataclass
class Scripted:
    """A collector that plays a list of items; an exception in the list is raised where it stands."""

    platform: str = "scripted"
    items: Sequence[Item | Exception] = ()
    known: Mapping[str, Known] = field(default_factory=dict)

    def check(self, locator: str, options: object, settings: Settings) -> str:
        return locator

    def collect(self, source: Source, known: Mapping[str, Known], settings: Settings) -> Iterator[Item]:
        self.known = known
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            yield item


class Desk:
    """One author's sources, and what is stored of them."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        warehouse: Warehouse | None = None,
        *,
        slug: str = "jane",
        name: str = "Jane Doe",
    ) -> None:
        self.database, self.settings = database, settings
        self.warehouse = warehouse or PostgresWarehouse(database)
        self.collector = Scripted()
        with database.transaction() as conn:
            self.author: Author = authors.add_author(conn, slug=slug, name=name)
        self.source = self.add_source("/notes")

    def add_source(self, locator: str) -> Source:
        with self.database.transaction() as conn:
            return authors.add_source(
                conn, author_id=self.author.id, platform="scripted", locator=locator, consent=CONSENT
            )

    def sync(self, *items: Item | Exception, source: Source | None = None) -> SourceReport:
        self.collector.items = items
        return run.collect_source(self.database, self.warehouse, source or self.source, settings=self.settings)

    def document_at(self, native_id: str, source: Source | None = None) -> UUID:
        rows = self.rows(
            "SELECT document_id FROM warehouse.document_locations WHERE source_id = :s AND native_id = :n",
            s=(source or self.source).id,
            n=native_id,
        )
        return UUID(str(rows[0][0]))

    def state(self, document_id: UUID) -> str:
        return str(self.rows("SELECT state FROM warehouse.documents WHERE id = :id", id=document_id)[0][0])

    def text(self, document_id: UUID) -> str:
        """The body of the document's head revision, out of the warehouse."""
        head = self.rows("SELECT head_revision_id FROM warehouse.documents WHERE id = :id", id=document_id)[0][0]
        (raw,) = self.warehouse.get([head])
        assert raw.document_id == document_id
        return raw.body.decode()

    def live(self) -> dict[str, str]:
        """Text by location of everything live: what a person would say is there."""
        rows = self.rows("""
            SELECT l.native_id, l.document_id FROM warehouse.document_locations l
            JOIN warehouse.documents d ON d.id = l.document_id AND d.state = 'live' WHERE l.state = 'live'
        """)
        return {row[0]: self.text(row[1]) for row in rows}

    def ledger(self, report: SourceReport) -> dict[str, tuple[str, str | None]]:
        rows = self.rows("SELECT native_id, outcome, reason FROM warehouse.ledger WHERE run_id = :r", r=report.run_id)
        return {row[0]: (row[1], row[2]) for row in rows}

    def history(self, document_id: UUID) -> list[str]:
        return [raw.body.decode() for raw in self.warehouse.history(document_id)]

    def lineage(self, document_id: UUID) -> documents.Lineage:
        with self.database.transaction() as conn:
            return documents.lineage(conn, self.author.id, document_id)

    def rows(self, sql: str, **values: object) -> list[tuple[object, ...]]:
        with self.database.transaction() as conn:
            return [tuple(row) for row in conn.execute(text(sql), values)]
