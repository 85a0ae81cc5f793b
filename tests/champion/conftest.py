"""An author's bench, and a server that loads adapters, for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.champion.lora_server import LoraServer
from tests.champion.scenario import Bench
from twin_core.settings import Settings
from twin_core.store.database import Database


@pytest.fixture
def engine() -> Iterator[LoraServer]:
    server = LoraServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def settings(database_url: str, tmp_path: Path, engine: LoraServer) -> Settings:
    return Settings(
        database_url=database_url,
        home=tmp_path / "home",
        role_secret="test secret",
        llm_url=engine.url,
        llm_engine="vllm",
        llm_model="base",
        llm_adapters=tmp_path / "adapters",
        mlflow_url="off",
        _env_file=None,
    )


@pytest.fixture
def bench(database: Database, settings: Settings) -> Bench:
    return Bench(database, settings)
