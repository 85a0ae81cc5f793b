"""An author whose texts come from a script, and the three feature stages over them, with the real model."""

from __future__ import annotations

from uuid import UUID

from tests.collect.scripted import END, Desk, found
from twin_core.features.chunk import chunk_author
from twin_core.features.clean import clean_author
from twin_core.features.embed import embed_author
from twin_core.records import Category, Found, StageReport

TIDES = """# Tides

The harbour empties twice a day, and twice a day I plan around it.

## Springs and neaps

A spring tide follows the full moon by two days; nobody told me why until I asked the pilot.

```sh
tide --port Whitby --days 2
```
"""
ROPES = "# Ropes\n\nA bowline holds because the load closes it; that is all there is to know.\n"
PARSER = '''"""Read the log."""


def get_parser(path):
    """Open it."""
    return Parser(path)


class LogReader:
    def read_all(self):
        return list(self.lines)
'''


def article(name: str, body: str) -> Found:
    return found(f"{name}.md", body)


def code(name: str, body: str) -> Found:
    return found(f"{name}.py", body, category=Category.CODE)


def post(name: str, body: str) -> Found:
    return found(f"{name}.md", body, category=Category.POST)


class Bench(Desk):
    """The author with her stages. `sources(...)` says what there is now; everything else is gone."""

    def sources(self, *items: Found) -> None:
        self.sync(*items, END)

    def clean(self) -> StageReport:
        return clean_author(self.database, self.warehouse, self.author, settings=self.settings)

    def chunk(self) -> StageReport:
        return chunk_author(self.database, self.author, settings=self.settings)

    def embed(self) -> StageReport:
        return embed_author(self.database, self.author, settings=self.settings)

    def prepare(self, *items: Found) -> tuple[StageReport, StageReport]:
        self.sources(*items)
        return self.clean(), self.chunk()

    def chunks(self, document_id: UUID) -> dict[str, tuple[UUID, int]]:
        """Text -> (id, key) of a document's chunks."""
        rows = self.rows(
            "SELECT text, id, key FROM features.chunks WHERE document_id = :d ORDER BY ordinal", d=document_id
        )
        return {str(row[0]): (UUID(str(row[1])), int(str(row[2]))) for row in rows}

    def count(self, table: str) -> int:
        return int(str(self.rows(f"SELECT count(*) FROM features.{table}")[0][0]))
