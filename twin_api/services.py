"""What the handlers work with, opened once when the process starts and closed when it ends.

All database work is synchronous and runs in worker threads, as the login `twin_api`, under row-level security. The
embedding model is loaded once, in the background, so that the process answers `/healthz` at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from litestar import Litestar

from twin_api.limits import Bucket, Limits, Slots
from twin_api.paging import Pager
from twin_core.models.chat import ChatClient
from twin_core.models.embedder import embedder
from twin_core.runtime.stores import open_stores
from twin_core.settings import Settings
from twin_core.store.database import Database

THREADS = 12
"""Below the connections that a Database pools (16): a thread never waits for a connection."""


@dataclass(slots=True)
class Services:
    """Everything a handler may need. Lives as long as the process."""

    settings: Settings
    limits: Limits
    database: Database
    chat: ChatClient
    requests: Bucket
    failures: Bucket
    slots: Slots
    """Answers being written."""
    watching: Slots
    """Streams that show a collection at work."""
    pager: Pager
    embedder_loading: asyncio.Future[str]
    """The id of the embedding model, once it is loaded."""

    async def embedder_ready(self) -> None:
        """Wait until the embedding model is there: a search meanwhile must not load a second one."""
        await asyncio.shield(self.embedder_loading)


def lifespan(settings: Settings, limits: Limits) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    """The lifespan of the app: opens the services into `app.state.services`, closes them at the end."""

    @asynccontextmanager
    async def opened(app: Litestar) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="twin-api"))
        stores = await asyncio.to_thread(lambda: open_stores(settings, role="twin_api"))
        loading = asyncio.ensure_future(asyncio.to_thread(_load_embedder, settings))
        chat = ChatClient(settings)
        app.state.services = Services(
            settings=settings,
            limits=limits,
            database=stores.database,
            chat=chat,
            requests=Bucket(limits.requests_per_minute),
            failures=Bucket(limits.failures_per_minute),
            slots=Slots(limits.streams, limits.streams_per_key),
            watching=Slots(limits.watchers, limits.watchers_per_key, "collections being watched"),
            pager=Pager.of(settings),
            embedder_loading=loading,
        )
        try:
            yield
        finally:
            loading.cancel()
            await chat.aclose()
            await asyncio.to_thread(stores.close)

    return opened


def _load_embedder(settings: Settings) -> str:
    model = embedder(settings)
    model.encode_query(["The first text loads the weights."])
    return model.model_id


def services_of(app: Litestar) -> Services:
    """The services of a started app."""
    services = app.state.services
    assert isinstance(services, Services)
    return services
