"""`/v1/authors`: the author of the key, how much there is of them, and what a person may change.

There is one, whatever key asks: a key is bound to its author. Authors are made on the command line.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from litestar import Controller, get, patch
from litestar.openapi.spec import Example
from litestar.params import Body, Parameter
from msgspec import UNSET

from twin_api.auth import requires
from twin_api.author_schemas import AuthorChange, AuthorList, AuthorView
from twin_api.operations import ONCE, Write
from twin_api.schemas import ERRORS, NOT_FOUND
from twin_api.services import Services
from twin_core.errors import InvalidInput, NotFound
from twin_core.records import Author
from twin_core.store import facts
from twin_core.store.authors import change_author
from twin_core.store.database import Database

Slug = Annotated[str, Parameter(max_length=63)]
_EXAMPLES = [Example(summary="Another language", value={"language": "de"})]


class AuthorsController(Controller):
    """The author of the key."""

    path = "/v1/authors"
    tags = ("authors",)
    guards = (requires("read"),)

    @get("/", summary="The authors of this key", responses=ERRORS)
    async def authors(self, author: Author, services: Services) -> AuthorList:
        """One: the key's own, with counts."""
        return AuthorList(authors=[await asyncio.to_thread(_shown, services.database, author)])

    @get("/{slug:str}", summary="One author", responses=ERRORS | NOT_FOUND)
    async def one(self, slug: Slug, author: Author, services: Services) -> AuthorView:
        """The key's own, when it is that one."""
        _check(slug, author)
        return await asyncio.to_thread(_shown, services.database, author)

    @patch(
        "/{slug:str}",
        guards=[requires("admin")],
        operation_class=Write,
        summary="Change name or language",
        responses=ERRORS | NOT_FOUND | ONCE,
    )
    async def change(
        self, slug: Slug, data: Annotated[AuthorChange, Body(examples=_EXAMPLES)], author: Author, services: Services
    ) -> AuthorView:
        """The slug stays. What was collected is not read anew; later runs read it in the new language."""
        _check(slug, author)
        return await asyncio.to_thread(_change, services.database, author, data)


def _check(slug: str, author: Author) -> None:
    if slug != author.slug:
        raise NotFound(f"This key has no author `{slug}`. Its author is `{author.slug}`.")


def _shown(database: Database, author: Author) -> AuthorView:
    with database.as_author(author.id) as conn:
        return AuthorView.of(author, facts.totals(conn, author.id))


def _change(database: Database, author: Author, data: AuthorChange) -> AuthorView:
    if data.name is UNSET and data.language is UNSET:
        raise InvalidInput("Nothing to change: send `name`, `language` or both.")
    with database.as_author(author.id) as conn:
        changed = change_author(
            conn,
            author.id,
            name=author.name if data.name is UNSET else data.name,
            language=author.language if data.language is UNSET else data.language,
        )
        return AuthorView.of(changed, facts.totals(conn, author.id))
