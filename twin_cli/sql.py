"""`twin sql`: a person's own SQL over one author's rows, read-only, as a login that can see no others.

The views meant for it, with examples, are in docs/sql.md. What holds the login to its author is in the database.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from twin_cli import output
from twin_cli.authors import Slug, chosen
from twin_cli.terminal import harmless
from twin_core.errors import InvalidInput
from twin_core.runtime.stores import stores
from twin_core.runtime.urls import role_password, url_for
from twin_core.settings import settings
from twin_core.store import people

Query = Annotated[str, typer.Argument(metavar="QUERY", help="One SQL statement; `-` reads it from stdin.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Most rows to print.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV with a header line on stdout.")]


def sql(
    query: Query, *, author: Slug = None, limit: Limit = 200, as_json: output.AsJson = False, as_csv: AsCsv = False
) -> None:
    """Read one author's rows in SQL: documents, chunks, embedding_coverage, source_outcomes, items, answer_sources."""
    if as_json and as_csv:
        raise InvalidInput("Choose one of --json and --csv.")
    here = settings()
    with stores(here) as opened, opened.database.transaction() as connection:
        whose = chosen(connection, author)
        role = people.sql_role(connection, whose.id)
        people.ensure_sql_role(connection, whose, role_password(here, role))
    result = people.run_readonly(url_for(here, role=role), sys.stdin.read() if query == "-" else query, limit)
    rows = [tuple(_plain(value) for value in row) for row in result.rows]
    if as_json:
        output.show_json([dict(zip(_distinct(result.columns), row, strict=True)) for row in rows])
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(result.columns)
        writer.writerows(rows)
    elif result.columns:
        shown = [tuple(harmless(value) if isinstance(value, str) else value for value in row) for row in rows]
        output.show_rows(result.columns, shown, empty="No rows.")
    else:
        output.show("Done; the statement gives no rows.")
    if result.cut:
        output.warn(f"There is more: only the first {limit} rows are shown. Raise it with --limit.")


def _plain(value: object) -> object:
    """The value as the printers know it: bytes as PostgreSQL writes them, anything else unknown as its text."""
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + bytes(value).hex()
    try:
        return output.plain(value)
    except TypeError:
        return str(value)


def _distinct(columns: Sequence[str]) -> list[str]:
    """Column names as JSON keys: a second `count` becomes `count_2`."""
    names: list[str] = []
    for column in columns:
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return names
