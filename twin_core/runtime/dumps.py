"""Dumping the twin's database and restoring a dump beside it, with PostgreSQL's own programs.

A dump is restored into a draft database; only when all of it is there and right is the draft put in the place of the
old one. What goes into a backup, and what must be forgotten again before anybody sees it, is in `twin_core/backup.py`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.runtime.embedded import program
from twin_core.runtime.urls import url_for
from twin_core.settings import CONNECT_SECONDS, Settings

_DRAFT = "_restoring"


def dump(settings: Settings, to: Path) -> None:
    """Write a dump of the twin's database (custom format). Raises ServiceUnavailable when it cannot be made."""
    url = url_for(settings)
    # Who is held by row-level security can dump only by statements, which takes longer.
    held = [] if _passes_policies(url) else ["--enable-row-security", "--inserts", "--rows-per-insert=200"]
    _run("pg_dump", "--format=custom", "--no-owner", *held, f"--file={to}", f"--dbname={url}")


def restore_beside(settings: Settings, dumped: Path) -> str:
    """Restore a dump into a draft database on the same server and return that one's URL.

    Raises InvalidInput when the login may make no database, ServiceUnavailable when the dump cannot be restored.
    """
    url = url_for(settings)
    draft = _beside(url, _DRAFT)
    try:
        with _server(url) as connection:
            name = sql.Identifier(_name(draft))
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    except psycopg.errors.InsufficientPrivilege as error:
        raise InvalidInput(
            "The login of TWIN_DATABASE_URL may not create a database, and a backup is restored into a new one first. Let "
            "it (ALTER ROLE ... CREATEDB), then try again."
        ) from error
    held = [] if _passes_policies(url) else ["--enable-row-security"]
    _run("pg_restore", "--exit-on-error", "--no-owner", *held, f"--dbname={draft}", str(dumped))
    return draft


def put_in_place(settings: Settings) -> None:
    """Put the draft in the place of the twin's database, which goes. Ends the connections of both."""
    url = url_for(settings)
    here, draft = sql.Identifier(_name(url)), sql.Identifier(_name(_beside(url, _DRAFT)))
    with _server(url) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(here))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [_name(url) + _DRAFT]
        )
        connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(draft, here))


def drop_draft(settings: Settings) -> None:
    """Remove the draft of a restore that came to nothing."""
    url = url_for(settings)
    with _server(url) as connection:
        draft = sql.Identifier(_name(_beside(url, _DRAFT)))
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(draft))


def _passes_policies(url: str) -> bool:
    with psycopg.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
        row = connection.execute(
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    return bool(row and row[0])


def _server(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url, dbname="postgres", autocommit=True, connect_timeout=CONNECT_SECONDS)


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _beside(url: str, suffix: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path + suffix))


def _run(name: str, *arguments: str) -> None:
    # The URL may hold a password, which a process list would show: programs take it from the environment instead.
    url = next(argument for argument in arguments if argument.startswith("--dbname=")).removeprefix("--dbname=")
    parts = urlsplit(url)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    if parts.password is not None:
        from urllib.parse import unquote

        environment["PGPASSWORD"] = unquote(parts.password)
        url = urlunsplit(parts._replace(netloc=f"{parts.username}@{parts.netloc.rpartition('@')[2]}"))
    shown = [f"--dbname={url}" if argument.startswith("--dbname=") else argument for argument in arguments]
    done = subprocess.run(
        (str(program(name)), *shown),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = " | ".join(done.stderr.strip().splitlines()[-3:])
        raise ServiceUnavailable(f"{name} failed: {said or f'exit code {done.returncode}'}")
