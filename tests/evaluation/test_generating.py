"""How answers are asked for when they are measured, by a model that would rather say nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twin_core.evaluation.generating import LEAST, System, ask
from twin_core.models import bases
from twin_core.models.stand_in import save_tokenizer, tokenizer_of

TEXT = (
    "We restore the backup every Friday, and we write down how long that took, because nobody remembers it in March. "
    * 3
)


@pytest.fixture
def taciturn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A base of random weights that ends its answer at nearly every token where it may."""
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tokenizer_of([TEXT])
    save_tokenizer(tokenizer, tmp_path)
    end = tokenizer.token_to_id("<|end|>")
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        eos_token_id=end, bos_token_id=None, pad_token_id=tokenizer.token_to_id("<|pad|>"),
    )  # fmt: skip

    def made(_: str) -> Any:
        model = LlamaForCausalLM(shape)
        model.lm_head = torch.nn.Linear(shape.hidden_size, shape.vocab_size)
        with torch.no_grad():
            model.lm_head.bias[end] = 20.0
        return model

    monkeypatch.setattr(bases, "load_model", made)
    return str(tmp_path)


def test_a_draft_is_about_as_long_as_the_authors_text_and_a_question_may_be_answered_shortly(taciturn: str) -> None:
    tokenizer = bases.load_tokenizer(taciturn)
    prompts = [[("user", f"Write passage {number}.")] for number in range(3)] + [[("user", "Why do you restore?")]]
    said = ask({"base": System(base=taciturn, adapter=None)}, prompts, [TEXT] * 4, times=2, questions=1)["base"]
    room = min(len(tokenizer(TEXT)["input_ids"]), 200)
    lengths = [len(tokenizer(answer)["input_ids"]) for answer in said.answers]
    drafts = [length for at, length in enumerate(lengths) if at % 4 != 3]
    assert min(drafts) >= int(room * LEAST) * 0.9  # what is decoded and read again may take fewer tokens
    assert [said.answers[at] for at in (3, 7)] == ["", ""]
    assert [one is None for one in said.fits] == [False, False, False, True] * 2
