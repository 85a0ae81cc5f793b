"""What every test may ask for: a real Postgres, a migrated database of its own, settings of its own.

One embedded server serves the whole run (all workers); each test gets a copy of a migrated template database,
which takes about 50 ms, and leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from filelock import FileLock
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from twin_core.runtime import postgres
from twin_core.settings import Settings
from twin_core.store import migrate
from twin_core.store.database import Database

# A slow machine is no counterexample.
hypothesis_settings.register_profile("twin", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("twin")

_HOME = "TWIN_TEST_HOME"
SHARED = Path(__file__).parents[2] / "shared"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and _HOME not in os.environ:
        # Memory where there is some: the run makes and drops hundreds of databases.
        memory = Path("/dev/shm")
        os.environ[_HOME] = tempfile.mkdtemp(prefix="twin-tests-", dir=memory if os.access(memory, os.W_OK) else None)
        os.environ["TWIN_TEST_POSTGRES_PORT"] = str(free_port())
        Path(os.environ[_HOME]).chmod(0o755)
        config.stash[_OWNS] = True


_OWNS = pytest.StashKey[bool]()


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.stash.get(_OWNS, False):
        postgres.stop(_server_settings())
        shutil.rmtree(os.environ.pop(_HOME), ignore_errors=True)


def _server_settings() -> Settings:
    return Settings(
        home=Path(os.environ[_HOME]),
        postgres_port=int(os.environ["TWIN_TEST_POSTGRES_PORT"]),
        postgres_shared_buffers="128MB",
        _env_file=None,
    )


@pytest.fixture(scope="session")
def server() -> postgres.Server:
    """The run's Postgres, with a migrated template database `twin_template`."""
    settings = _server_settings()
    found = postgres.ensure_running(settings)
    with FileLock(Path(os.environ[_HOME]) / "template.lock"):
        with psycopg.connect(found.url, dbname="postgres", autocommit=True) as connection:
            made = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'twin_template'").fetchone()
            if not made:
                connection.execute("CREATE DATABASE twin_template")
        if not made:
            migrate.upgrade(_named(found.url, "twin_template"))
    return found


def _named(url: str, database: str) -> str:
    before, _, after = url.partition("?")
    return before.rsplit("/", 1)[0] + "/" + database + ("?" + after if after else "")


@pytest.fixture
def database_url(server: postgres.Server) -> Iterator[str]:
    """The libpq URL (owner) of a fresh, migrated database."""
    name = f"t_{uuid4().hex[:16]}"
    with psycopg.connect(server.url, dbname="postgres", autocommit=True) as connection:
        with FileLock(Path(os.environ[_HOME]) / "template.lock"):
            connection.execute(f"CREATE DATABASE {name} TEMPLATE twin_template STRATEGY wal_log")
        yield _named(server.url, name)
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, as the store's Database."""
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings whose database is the test's own and whose home is a fresh folder. No .env is read."""
    return Settings(database_url=database_url, home=tmp_path / "home", role_secret="test secret", _env_file=None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real collections, where there is one."""
    if not (SHARED / "corpora").is_dir():
        pytest.skip("no ../shared/corpora beside this checkout: put the collections there to run this test")
    return SHARED
