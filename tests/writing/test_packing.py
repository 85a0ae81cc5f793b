"""How much goes into a prompt: within the model's window, best first, offsets kept true."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.writing.test_prompts import PASSAGE
from twin_core.models.chat import Message
from twin_core.models.local_server import context_window
from twin_core.settings import Settings
from twin_core.writing.packing import answer_tokens, counter, fitting, recent

TEXT = "A sentence of the author about keeping backups. " * 40


@pytest.fixture
def small(tmp_path: Path) -> Settings:
    """Settings whose local model has a window of 1,024 tokens."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 1024}))
    return Settings(home=tmp_path, base_model=str(folder), _env_file=None)


def test_the_window_is_read_from_a_local_model_and_guessed_for_a_server(small: Settings) -> None:
    assert context_window(small) == 1024
    assert context_window(small.model_copy(update={"llm_url": "http://127.0.0.1:1"})) == 4096


def test_the_answer_gets_a_quarter_of_a_small_window_at_most(small: Settings) -> None:
    assert answer_tokens(small) == 256
    assert answer_tokens(small, 50) == 50
    assert answer_tokens(small, 100_000) == 256


def test_what_is_chosen_fits_and_leaves_room_for_the_answer(small: Settings) -> None:
    count = counter(small)
    passages = [
        replace(PASSAGE, text=f"{number} {'word ' * 60}", title=str(number), score=1 / (number + 1))
        for number in range(9)
    ]
    chosen = fitting(passages, settings=small, frame=["q" * 300], answer=256, most=6, count=count)
    assert 1 <= len(chosen) < 6
    assert sum(count(one.text) for one in chosen) + 256 + count("q" * 300) < 1024


def test_a_passage_too_long_for_the_window_is_cut_and_its_offsets_say_so(small: Settings) -> None:
    long = replace(PASSAGE, text=TEXT * 3, start=100, end=100 + len(TEXT * 3))
    (cut,) = fitting([long], settings=small, frame=[], answer=256, most=6, count=counter(small))
    assert TEXT.startswith(cut.text[:100])
    assert cut.end - cut.start == len(cut.text) < len(long.text)


def test_without_room_for_anything_there_is_nothing(small: Settings) -> None:
    long = replace(PASSAGE, text=TEXT)
    assert fitting([long], settings=small, frame=["x" * 3000], answer=256, most=6, count=counter(small)) == []


def test_the_latest_turns_of_a_conversation_are_kept(small: Settings) -> None:
    turns = [Message(role="user", content=f"{number} " + "x" * 300) for number in range(9)]
    kept = recent(turns, settings=small, count=counter(small))
    assert kept == turns[-len(kept) :]
    assert 0 < len(kept) < 9
