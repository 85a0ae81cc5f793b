"""`twin status` and `twin source list` say how each source stands, also when nothing but the database runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from tests.cli.test_services import twin
from tests.collect.scripted import CONSENT
from twin_core.collect.run import collect_source
from twin_core.records import Source
from twin_core.settings import Settings
from twin_core.store import authors
from twin_core.store.database import Database
from twin_core.warehouse.postgres import PostgresWarehouse


def emptied_folder(database: Database, settings: Settings, folder: Path) -> Source:
    """A folder of four notes that all became empty between two runs."""
    folder.mkdir()
    with database.transaction() as conn:
        author = authors.add_author(conn, slug="ann", name="Ann")
        source = authors.add_source(
            conn, author_id=author.id, platform="folder", locator=str(folder), schedule="0 6 * * *", consent=CONSENT
        )
    for body in ("# A note\n\nWith words in it, number {}.\n", "\n{:.0}"):
        for number in range(4):
            (folder / f"{number}.md").write_text(body.format(str(number)))
        collect_source(database, PostgresWarehouse(database), source, settings=settings)
    return source


def test_status_and_list_show_coverage_success_next_run_and_alarms(
    database: Database, database_url: str, settings: Settings, tmp_path: Path
) -> None:
    source = emptied_folder(database, settings, tmp_path / "notes")
    here = {"database_url": database_url, "home": str(tmp_path / "home")}

    shown = twin("status", **here)
    assert shown.returncode == 0, shown.stderr
    assert "Services are down" in shown.stdout
    assert str(source.id)[:8] in shown.stdout
    assert "EMPTY folder" in shown.stdout
    assert "4 of 4 items" in shown.stdout

    (one,) = json.loads(twin("status", "--json", **here).stdout)["sources"]
    assert one["source"]["id"] == str(source.id)
    assert one["alarms"][0]["kind"] == "empty"
    assert datetime.fromisoformat(one["last_success_at"]) < datetime.now(UTC)
    assert one["source"]["next_run_at"] is not None

    (listed,) = json.loads(twin("source", "list", "--author", "ann", "--json", **here).stdout)
    assert listed == one
