"""The bench that the stories of the stages are told on."""

from __future__ import annotations

import pytest

from tests.features.scenario import Bench
from twin_core.collect import run
from twin_core.models.tokenizer import TokenCounter, token_counter
from twin_core.settings import Settings
from twin_core.store.database import Database


@pytest.fixture
def bench(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(database, settings)
    monkeypatch.setattr(run, "collector_for", lambda platform: made.collector)
    return made


@pytest.fixture(scope="session")
def counter() -> TokenCounter:
    return token_counter(Settings(_env_file=None))
