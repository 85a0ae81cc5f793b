"""Homes and ports for tests that start real services. Every server started through these is stopped again."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port
from twin_core.runtime import postgres
from twin_core.runtime.folders import folders
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
def made_data(new_settings: MakeSettings) -> Path:
    """The data folder of a server that was set up with its databases and stopped: copied, it saves seconds."""
    settings = new_settings()
    postgres.ensure_running(settings)
    postgres.create_databases(settings)
    postgres.stop(settings)
    return folders(settings).data


@pytest.fixture
def stopped_server(new_settings: MakeSettings, made_data: Path) -> Settings:
    """Settings of a home whose embedded Postgres was used before and is down: a home that was copied elsewhere."""
    settings = new_settings()
    folders(settings).postgres.mkdir(parents=True)
    subprocess.run(["cp", "-a", str(made_data), str(folders(settings).data)], check=True)
    return settings


@pytest.fixture(scope="session")
def embedded_server(new_settings: MakeSettings) -> Settings:
    """Settings of a running embedded Postgres with its three databases. Tests leave it running."""
    settings = new_settings()
    postgres.ensure_running(settings)
    postgres.create_databases(settings)
    return settings
