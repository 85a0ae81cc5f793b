"""Asks services whether they work, and the database what it holds. Reads only; starts nothing.

A probe answers one question: does this service do its work now? A process that is alive proves nothing, so each kind
of service has its own: an HTTP answer, an open port, a lock that is held, a heartbeat row.
"""

from __future__ import annotations

import fcntl
import http.client
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from twin_core.runtime import embedded, postgres
from twin_core.runtime.services import Service
from twin_core.runtime.state import SupervisorState, read_state
from twin_core.runtime.urls import url_for
from twin_core.settings import CONNECT_SECONDS, Settings

PROBE_SECONDS = 2.0
HEARTBEAT_SECONDS = 90
"""Dagster's daemons write a heartbeat every 30 s; three missed ones mean that nothing runs schedules."""


def works(service: Service) -> bool:
    """Whether the service does its work now."""
    if service.probe == "http":
        return http_answers(service.probe_target)
    if service.probe == "tcp":
        host, _, port = service.probe_target.rpartition(":")
        return port_answers(host.strip("[]"), int(port))
    if service.probe == "lock":
        return held(Path(service.probe_target))
    return _heart_beats(service.probe_target)


def http_answers(url: str, *, seconds: float = PROBE_SECONDS) -> bool:
    """Whether a GET is answered with success. Asked directly: a proxy has no business between two local processes."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=seconds)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def port_answers(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def held(lock: Path) -> bool:
    """Whether a process holds this file's lock."""
    try:
        with lock.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _heart_beats(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            row = connection.execute("SELECT max(timestamp) FROM daemon_heartbeats").fetchone()
    except psycopg.Error:
        return False
    if row is None or row[0] is None:
        return False
    return bool(time.time() - row[0].replace(tzinfo=UTC).timestamp() < HEARTBEAT_SECONDS)


def schema_revision(url: str) -> str | None:
    """The migration that the database is at; None when it was never migrated."""
    with psycopg.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStatus:
    """What the database says of itself. `authors` maps a slug to its counts."""

    running: bool
    embedded: bool
    place: str
    pid: int | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Database -> bytes."""
    revision: str | None = None
    newest_revision: str | None = None
    authors: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything `twin status` shows."""

    at: datetime
    home: str
    database: DatabaseStatus
    supervisor: SupervisorState | None


def status(settings: Settings) -> Status:
    """The state of services and database now. Starts nothing; takes well under a second."""
    home = str(settings.home.expanduser().resolve())
    return Status(at=datetime.now(UTC), home=home, database=database_status(settings), supervisor=read_state(settings))


def database_status(settings: Settings) -> DatabaseStatus:
    """Whether the database answers, how big it is, its schema revision, and what each author has in it."""
    own = settings.database_url is None
    where = psycopg.conninfo.conninfo_to_dict(url_for(settings))
    place = f"{where.get('host', 'localhost')}:{where.get('port', 5432)}"
    if not postgres.is_running(settings):
        return DatabaseStatus(running=False, embedded=own, place=place)
    from twin_core.store import migrate

    found = embedded.running(settings) if own else None
    sizes: dict[str, int] = {}
    revision, authors = None, {}
    try:
        with psycopg.connect(url_for(settings), connect_timeout=CONNECT_SECONDS) as connection:
            sizes = dict(connection.execute(_SIZES).fetchall())
        revision = schema_revision(url_for(settings))
        if revision is not None:
            authors = _counts_per_author(url_for(settings))
    except psycopg.OperationalError:  # the server answers, the database is not made yet
        pass
    return DatabaseStatus(
        running=True,
        embedded=own,
        place=place,
        pid=found.pid if found else None,
        sizes=sizes,
        revision=revision,
        newest_revision=migrate.newest(),
        authors=authors,
    )


_SIZES = """
    SELECT datname, pg_database_size(datname) FROM pg_database
    WHERE datname IN (current_database(), 'dagster', 'mlflow') AND has_database_privilege(datname, 'CONNECT')
    ORDER BY datname <> current_database(), datname
"""

_COUNTS = """
    SELECT a.slug,
           (SELECT count(*) FROM warehouse.sources x WHERE x.author_id = a.id),
           (SELECT count(*) FROM warehouse.documents x WHERE x.author_id = a.id AND x.state = 'live'),
           (SELECT count(*) FROM features.cleaned_documents x WHERE x.author_id = a.id),
           (SELECT count(*) FROM features.chunks x WHERE x.author_id = a.id),
           (SELECT count(*) FROM features.embeddings x WHERE x.author_id = a.id)
    FROM warehouse.authors a ORDER BY a.slug
"""


def _counts_per_author(url: str) -> dict[str, dict[str, int]]:
    names = ("sources", "documents", "cleaned", "chunks", "embeddings")
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            rows = connection.execute(_COUNTS).fetchall()
    except psycopg.errors.UndefinedTable:  # an older schema, which `twin up` will migrate
        return {}
    return {slug: dict(zip(names, counts, strict=True)) for slug, *counts in rows}
