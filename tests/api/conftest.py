"""The API over real HTTP, a real database under row-level security, the real embedding model, and a chat server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import uvicorn
from litestar import Litestar

from tests.api.scenario import two_authors
from tests.conftest import free_port
from tests.models.chat_server import ChatServer
from twin_api.app import create_app
from twin_api.limits import Limits
from twin_api.services import Services, services_of
from twin_core.records import Author
from twin_core.settings import Settings
from twin_core.store import keys
from twin_core.store.database import Database


@dataclass
class Api:
    """A running API and who may ask it."""

    url: str
    database: Database
    jane: Author
    mallory: Author
    key: str
    """Jane's, to read."""

    def client(self, key: str | None = None) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def new_key(self, author: Author, *scopes: str) -> keys.NewKey:
        with self.database.transaction() as conn:
            return keys.create_key(conn, author_id=author.id, name="test", scopes=scopes or ["read"])


@pytest.fixture
def engine() -> Iterator[ChatServer]:
    served = ChatServer(models=("jane-v1",))
    served.start()
    yield served
    served.stop()


@pytest.fixture
def settings(database_url: str, tmp_path: Path, engine: ChatServer) -> Settings:
    return Settings(
        database_url=database_url,
        home=tmp_path / "home",
        role_secret="test secret",
        llm_url=engine.url,
        llm_engine="vllm",
        llm_model="jane-v1",
        llm_connect_seconds=10,
        _env_file=None,
    )


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
def app(settings: Settings, limits: Limits) -> Litestar:
    """The API, not started yet."""
    return create_app(settings, limits)


@pytest.fixture
def services(app: Litestar, served: str) -> Services:
    """What the running API works with."""
    return services_of(app)


@pytest.fixture
def served(app: Litestar) -> Iterator[str]:
    """The URL of the API, served by uvicorn in a thread as `twin up` serves it in a process."""
    port = free_port()
    config = uvicorn.Config(app, port=port, log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    _until(lambda: server.started or not thread.is_alive())
    assert server.started, "the API did not start"
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def api(served: str, database: Database, settings: Settings) -> Api:
    jane, mallory = two_authors(database, settings)
    with database.transaction() as conn:
        key = keys.create_key(conn, author_id=jane.id, name="test", scopes=["read"])
    return Api(served, database, jane, mallory, key.secret)


def _until(condition: Callable[[], bool], seconds: float = 120) -> None:
    waiting = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        waiting.wait(0.05)
    raise AssertionError("waited too long")
