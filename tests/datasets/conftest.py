"""The author whose datasets are built."""

from __future__ import annotations

import pytest

from tests.datasets.scenario import Writer
from twin_core.collect import run
from twin_core.settings import Settings
from twin_core.store.database import Database


@pytest.fixture
def writer(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Writer:
    made = Writer(database, settings)
    monkeypatch.setattr(run, "collector_for", lambda platform: made.collector)
    return made
