"""`/v1/documents/{id}/text`: a document as it is read: the cleaned text of its latest revision."""

from __future__ import annotations

import asyncio
from uuid import UUID

from litestar import Controller, get
from msgspec import Struct

from twin_api.auth import requires
from twin_api.schemas import ERRORS, NOT_FOUND
from twin_api.services import Services
from twin_core.store import cleaned
from twin_core.store.database import Database
from twin_core.store.keys import KeyHolder


class DocumentText(Struct, kw_only=True):
    """The text, Markdown as a rule. Citations of the same revision say where in it their passage stands."""

    document_id: UUID
    revision_id: UUID
    title: str
    text: str


class DocumentTextController(Controller):
    """What a document says."""

    path = "/v1/documents/{document_id:uuid}/text"
    tags = ("documents",)
    guards = (requires("read"),)

    @get("/", summary="The text of a document", responses=ERRORS | NOT_FOUND)
    async def document_text(self, document_id: UUID, holder: KeyHolder, services: Services) -> DocumentText:
        """As it was cleaned: what searches and answers read. 404 before it was."""
        return await asyncio.to_thread(_text, services.database, holder.author_id, document_id)


def _text(database: Database, author_id: UUID, document_id: UUID) -> DocumentText:
    with database.as_author(author_id) as conn:
        found = cleaned.readable(conn, author_id, document_id)
    return DocumentText(
        document_id=found.document_id, revision_id=found.revision_id, title=found.title, text=found.text
    )
