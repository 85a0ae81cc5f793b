"""Database URLs and the passwords of database roles, computed from settings without touching a server.

A URL must be the same in every process, so nothing here asks what happens to run: starting and checking is in
`postgres.py`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from twin_core.errors import InvalidInput
from twin_core.runtime.folders import folders, make_home
from twin_core.settings import Settings

Database = Literal["twin", "dagster", "mlflow"]
Dialect = Literal["libpq", "sqlalchemy", "psycopg2"]

OWNER = "postgres"
"""The login that owns everything in the embedded Postgres: a superuser, let in by peer authentication alone."""

SOCKET_PATH_BYTES = 103
"""Longest path of a Unix socket everywhere: 108 bytes on Linux, 104 on macOS, one of them the closing zero."""

_SCHEMES: dict[Dialect, str] = {
    "libpq": "postgresql",
    "sqlalchemy": "postgresql+psycopg",
    # Dagster and MLflow name no driver themselves, and SQLAlchemy 2.1 would take psycopg 3 for a bare URL.
    "psycopg2": "postgresql+psycopg2",
}


def socket_folder(settings: Settings) -> Path:
    """Where the embedded Postgres puts its socket: beside its data, or under /tmp when that path is too long.

    The short name is a hash of HOME, so that every process finds the same one and two homes never share it.
    """
    home = folders(settings)
    beside = home.postgres / "socket"
    longest = beside / f".s.PGSQL.{65535}"
    if len(os.fsencode(longest)) <= SOCKET_PATH_BYTES:
        return beside
    digest = hashlib.sha256(os.fsencode(home.postgres)).hexdigest()[:16]
    return Path("/tmp") / f"twin-{digest}"  # noqa: S108  a fixed name: TMPDIR differs between processes


def url_for(
    settings: Settings, *, database: Database = "twin", role: str | None = None, dialect: Dialect = "libpq"
) -> str:
    """The URL of one of the three databases, as its owner or as the named role with its derived password.

    `libpq` is what psycopg and the command-line tools take; `sqlalchemy` names psycopg 3; `psycopg2` is for Dagster
    and MLflow. Raises InvalidInput when a database setting is no Postgres URL.
    """
    setting, named = {
        "twin": ("TWIN_DATABASE_URL", settings.database_url),
        "dagster": ("TWIN_DAGSTER_DATABASE_URL", settings.dagster_database_url),
        "mlflow": ("TWIN_MLFLOW_DATABASE_URL", settings.mlflow_database_url),
    }[database]
    if named is not None:
        base = _parsed(named.get_secret_value(), setting)
        path = base.path if len(base.path) > 1 else f"/{database}"
    elif settings.database_url is not None:
        base = _parsed(settings.database_url.get_secret_value(), "TWIN_DATABASE_URL")
        path = f"/{database}"
    else:
        where = quote(str(socket_folder(settings)), safe="/")
        base = urlsplit(f"postgresql://{OWNER}@/?host={where}&port={settings.postgres_port}")
        path = f"/{database}"
    place = base.netloc
    if role is not None:
        login = f"{quote(role, safe='')}:{quote(role_password(settings, role), safe='')}"
        place = f"{login}@{base.netloc.rpartition('@')[2]}"
    return urlunsplit((_SCHEMES[dialect], place, path, base.query, ""))


def _parsed(url: str, setting: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme.partition("+")[0] not in {"postgres", "postgresql"}:
        raise InvalidInput(f"{setting} is not a Postgres URL. It looks like postgresql://user:password@host:5432/twin.")
    return parts


def role_password(settings: Settings, role: str) -> str:
    """The password of a database role: HMAC-SHA256 of its name under the role secret, in hex.

    Derived, so that no table of passwords exists: whoever has the secret can log in as any role, nobody else can,
    and changing the secret changes them all with the next migration.
    """
    return hmac.new(_role_secret(settings), role.encode(), hashlib.sha256).hexdigest()


def secret_for(settings: Settings, purpose: str) -> bytes:
    """32 bytes that only this installation can know, others for each purpose: for signing what it hands out."""
    return hmac.new(_role_secret(settings), f"for {purpose}".encode(), hashlib.sha256).digest()


def _role_secret(settings: Settings) -> bytes:
    if settings.role_secret is not None:
        return settings.role_secret.get_secret_value().encode()
    path = folders(settings).secrets / "role_secret"
    if not path.exists():
        _write_secret_once(make_home(settings).secrets / "role_secret")
    return path.read_bytes().strip()


def _write_secret_once(path: Path) -> None:
    """Write a fresh secret whole or not at all; of two processes the first one wins and both read the same."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32) + "\n")
    try:
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
