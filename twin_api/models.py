"""`/v1/models`: the twins that a key may ask. One: its author's."""

from __future__ import annotations

from litestar import Controller, get

from twin_api.auth import requires
from twin_api.schemas import ERRORS, NOT_FOUND, ModelList, ModelView
from twin_core.errors import NotFound
from twin_core.records import Author


class ModelsController(Controller):
    """What OpenAI's clients list models with."""

    path = "/v1/models"
    tags = ("chat",)
    guards = (requires("read"),)

    @get("/", summary="List the twins of this key", responses=ERRORS)
    async def models(self, author: Author) -> ModelList:
        """The author of the key, as a model."""
        return ModelList(data=[ModelView(id=author.slug, owned_by=author.name)])

    @get("/{slug:str}", summary="One twin", responses=ERRORS | NOT_FOUND)
    async def model(self, slug: str, author: Author) -> ModelView:
        """The author of the key, when it is that one."""
        if slug != author.slug:
            raise NotFound(f"There is no model `{slug[:80]}` for this key. It may ask `{author.slug}`.")
        return ModelView(id=author.slug, owned_by=author.name)
