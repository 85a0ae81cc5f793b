"""Removing a source with everything that only it gave. What another source has too lives on there.

The steps can each be repeated: removing that was interrupted is finished by removing again.
"""

from __future__ import annotations

import shutil

from twin_core import forgetting
from twin_core.collect.run import withdraw_source
from twin_core.forgetting import Receipt
from twin_core.records import Source
from twin_core.runtime import journal
from twin_core.settings import Settings
from twin_core.store import authors, documents
from twin_core.store.database import Database
from twin_core.store.tombstones import add_tombstones, salt_of, source_tombstone
from twin_core.warehouse.protocol import Warehouse


def forget_source(database: Database, warehouse: Warehouse, source: Source, *, settings: Settings) -> Receipt | None:
    """Forget a source: its place in documents that stay, the documents that only it has, its files, itself.

    Returns the receipt of the documents, None when there were none. A tombstone of the source is left, which takes it out of a
    backup that is restored; adding the source again is allowed, what was forgotten of it stays away.
    """
    withdraw_source(database, warehouse, source)
    with database.transaction() as conn:
        author = authors.author_by_id(conn, source.author_id)
        authors.detach_source(conn, source.id)
        held = documents.documents_of_source(conn, source.id)
    receipt = None
    if held:
        receipt = forgetting.forget(database, warehouse, author, held, settings=settings)
    with database.author_lock(author.id):
        for folder in forgetting.source_folders(settings, author.id, source.id):
            shutil.rmtree(folder)
        with database.transaction() as conn:
            mark = source_tombstone(salt_of(conn, author.id), source.id)
            journal.append(settings, add_tombstones(conn, author.id, sources=[mark]))
            authors.remove_source(conn, source.id)
    return receipt
