"""What every test may ask for: a real Postgres, a migrated database of its own, settings of its own.

One embedded server serves the whole run (all workers); each worker has a copy of a migrated template database, which
is empty whenever a test begins.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
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

# Workers share the processors; threads of their own only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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
def database_url(server: postgres.Server, pytestconfig: pytest.Config) -> Iterator[str]:
    """The libpq URL (owner) of an empty, migrated database that no other test uses meanwhile.

    Each worker has one and empties it after every test, because making one costs a copy of 350 files. A test that
    changed the schema leaves it to be dropped, and the next test gets a new one.
    """
    name = pytestconfig.stash.get(_EMPTY, "") or _new_database(server)
    pytestconfig.stash[_EMPTY] = ""
    url = _named(server.url, name)
    yield url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        untouched = _schema_of(connection) == _schema_of_template(server)
        if untouched:
            connection.execute(_EMPTY_TABLES)
    if untouched:
        pytestconfig.stash[_EMPTY] = name
    else:
        with psycopg.connect(server.url, dbname="postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


_EMPTY = pytest.StashKey[str]()
_EMPTY_TABLES = """
    DO $$
    DECLARE
        one regclass;
        used boolean;
        filled text[] := '{}';
    BEGIN
        FOR one IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema)' AND c.relname <> 'alembic_version'
        LOOP
            EXECUTE format('SELECT EXISTS (SELECT FROM %s)', one) INTO used;
            IF used THEN
                filled := filled || one::text;
            END IF;
        END LOOP;
        IF filled <> '{}' THEN
            EXECUTE 'TRUNCATE ' || array_to_string(filled, ', ') || ' RESTART IDENTITY CASCADE';
        END IF;
    END $$
"""


def _new_database(server: postgres.Server) -> str:
    name = f"t_{uuid4().hex[:16]}"
    with (
        FileLock(Path(os.environ[_HOME]) / "template.lock"),
        psycopg.connect(server.url, dbname="postgres", autocommit=True) as connection,
    ):
        connection.execute(f"CREATE DATABASE {name} TEMPLATE twin_template STRATEGY wal_log")
    return name


def _schema_of(connection: psycopg.Connection) -> tuple[object, ...]:
    """Everything that is neither a row nor a role: relations with their rights, columns, policies, functions, settings."""
    found = connection.execute("""
        WITH ours AS (SELECT oid, nspname, nspacl FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)')
        SELECT (SELECT array_agg((nspname, nspacl) ORDER BY nspname)::text FROM ours),
               (SELECT array_agg((nspname, relname, relkind, relacl, relrowsecurity, relforcerowsecurity, reloptions, relnatts)
                       ORDER BY nspname, relname)::text FROM pg_class c JOIN ours ON ours.oid = relnamespace),
               (SELECT array_agg((tablename, policyname, roles, cmd, qual, with_check) ORDER BY tablename, policyname)::text
                FROM pg_policies),
               (SELECT array_agg((proname, proacl) ORDER BY proname)::text FROM pg_proc JOIN ours ON ours.oid = pronamespace),
               (SELECT count(*) FROM pg_constraint),
               (SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
                WHERE datname = current_database())
    """).fetchone()
    assert found is not None
    return found


@cache
def _schema_of_template(server: postgres.Server) -> tuple[object, ...]:
    # Nobody may be connected to a template while it is copied.
    with (
        FileLock(Path(os.environ[_HOME]) / "template.lock"),
        psycopg.connect(_named(server.url, "twin_template"), autocommit=True) as connection,
    ):
        return _schema_of(connection)


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


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base model that is made in a second: a tiny Llama of some of Python's reference texts, barely trained."""
    if find_spec("trl") is None:
        pytest.skip("the extra `training` is not installed")
    from twin_core.models.stand_in import make_llama
    from twin_core.models.tiny_base import reference_texts

    folder: Path = tmp_path_factory.mktemp("base")
    make_llama(reference_texts()[:25], folder, card="{texts} {parameters}", seconds=None, steps=8)
    return str(folder)
