"""One file says how to train, for every size; what it says wrongly is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from twin_core.errors import InvalidInput, NotFound
from twin_core.training.config import load_config, parse_config, profiles


def test_every_profile_can_be_read_and_the_smallest_comes_first():
    assert list(profiles()) == ["tiny", "0.5b", "8b", "14b", "32b", "70b"]
    for name in profiles():
        assert load_config(name).max_length >= 64


def test_a_family_is_switched_by_one_setting():
    llama, qwen = load_config("8b"), load_config("8b", {"base": "Qwen/Qwen3-8B"})
    assert qwen.base == "Qwen/Qwen3-8B"
    assert qwen.model_copy(update={"base": llama.base}) == llama


def test_changes_are_laid_over_the_profile_and_reach_inside(tmp_path: Path):
    changed = load_config("tiny", {"rank": 4, "preference": {"beta": 0.5}})
    assert (changed.rank, changed.preference.beta) == (4, 0.5)
    assert changed.preference.learning_rate == load_config("tiny").preference.learning_rate


def test_a_file_of_ones_own_is_a_profile_too(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("peft: none\nlearning_rate: 1.0e-5\n")
    assert load_config(str(path)).peft == "none"


def test_an_unknown_profile_names_those_there_are():
    with pytest.raises(NotFound, match=r"tiny, 0\.5b, 8b"):
        load_config("7b")


def test_each_wrong_value_is_named(tmp_path: Path):
    with pytest.raises(InvalidInput, match=r"rank: .*learning_rats: Extra inputs"):
        parse_config({"rank": 0, "learning_rats": 1}, where="mine.yaml")
    path = tmp_path / "broken.yaml"
    path.write_text("a: [")
    with pytest.raises(InvalidInput, match="not YAML"):
        load_config(str(path))
