"""What backing up and restoring ask of the database: what is in it, and how old its authors and sources are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.records import Author
from twin_core.store.authors import author_by_id
from twin_core.store.tombstones import Tombstone, add_tombstones


def contents(conn: Connection) -> dict[str, int]:
    """How many authors, sources, documents and revisions there are."""
    row = conn.execute(
        text("""
            SELECT (SELECT count(*) FROM warehouse.authors) AS authors,
                   (SELECT count(*) FROM warehouse.sources) AS sources,
                   (SELECT count(*) FROM warehouse.documents) AS documents,
                   (SELECT count(*) FROM warehouse.revisions) AS revisions
        """)
    ).one()
    return dict(row._mapping)  # noqa: SLF001  the public name of a row's mapping


def schema_revision(conn: Connection) -> str:
    """The revision of the schema."""
    return str(conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def revision_ids(conn: Connection) -> Iterator[UUID]:
    """The id of every revision."""
    yield from conn.execute(text("SELECT id FROM warehouse.revisions ORDER BY id")).scalars()


def authors_since(conn: Connection) -> list[tuple[Author, datetime]]:
    """Every author with the time since when they are there."""
    rows = conn.execute(text("SELECT id, created_at FROM warehouse.authors ORDER BY slug")).all()
    return [(author_by_id(conn, row.id), row.created_at) for row in rows]


def sources_since(conn: Connection, author_id: UUID) -> list[tuple[UUID, datetime]]:
    """Every source of an author with the time since when it is there."""
    rows = conn.execute(
        text("SELECT id, created_at FROM warehouse.sources WHERE author_id = :author ORDER BY id"),
        {"author": author_id},
    )
    return [(row.id, row.created_at) for row in rows]


def set_again(conn: Connection, author_id: UUID, tombstones: list[Tombstone]) -> int:
    """Set an author's tombstones out of the journal. Returns how many the backup did not have."""
    own = [one for one in tombstones if one.author_id == author_id]
    return len(
        add_tombstones(
            conn,
            author_id,
            locations=[one.hash for one in own if one.kind == "location"],
            contents=[one.hash for one in own if one.kind == "content"],
            sources=[one.hash for one in own if one.kind == "source"],
            texts=[one.bands for one in own if one.kind == "text"],
        )
    )
