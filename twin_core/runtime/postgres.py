"""The Postgres behind these settings, embedded or real: is it there, start it, stop it, make its databases.

One interface for both kinds, so that no caller asks which one it has. URLs come from `urls.py`, the embedded
server's process from `embedded.py`; tables come from the migrations.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.runtime import embedded
from twin_core.runtime.urls import Database, Dialect, role_password, socket_folder, url_for
from twin_core.settings import CONNECT_SECONDS, Settings

__all__ = [
    "Database",
    "Dialect",
    "Server",
    "create_databases",
    "ensure_running",
    "is_running",
    "role_password",
    "socket_folder",
    "stop",
    "url_for",
]

_DATABASES: tuple[Database, ...] = ("twin", "dagster", "mlflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A Postgres that answers. `url` is the libpq URL of the `twin` database as its owner."""

    host: str
    """A host name, or the folder of the socket."""
    port: int
    user: str
    embedded: bool
    url: str


def ensure_running(settings: Settings) -> Server:
    """The server of these settings, started when it is the embedded one and down.

    Idempotent and safe from several processes at once. Raises ServiceUnavailable when a server named by
    TWIN_DATABASE_URL does not answer (this product never starts that one), InvalidInput when the port is taken.
    """
    if settings.database_url is None:
        embedded.start(settings)
    else:
        _check_answers(settings)
    url = url_for(settings)
    parts = conninfo_to_dict(url)
    return Server(
        host=str(parts.get("host") or "localhost"),
        port=int(str(parts.get("port") or 5432)),
        user=str(parts.get("user") or ""),
        embedded=settings.database_url is None,
        url=url,
    )


def is_running(settings: Settings) -> bool:
    """Whether the server answers now. Starts nothing."""
    if settings.database_url is None:
        found = embedded.running(settings)
        return found is not None and found.ready
    try:
        _check_answers(settings)
    except ServiceUnavailable:
        return False
    return True


def stop(settings: Settings) -> bool:
    """Stop the embedded server; False when it did not run. A server named by TWIN_DATABASE_URL is left alone."""
    return settings.database_url is None and embedded.stop(settings)


def create_databases(settings: Settings) -> None:
    """Make the databases `twin`, `dagster` and `mlflow` where they are missing, on a server that answers.

    Dagster and MLflow both own a table named `runs`, hence one database each. Roles that people log in with have no
    business in those two, so the right to connect, which Postgres gives to everybody, is taken away there.
    Raises InvalidInput when the login may not create databases, saying what to do by hand.
    """
    for database in _DATABASES:
        url = url_for(settings, database=database)
        if not _exists(url):
            _create(url, closed=database != "twin")


def _check_answers(settings: Settings) -> None:
    try:
        psycopg.connect(url_for(settings), connect_timeout=CONNECT_SECONDS).close()
    except psycopg.errors.InvalidCatalogName:
        return
    except psycopg.OperationalError as error:
        if "does not exist" in str(error) and "database" in str(error):
            return
        raise ServiceUnavailable(
            f"Postgres does not answer at TWIN_DATABASE_URL: {_first_line(error)}. Start it or correct the URL; unset "
            f"the setting to use the embedded one."
        ) from error
    except psycopg.ProgrammingError as error:
        raise InvalidInput(f"TWIN_DATABASE_URL cannot be understood: {_first_line(error)}.") from error


def _exists(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=CONNECT_SECONDS).close()
    except psycopg.OperationalError as error:
        if "does not exist" in str(error) and "database" in str(error):
            return False
        raise ServiceUnavailable(f"Postgres does not answer: {_first_line(error)}.") from error
    return True


def _create(url: str, *, closed: bool) -> None:
    name = str(conninfo_to_dict(url)["dbname"])
    try:
        with psycopg.connect(url, dbname="postgres", autocommit=True, connect_timeout=CONNECT_SECONDS) as connection:
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                return
            if closed:
                connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise InvalidInput(
            f"The login of TWIN_DATABASE_URL may not create the database `{name}`. Create it by hand (CREATE DATABASE "
            f"{name}), or name another one in the settings."
        ) from error
    except psycopg.OperationalError as error:
        raise ServiceUnavailable(f"Postgres does not answer: {_first_line(error)}.") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
