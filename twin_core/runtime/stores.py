"""Opens the stores that a command, an asset or the API works on: Postgres, migrated, and the warehouse.

The one place that decides between the two warehouses. Which server it is and how it starts is in `postgres.py`;
what is asked of the stores is in `store/` and `warehouse/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from twin_core.errors import ServiceUnavailable
from twin_core.runtime import postgres
from twin_core.runtime.urls import role_password, url_for
from twin_core.settings import CONNECT_SECONDS, Settings
from twin_core.store import migrate
from twin_core.store.database import Database
from twin_core.warehouse.protocol import Warehouse


@dataclass(frozen=True, slots=True)
class Stores:
    """The open stores. Close them when done; connections are pooled and opened on first use."""

    database: Database
    warehouse: Warehouse

    def close(self) -> None:
        """Close every connection of both."""
        self.warehouse.close()
        self.database.close()


def open_stores(settings: Settings, *, role: str | None = None) -> Stores:
    """The stores of these settings, with Postgres started where it is ours, and the schema brought up to date.

    `role` names a login other than the owner: "twin_api", which row-level security holds to one author per
    transaction. Raises ServiceUnavailable when a server that is not ours does not answer. MongoDB is asked only when
    it is first used, so that what needs no raw documents works without it.
    """
    postgres.ensure_running(settings)
    postgres.create_databases(settings)
    owner = url_for(settings)
    if _needs_migration(owner):
        migrate.upgrade(owner)
    if role is not None:
        _let_in(settings, owner, role)
    database = Database(url_for(settings, role=role))
    return Stores(database, open_warehouse(settings, database))


@contextmanager
def stores(settings: Settings, *, role: str | None = None) -> Iterator[Stores]:
    """`open_stores` for a `with` block: closed at its end."""
    opened = open_stores(settings, role=role)
    try:
        yield opened
    finally:
        opened.close()


def open_warehouse(settings: Settings, database: Database) -> Warehouse:
    """The warehouse that the settings name: MongoDB where there is a URL, else tables beside the rest."""
    if settings.mongo_url is None:
        from twin_core.warehouse.postgres import PostgresWarehouse

        return PostgresWarehouse(database)
    from twin_core.warehouse.mongo import MongoWarehouse

    return MongoWarehouse(settings.mongo_url.get_secret_value())


def _needs_migration(url: str) -> bool:
    with psycopg.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
        if connection.execute("SELECT to_regclass('public.alembic_version')").fetchone() == (None,):
            return True
        at = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return at is None or at[0] != migrate.newest()


def _let_in(settings: Settings, owner: str, role: str) -> None:
    """Give the role its derived password, when it cannot log in with it yet."""
    try:
        psycopg.connect(url_for(settings, role=role), connect_timeout=CONNECT_SECONDS).close()
    except psycopg.OperationalError as refused:
        password = role_password(settings, role)
        statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
        try:
            with psycopg.connect(owner, autocommit=True) as connection:
                connection.execute(statement)
            psycopg.connect(url_for(settings, role=role), connect_timeout=CONNECT_SECONDS).close()
        except psycopg.Error as error:
            raise ServiceUnavailable(
                f"The database role {role} cannot log in ({str(refused).strip().splitlines()[0]}). As an administrator "
                f"of the server run ALTER ROLE {role} LOGIN PASSWORD with the password that TWIN_ROLE_SECRET derives."
            ) from error
