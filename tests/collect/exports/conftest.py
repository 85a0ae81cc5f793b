"""An author whose exports are imported over real stores."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.collect.scripted import CONSENT
from twin_core.collect import formats, run
from twin_core.features.clean import clean_author
from twin_core.records import Source, SourceReport
from twin_core.settings import Settings
from twin_core.store import authors
from twin_core.store.database import Database
from twin_core.warehouse.postgres import PostgresWarehouse


class Importing:
    """What `twin import` does, without its words."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database, self.settings = database, settings
        self.warehouse = PostgresWarehouse(database)
        with database.transaction() as conn:
            self.author = authors.add_author(conn, slug="jane-doe", name="Jane Doe")

    def add(self, path: Path, *own: str) -> Source:
        """The source that a path becomes, stored."""
        options: dict[str, str | list[str]] = {"as": list(own)} if own else {}
        (found,) = formats.recognise(path, options, self.settings)
        with self.database.transaction() as conn:
            source = found.source(self.author.id, own, authors.list_sources(conn, self.author.id))
            return authors.add_source(
                conn,
                author_id=self.author.id,
                platform=source.platform,
                locator=source.locator,
                options=source.options,
                consent=CONSENT,
            )

    def sync(self, source: Source) -> SourceReport:
        return run.collect_source(self.database, self.warehouse, source, settings=self.settings)

    def import_(self, path: Path, *own: str) -> SourceReport:
        return self.sync(self.add(path, *own))

    def documents(self) -> dict[str, str]:
        """Text of every live document as it comes out of the cleaner, by title."""
        report = clean_author(self.database, self.warehouse, self.author, settings=self.settings)
        assert report.failed == 0, report.failures
        with self.database.transaction() as conn:
            rows = conn.execute(
                text("""
                    SELECT c.title, c.text FROM features.cleaned_documents c
                    JOIN warehouse.documents d ON d.id = c.document_id AND d.state = 'live'
                """)
            )
            return {row.title: row.text for row in rows}

    def reasons(self, report: SourceReport) -> dict[str, str | None]:
        """Why each item of a run that was not taken was not."""
        with self.database.transaction() as conn:
            rows = conn.execute(
                text(
                    "SELECT native_id, reason FROM warehouse.ledger WHERE run_id = :run AND outcome IN ('skipped', 'failed')"
                ),
                {"run": UUID(str(report.run_id))},
            )
            return {row.native_id: row.reason for row in rows}


@pytest.fixture
def importing(database: Database, settings: Settings) -> Importing:
    return Importing(database, settings)
