"""The wiring of the API: routes, authentication, errors, OpenAPI. What each route does is in its own module.

Served by `uvicorn --factory twin_api.app:create_app`, which `twin up` runs.
"""

from __future__ import annotations

from importlib.metadata import version

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.datastructures import MutableScopeHeaders, State
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import Message, Scope

from twin_api.adapters import AdaptersController
from twin_api.auth import PUBLIC, KeyMiddleware, provide_author, provide_holder
from twin_api.authors import AuthorsController
from twin_api.chat import ChatController
from twin_api.collect import CollectController
from twin_api.datasets import DatasetsController
from twin_api.document_text import DocumentTextController
from twin_api.documents import DocumentsController, ForgetRequestsController
from twin_api.embeddings import EmbeddingsController
from twin_api.feedback import FeedbackController
from twin_api.health import healthz, readyz
from twin_api.idempotency import IdempotencyMiddleware
from twin_api.imports import ImportsController
from twin_api.keys import KeysController
from twin_api.limits import BODY_BYTES, Limits
from twin_api.mcp import mcp_route
from twin_api.models import ModelsController
from twin_api.pages import pages
from twin_api.problems import HANDLERS
from twin_api.scorecards import ScorecardsController
from twin_api.search import SearchController
from twin_api.services import Services, lifespan
from twin_api.session import SessionController
from twin_api.sources import SourceChangesController, SourcesController
from twin_api.traces import LineageController, MonitorController, TracesController
from twin_api.write import WriteController
from twin_core.settings import Settings
from twin_core.settings import settings as settings_of_process

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def create_app(settings: Settings | None = None, limits: Limits | None = None) -> Litestar:
    """The API over these settings (default: the process's own). Nothing is opened before the app starts."""
    settings = settings or settings_of_process()
    mcp, mcp_runs = mcp_route(settings)
    return Litestar(
        route_handlers=[
            SearchController,
            ChatController,
            WriteController,
            EmbeddingsController,
            FeedbackController,
            ModelsController,
            DocumentsController,
            DocumentTextController,
            ForgetRequestsController,
            SourcesController,
            SourceChangesController,
            CollectController,
            ImportsController,
            DatasetsController,
            AdaptersController,
            ScorecardsController,
            SessionController,
            TracesController,
            LineageController,
            MonitorController,
            AuthorsController,
            KeysController,
            mcp,
            healthz,
            readyz,
            pages,
        ],
        lifespan=[lifespan(settings, limits or Limits.of(settings)), mcp_runs],
        middleware=[
            # OPTIONS too: a route's guard asks who it is whatever the method. Preflights of CORS end before.
            DefineMiddleware(
                KeyMiddleware, exclude=["^/schema"], exclude_from_auth_key=PUBLIC, exclude_http_methods=[]
            ),
            IdempotencyMiddleware(),
        ],
        cors_config=_cors(settings),
        dependencies={
            "services": Provide(_services, sync_to_thread=False),
            "holder": Provide(provide_holder, sync_to_thread=False),
            "author": Provide(provide_author),
        },
        exception_handlers=HANDLERS,
        before_send=[_harden],
        request_max_body_size=BODY_BYTES,
        openapi_config=_openapi(),
        logging_config=None,
    )


async def _harden(message: Message, _: Scope) -> None:
    """Set the headers above on every response that does not set its own, errors included."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)


def _cors(settings: Settings) -> CORSConfig | None:
    """Pages of the origins that are set may send a key. Never cookies: a session is for our own pages."""
    if not settings.api_cors_origins:
        return None
    return CORSConfig(
        allow_origins=settings.api_cors_origins,
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
        expose_headers=["Location", "Retry-After", "Idempotency-Replayed"],
        allow_credentials=False,
        max_age=600,
    )


def _services(state: State) -> Services:
    found = state.services
    assert isinstance(found, Services)
    return found


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="LLM Twin",
        version=version("llm-twin"),
        description="Search one author's writing and ask their twin. Keys are made with `twin key create`.",
        path="/schema",
        # The pages that show a schema (Scalar, Swagger, Redoc) load their scripts from other hosts: none is served.
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"]), YamlRenderPlugin()],
        components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"key": []}],
    )
