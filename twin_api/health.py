"""`/healthz` and `/readyz`, for whoever restarts and routes. Public, and without a word on what is inside."""

from __future__ import annotations

import asyncio
import logging

from litestar import Response, get
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from twin_api.auth import PUBLIC
from twin_api.schemas import Live, Ready
from twin_api.services import Services
from twin_core.errors import ServiceUnavailable
from twin_core.models.engine_health import EngineHealth, engine_health
from twin_core.store import migrate
from twin_core.store.database import Database

log = logging.getLogger("twin_api")


@get("/healthz", opt={PUBLIC: True}, tags=["health"], summary="Is the process alive?")
async def healthz() -> Live:
    """Always 200 while the event loop turns."""
    return Live()


@get("/readyz", opt={PUBLIC: True}, tags=["health"], summary="Can it answer?")
async def readyz(services: Services) -> Response[Ready]:
    """200 when the database, its schema and the embedding model are there, else 503."""
    (database, migrations), llm = await asyncio.gather(
        asyncio.to_thread(_database, services.database), asyncio.to_thread(engine_health, services.settings)
    )
    embedder = _embedder(services)
    ready = database == migrations == embedder == "ok"
    body = Ready(
        status="ready" if ready else "not ready",
        database=database,
        migrations=migrations,
        embedder=embedder,
        llm=_llm(llm),
    )
    return Response(body, status_code=HTTP_200_OK if ready else HTTP_503_SERVICE_UNAVAILABLE)


def _database(database: Database) -> tuple[str, str]:
    try:
        with database.transaction() as conn:
            at = migrate.current(conn)
    except ServiceUnavailable as error:
        log.warning("readyz: %s", error)
        return "does not answer", "unknown"
    return "ok", "ok" if at == migrate.newest() else "behind: run `twin migrate`"


def _llm(found: EngineHealth) -> str:
    if not found.up:
        return "does not answer: answers are passages only"
    return "does not serve the model that is asked for: see `twin doctor`" if found.problem else "ok"


def _embedder(services: Services) -> str:
    loading = services.embedder_loading
    if not loading.done():
        return "loading"
    error = loading.exception()
    if error is not None:
        log.warning("readyz: the embedding model cannot be loaded", exc_info=error)
        return "cannot be loaded: see the log"
    return "ok"
