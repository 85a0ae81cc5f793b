"""`/v1/models`: what a key may ask. The twin of its author, and the model that embeds."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get
from litestar.params import Parameter

from twin_api.auth import requires
from twin_api.schemas import ERRORS, NOT_FOUND, ModelList, ModelView
from twin_api.services import Services
from twin_core.errors import NotFound
from twin_core.models.embedding_model import embedding_model
from twin_core.records import Author

Name = Annotated[str, Parameter(max_length=200)]


class ModelsController(Controller):
    """What OpenAI's clients list models with."""

    path = "/v1/models"
    tags = ("chat",)
    guards = (requires("read"),)

    @get("/", summary="List the models of this key", responses=ERRORS)
    async def models(self, author: Author, services: Services) -> ModelList:
        """The author of the key as a model to ask, then the model of `/v1/embeddings`."""
        return ModelList(data=_there(author, services))

    @get("/{name:str}", summary="One model", responses=ERRORS | NOT_FOUND)
    async def model(self, name: Name, author: Author, services: Services) -> ModelView:
        """The one of this name, when the key may ask it."""
        found = next((one for one in _there(author, services) if one.id == name), None)
        if found is None:
            raise NotFound(f"There is no model `{name[:80]}` for this key. It may ask `{author.slug}`.")
        return found


def _there(author: Author, services: Services) -> list[ModelView]:
    return [
        ModelView(id=author.slug, owned_by=author.name),
        ModelView(id=embedding_model(services.settings).id, owned_by="embeddings"),
    ]
