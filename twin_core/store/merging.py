"""Merging: a person says that two documents are one. Their word holds until one of them is forgotten.

What the merged document's locations do afterwards is among the rules of `collect/placing.py`, and so is the opposite:
splitting a location off (`collect/run.py`).
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, text

from twin_core.errors import NotFound, Refused


def merge_documents(conn: Connection, author_id: UUID, *, kept: UUID, merged: UUID) -> UUID:
    """Make `merged` a redirect to `kept`, with its locations. Returns the document that is kept in the end.

    The text is that of `kept`; the revisions of `merged` stay with its redirect. Redirects that led to `merged` lead
    to `kept` now, so that no redirect leads to another. Hold the author's lock. Raises NotFound for a document that is
    not the author's, Refused for a merge into itself, of two categories, or into a document that is gone.
    """
    rows = conn.execute(
        text("""
            SELECT id, state, category, merged_into, head_revision_id, content_hash FROM warehouse.documents
             WHERE author_id = :author AND (id = ANY(CAST(:ids AS uuid[])) OR id IN
                   (SELECT merged_into FROM warehouse.documents WHERE id = ANY(CAST(:ids AS uuid[]))))
             ORDER BY id FOR UPDATE
        """),
        {"author": author_id, "ids": [kept, merged]},
    )
    documents = {row.id: row for row in rows}
    for named in (kept, merged):
        if named not in documents:
            raise NotFound(f"There is no document {named} of this author. `twin documents` lists those there are.")
    home = documents[documents[kept].merged_into or kept]
    away = documents[merged]
    if away.merged_into == home.id:
        return UUID(str(home.id))
    if away.merged_into is not None:
        raise Refused(f"{merged} is merged into {away.merged_into} already. Merge that one instead.")
    if home.id == away.id:
        raise Refused("A document cannot be merged into itself, nor into one that was merged into it.")
    if home.category != away.category:
        raise Refused(f"One is of the category {home.category}, the other {away.category}: they are not one document.")
    if home.state != "live":
        raise Refused(f"{home.id} is gone from all its sources. Merge the other way round.")
    names = {"home": home.id, "away": away.id, "hash": home.content_hash, "head": home.head_revision_id}
    conn.execute(
        text("""
            UPDATE warehouse.document_locations
               SET document_id = :home, first_seen_at = now(), joined_by = 'by_hand', leads = NULL,
                   evidence = 'merged from ' || document_id,
                   revision_id = CASE WHEN content_hash = :hash THEN :head ELSE revision_id END
             WHERE document_id = :away
        """),
        names,
    )
    conn.execute(
        text("""
            UPDATE warehouse.documents SET state = 'merged', merged_into = :home, updated_at = now()
             WHERE id = :away OR merged_into = :away
        """),
        names,
    )
    return UUID(str(home.id))
