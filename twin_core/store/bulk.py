"""Bulk loading: rows go by binary COPY into a temporary table, from where one statement takes them on.

The temporary table ends with the transaction. What is done with the rows is in the module of each subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from psycopg import sql
from sqlalchemy import Connection

from twin_core.store.database import psycopg_connection


def stage(connection: Connection, name: str, columns: Mapping[str, str], rows: Iterable[Sequence[object]]) -> int:
    """Make the temporary table `name` (column -> type name) and COPY the rows into it. Returns how many there were.

    Values must be of the Python type that psycopg writes for the column's type: no casts happen in a binary COPY.
    """
    driver = psycopg_connection(connection)
    listed = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))  # our own constants
        for column, kind in columns.items()
    )
    count = 0
    with driver.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(sql.Identifier(name), listed))
        with cursor.copy(sql.SQL("COPY {} FROM STDIN WITH (FORMAT BINARY)").format(sql.Identifier(name))) as copy:
            copy.set_types(list(columns.values()))
            for row in rows:
                copy.write_row(row)
                count += 1
        # Without statistics the planner takes a new table for ten rows and joins it in a loop.
        cursor.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(name)))
    return count
