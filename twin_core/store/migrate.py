"""Runs the Alembic migrations, from any process and safely from several at once.

`twin up`, `twin demo` and every short command call `upgrade` when they open the stores; `twin migrate` calls it by
hand. A database-wide advisory lock makes the second caller wait and then find nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

import twin_core
from twin_core.store.database import sqlalchemy_url

_LOCK = 0x7477696E  # "twin"


def _folder() -> Path:
    package = Path(twin_core.__file__).parent
    packaged = package / "_migrations"
    return packaged if packaged.is_dir() else package.parent / "migrations"


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_folder()))
    config.attributes["connection"] = connection
    return config


def newest() -> str:
    """The revision that this version of the code needs."""
    config = Config()
    config.set_main_option("script_location", str(_folder()))
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None
    return head


def current(connection: Connection) -> str | None:
    """The revision that the database is at, or None when it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(url: str, revision: str = "head") -> str | None:
    """Bring the database at `url` (of its owner) up to `revision`. Returns the revision it is at afterwards."""
    return _run(url, revision, command.upgrade)


def downgrade(url: str, revision: str = "base") -> str | None:
    """Take the database back to `revision`; `base` removes every table of the product, with its rows."""
    return _run(url, revision, command.downgrade)


def _run(url: str, revision: str, step: Callable[[Config, str], None]) -> str | None:
    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool)
    try:
        with engine.connect() as lock, engine.connect() as connection:
            lock.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            step(_config(connection), revision)
            connection.commit()
            return current(connection)
    finally:
        engine.dispose()
