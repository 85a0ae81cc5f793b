"""`/v1/search`: passages of the author's writing. A language model is involved only where `retrieval` is `full`."""

from __future__ import annotations

from time import monotonic
from typing import Annotated

from litestar import Controller, post
from litestar.openapi.spec import Example
from litestar.params import Body

from twin_api.auth import requires
from twin_api.idempotency import REPEATABLE
from twin_api.schemas import ERRORS, SearchRequest, SearchResponse
from twin_api.services import Services
from twin_core.retrieval.retrieve import retrieve
from twin_core.store.keys import KeyHolder

_EXAMPLES = [
    Example(summary="A question", value={"query": "how do I size a connection pool?", "k": 5}),
    Example(
        summary="A question that says when, read by the language model first",
        value={"query": "what did I write about backups in 2025?", "retrieval": "full"},
    ),
    Example(
        summary="Only posts of one year",
        value={
            "query": "backups",
            "filters": {
                "categories": ["post"],
                "written_from": "2025-01-01T00:00:00Z",
                "written_to": "2026-01-01T00:00:00Z",
            },
        },
    ),
]


class SearchController(Controller):
    """Hybrid search over the author of the key."""

    path = "/v1/search"
    tags = ("search",)
    guards = (requires("read"),)

    @post("/", status_code=200, opt={REPEATABLE: True}, summary="Search the author's writing", responses=ERRORS)
    async def search_passages(
        self,
        data: Annotated[SearchRequest, Body(examples=_EXAMPLES)],
        holder: KeyHolder,
        services: Services,
    ) -> SearchResponse:
        """The passages that fit the query best, by meaning and by words, and how they were found."""
        await services.embedder_ready()
        began = monotonic()
        found = await retrieve(
            services.database,
            holder.author_id,
            data.query,
            settings=services.settings,
            limit=data.k,
            mode=data.retrieval,
            filters=data.filters.record(),
            chat=services.chat,
        )
        return SearchResponse.of(found, round(monotonic() - began, 4))
