"""A chat server per test, and settings that name it. Waits are long: a test that is about one sets its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models.chat_server import ChatServer
from twin_core.settings import Settings


@pytest.fixture
def engine() -> Iterator[ChatServer]:
    served = ChatServer()
    served.start()
    yield served
    served.stop()


@pytest.fixture
def chat_settings(engine: ChatServer, tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path,
        llm_url=engine.url,
        llm_engine="vllm",
        llm_model="someone-v1",
        llm_connect_seconds=10,
        llm_first_token_seconds=30,
        llm_idle_seconds=20,
        _env_file=None,
    )
