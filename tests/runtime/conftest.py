"""Homes and ports for tests that start real services. Every server started through these is stopped again."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port
from twin_core.runtime import postgres
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="session")
def new_settings() -> Iterator[MakeSettings]:
    """Makes settings with a home and ports of their own. Not in tmp_path: its length is beyond a socket's path."""
    made: list[Settings] = []
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a database is made ten times faster there

    def make(**changes: Any) -> Settings:
        home = Path(tempfile.mkdtemp(prefix="twin-test-", dir=memory))
        values: dict[str, Any] = {"home": home / "home", "postgres_shared_buffers": "32MB"}
        for name in ("postgres", "api", "dagster", "dagster_code", "mlflow", "llm"):
            values[f"{name}_port"] = free_port()
        settings = Settings(_env_file=None, **(values | changes))
        made.append(settings)
        return settings

    yield make
    for settings in made:
        postgres.stop(settings)
        shutil.rmtree(settings.home.parent, ignore_errors=True)


@pytest.fixture(scope="session")
def embedded_server(new_settings: MakeSettings) -> Settings:
    """Settings of a running embedded Postgres with its three databases. Tests leave it running."""
    settings = new_settings()
    postgres.ensure_running(settings)
    postgres.create_databases(settings)
    return settings
