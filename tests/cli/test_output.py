"""What commands print: JSON of the product's own records, tables that take their cells literally."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from twin_cli import output
from twin_core.records import Author, Category


def test_records_become_json_with_ids_times_and_enums_as_text() -> None:
    author = Author(id=UUID(int=7), slug="ann", name="Ann Ökonom")
    value = {"author": author, "kinds": {Category.POST, Category.CODE}, "at": datetime(2026, 1, 2, tzinfo=UTC)}
    assert output.plain(value) == {
        "author": {"id": str(UUID(int=7)), "slug": "ann", "name": "Ann Ökonom", "language": "en"},
        "kinds": ["code", "post"],
        "at": "2026-01-02T00:00:00+00:00",
    }
    assert "Ökonom" in output.as_json_text(value)
    assert output.plain([Path("/a"), Decimal("1.5"), None, (1, True)]) == ["/a", 1.5, None, [1, True]]
    with pytest.raises(TypeError, match="bytes"):
        output.plain(b"raw")


def test_a_table_takes_brackets_literally_and_says_when_it_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    output.console.cache_clear()
    output.show_rows(("slug", "documents"), [("[red]ann[/red]", 12345)])
    output.show_rows(("slug",), [], empty="No author yet.")
    said = capsys.readouterr().out
    assert "[red]ann[/red]" in said
    assert "12,345" in said
    assert "No author yet." in said
