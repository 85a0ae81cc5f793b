"""`/v1/datasets`: what the twin learns from, version by version. They are built by the graph, or by `twin dataset build`."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Controller, get
from litestar.params import Parameter

from twin_api.auth import requires
from twin_api.dataset_schemas import DatasetDetail, DatasetList, DatasetView, ExampleList, ExampleView
from twin_api.limits import DATASETS_PER_PAGE, EXAMPLES_PER_PAGE
from twin_api.paging import Cursor
from twin_api.schemas import ERRORS, NOT_FOUND
from twin_api.services import Services
from twin_core.datasets.cards import card
from twin_core.records import ExampleKind, Split
from twin_core.store import datasets
from twin_core.store.database import Database
from twin_core.store.keys import KeyHolder

_LISTING, _EXAMPLES = "datasets", "examples"
VersionId = Annotated[
    str, Parameter(min_length=datasets.SHORTEST_PREFIX, max_length=100, description="Its id, or how it begins.")
]


class DatasetsController(Controller):
    """The dataset versions of the key's author."""

    path = "/v1/datasets"
    tags = ("datasets",)
    guards = (requires("read"),)

    @get("/", summary="List dataset versions", responses=ERRORS)
    async def datasets(
        self,
        *,
        holder: KeyHolder,
        services: Services,
        kind: ExampleKind | None = None,
        limit: Annotated[int, Parameter(ge=1, le=DATASETS_PER_PAGE)] = 50,
        cursor: Cursor = None,
    ) -> DatasetList:
        """The one published last first: of each kind it is the current one."""
        return await asyncio.to_thread(_page, services, holder.author_id, kind, limit, cursor)

    @get("/{version_id:str}", summary="One dataset version", responses=ERRORS | NOT_FOUND)
    async def dataset(self, version_id: VersionId, holder: KeyHolder, services: Services) -> DatasetDetail:
        """With its manifest, its card, and what was left out."""
        return await asyncio.to_thread(_detail, services.database, holder.author_id, version_id)

    @get("/{version_id:str}/examples", summary="The examples of a dataset version", responses=ERRORS | NOT_FOUND)
    async def examples(
        self,
        *,
        version_id: VersionId,
        holder: KeyHolder,
        services: Services,
        split: Split | None = None,
        limit: Annotated[int, Parameter(ge=1, le=EXAMPLES_PER_PAGE)] = 50,
        cursor: Cursor = None,
    ) -> ExampleList:
        """Train before test, in the order in which a fraction of them is taken. What was forgotten since is not there."""
        return await asyncio.to_thread(
            _examples, services, holder.author_id, version_id, split, limit=limit, cursor=cursor
        )


def _page(services: Services, author_id: UUID, kind: ExampleKind | None, limit: int, cursor: str | None) -> DatasetList:
    after = services.pager.read(_LISTING, author_id, cursor, tuple[datetime, str])
    with services.database.as_author(author_id) as conn:
        rows = datasets.page_of_versions(conn, author_id, kind=kind, after=after, limit=limit + 1)
    page, further = services.pager.cut(_LISTING, author_id, rows, limit, lambda one: (one.published_at, one.id))
    return DatasetList(datasets=[DatasetView.of(one) for one in page], next_cursor=further)


def _detail(database: Database, author_id: UUID, key: str) -> DatasetDetail:
    with database.as_author(author_id) as conn:
        version = datasets.resolve_version(conn, author_id, key)
        sides = Counter(one.split for one in datasets.origins_of(conn, version.id).values())
        drops = datasets.drops_by_reason(conn, version.id)
    return DatasetDetail(
        dataset=DatasetView.of(version),
        documents={split: sides[split] for split in Split},
        drops=drops,
        manifest=dict(version.manifest),
        card=card(version),
    )


def _examples(
    services: Services, author_id: UUID, key: str, split: Split | None, *, limit: int, cursor: str | None
) -> ExampleList:
    with services.database.as_author(author_id) as conn:
        version = datasets.resolve_version(conn, author_id, key)
        listing = f"{_EXAMPLES} {version.id}"
        after = services.pager.read(listing, author_id, cursor, tuple[Split, int])
        rows = datasets.page_of_examples(conn, author_id, version.id, split=split, after=after, limit=limit + 1)
    page, further = services.pager.cut(listing, author_id, rows, limit, lambda row: (row[0], row[1]))
    return ExampleList(examples=[ExampleView.of(*row) for row in page], next_cursor=further)
