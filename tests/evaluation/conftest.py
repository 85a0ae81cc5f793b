"""A judge per test, and a style model that is small enough to be made on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evaluation.judging_server import JudgingServer
from tests.evaluation.tiny_style_model import make_style_model
from twin_core.settings import Settings


@pytest.fixture
def judge_server() -> Iterator[JudgingServer]:
    server = JudgingServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def judged_settings(judge_server: JudgingServer, tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path,
        judge_model="strict-7b",
        judge_url=judge_server.url,
        llm_connect_seconds=10,
        llm_first_token_seconds=30,
        _env_file=None,
    )


@pytest.fixture(scope="session")
def style_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_style_model(tmp_path_factory.mktemp("style"))
