"""The stand-in: made from text in seconds, once per text, readable by any tool, labelled for what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twin_core.errors import InvalidInput
from twin_core.models import local_server
from twin_core.models.stand_in import ensure_stand_in, name_of
from twin_core.settings import Settings

TEXTS = [f"Note {number}. Nobody wants backups; everybody wants to restore. I restore one every month.\n\n" * 4
         for number in range(12)]  # fmt: skip


def test_the_name_depends_on_the_texts_and_not_on_their_order() -> None:
    assert name_of(TEXTS) == name_of(TEXTS[::-1])
    assert name_of(TEXTS) != name_of([*TEXTS, "One more."])


def test_too_little_text_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="TWIN_BASE_MODEL"):
        ensure_stand_in(["Short."], tmp_path)


def test_without_a_model_there_is_no_server_to_start_and_it_says_why(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, _env_file=None)
    assert local_server.command(settings) is None
    assert "none yet" in (local_server.missing(settings) or "")
    elsewhere = settings.model_copy(update={"llm_url": "http://127.0.0.1:1"})
    assert "TWIN_LLM_URL" in (local_server.missing(elsewhere) or "")


@pytest.mark.slow
def test_a_stand_in_is_made_once_and_says_what_it_is(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    told: list[tuple[int, int]] = []
    made = ensure_stand_in(
        TEXTS, tmp_path / "models", seconds=2, progress=lambda done, total: told.append((done, total))
    )
    assert json.loads((made / "config.json").read_text())["llm_twin_stand_in"] is True
    assert "not of the writing" in (made / "README.md").read_text()
    assert told[-1] == (2, 2)
    before = (made / "model.safetensors").stat().st_mtime_ns
    assert ensure_stand_in(TEXTS[::-1], tmp_path / "models", seconds=2) == made
    assert (made / "model.safetensors").stat().st_mtime_ns == before

    settings = Settings(home=tmp_path, llm_port=1, _env_file=None)
    assert local_server.served_model(settings) == "stand-in"
    command = local_server.command(settings)
    assert command is not None
    assert command[-4:] == ["stand-in", "127.0.0.1", "1", str(tmp_path / "models")]

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What do you restore?"}], tokenize=False, add_generation_prompt=True
    )
    assert prompt == "<|user|>What do you restore?<|end|>\n<|assistant|>"
