"""The search: declared space, the profile's own settings first, killed and gone on, best kept as the author's defaults."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.training.scenario import instruct, passages, publish, quick
from twin_core.errors import InvalidInput
from twin_core.settings import Settings
from twin_core.store import adapters
from twin_core.store.database import Database
from twin_core.training import launch
from twin_core.training.config import TrainingConfig, load_config
from twin_core.training.process import run_search
from twin_core.training.search import Range, changed, search, space, validation_split

CONFIG = load_config("tiny")
SPACE = {"learning_rate": Range(1e-4, 1e-2), "rank": [8, 16, 32]}


def bowl(config: TrainingConfig, folder: Path) -> float:
    """Best at a rate of 1e-3 and rank 16."""
    folder.mkdir(parents=True)
    return abs(math.log10(config.learning_rate) + 3) + abs(config.rank - 16) / 16


def test_the_best_of_the_trials_is_found_and_is_never_worse_than_the_profile(tmp_path: Path):
    found = search("sft", CONFIG, tmp_path, bowl, trials=12, tried=SPACE)
    assert found.trials == 12
    assert found.score < bowl(CONFIG, tmp_path / "own")
    assert found.changes["alpha"] == 2 * found.changes["rank"], "the ratio of the profile"
    assert load_config("tiny", found.changes).rank == found.changes["rank"]
    assert not list(tmp_path.glob("trial-*"))


def test_a_search_that_was_killed_goes_on_where_it_was(tmp_path: Path):
    measured = []

    def dies(config: TrainingConfig, folder: Path) -> float:
        measured.append(config.learning_rate)
        if len(measured) == 4:
            raise KeyboardInterrupt
        return bowl(config, folder)

    with pytest.raises(KeyboardInterrupt):
        search("sft", CONFIG, tmp_path, dies, trials=6, tried=SPACE)
    assert search("sft", CONFIG, tmp_path, dies, trials=6, tried=SPACE).trials == 6
    assert len(measured) == 4 + 3


def test_beta_is_searched_for_dpo():
    assert "preference.beta" in space("dpo", CONFIG)
    assert changed(CONFIG, {"preference.beta": 0.5}).preference.beta == 0.5
    assert "rank" not in space("sft", CONFIG.model_copy(update={"peft": "none"}))


def test_validation_takes_whole_documents_of_the_train_split():
    frame = instruct(passages("demo/articles"))
    train, validation = validation_split(frame)
    assert train.height + validation.height == frame.height
    assert not set(train["document_id"]) & set(validation["document_id"])
    assert 0.1 < len(set(validation["document_id"])) / len(set(frame["document_id"])) < 0.3
    with pytest.raises(InvalidInput, match="two documents"):
        validation_split(instruct([("one", "A passage."), ("one", "Another.")]))


def test_one_trial_is_no_search(tmp_path: Path):
    with pytest.raises(InvalidInput, match="at least 2"):
        search("sft", CONFIG, tmp_path, bowl, trials=1)


@pytest.mark.slow
def test_what_was_found_becomes_the_authors_defaults(database: Database, settings: Settings, base: str):
    ada, _ = publish(database, "ada", passages("demo/articles"))
    job = launch.open_job(database, ada, "sft", quick(base=base, max_steps=1), settings=settings)
    found = run_search(database, job, 2, here=settings, tell=lambda _: None)
    assert found.score > 0
    config = launch.config_for(database, ada, "tiny", settings=settings)
    assert {name: getattr(config, name) for name in found.changes} == found.changes
    assert launch.config_for(database, ada, "tiny", {"rank": 2}, settings=settings).rank == 2
    with database.transaction() as conn:
        assert adapters.find_attempt(conn, job.attempt_id).state == "done"
        assert adapters.list_adapters(conn, ada.id) == []
