"""The connection to Postgres: engines, transactions, the author of a transaction, the lock of an author.

Everything that runs SQL takes a `Connection` opened here. What the SQL says lives in the sibling modules, one per
subject; which server it is, in `runtime/postgres.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
from pgvector.psycopg import register_vector
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from twin_core.errors import ServiceUnavailable
from twin_core.settings import CONNECT_SECONDS

DEPLOYMENTS = 7_203_541
"""Key of an advisory lock; authors' keys are the beginnings of random ids."""


def sqlalchemy_url(url: str) -> str:
    """A libpq URL with SQLAlchemy's dialect name: `postgresql://…` becomes `postgresql+psycopg://…`."""
    scheme, rest = url.split("://", 1)
    return f"{scheme.split('+')[0].replace('postgres', 'postgresql', scheme == 'postgres')}+psycopg://{rest}"


class Database:
    """One Postgres database as one login. Cheap to make; connections open on first use and are pooled."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = url
        self.engine: Engine = create_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=8,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_SECONDS},
        )
        event.listen(self.engine, "connect", _prepare)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction over all authors: for pipelines, whose queries name the author themselves."""
        with _reachable(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def as_author(self, author_id: UUID) -> Iterator[Connection]:
        """A transaction that row-level security holds to one author. What the API uses for everything."""
        with _reachable(), self.engine.begin() as connection:
            connection.execute(text("SELECT set_config('app.author_id', :id, true)"), {"id": str(author_id)})
            yield connection

    @contextmanager
    def author_lock(self, author_id: UUID) -> Iterator[None]:
        """Hold the author's advisory lock: two runs of one author never interleave. The second one waits.

        A session lock on a connection of its own: it survives the transactions of the run and ends with the
        process, however the process ends.
        """
        with self._held(int.from_bytes(author_id.bytes[:8], "big", signed=True)):
            yield

    @contextmanager
    def deployment_lock(self) -> Iterator[None]:
        """Hold the lock under which adapters are brought up, one at a time for all authors: they share servers and memory."""
        with self._held(DEPLOYMENTS):
            yield

    @contextmanager
    def _held(self, key: int) -> Iterator[None]:
        with _reachable(), self.engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
            connection.commit()
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
                connection.commit()

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def psycopg_connection(connection: Connection) -> psycopg.Connection[tuple[object, ...]]:
    """The psycopg connection underneath, inside the same transaction: for COPY."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _prepare(driver: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection = driver.driver_connection if hasattr(driver, "driver_connection") else driver
    assert isinstance(connection, psycopg.Connection)
    connection.autocommit = True
    row = connection.execute("SELECT 1 FROM pg_type WHERE typname = 'halfvec'").fetchone()
    if row:  # a database that was never migrated has no vector type yet
        register_vector(connection)
    connection.autocommit = False


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if error.connection_invalidated or not getattr(error.orig, "sqlstate", None):
            first = str(error.orig).strip().splitlines()[0]
            raise ServiceUnavailable(
                f"Postgres does not answer ({first}). Start it with `twin up`, or check TWIN_DATABASE_URL."
            ) from error
        raise
