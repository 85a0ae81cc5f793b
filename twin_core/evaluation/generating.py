"""Answers and fit of one model with one adapter, over the prompts that the product serves.

The same seed per prompt for every system, so that a difference between two is not one of luck alone. Needs a process that may
hold a model (`process.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twin_core.evaluation.fit import DEFAULT_WINDOW, Fit, fit
from twin_core.models import bases

TEMPERATURE = 0.7
SHORTEST, LONGEST = 48, 320
"""Tokens of an answer: about as many as the author's text has, within these."""

Messages = Sequence[tuple[str, str]]


def answers_and_fits(
    base: str, adapter: Path | None, prompts: Sequence[Messages], references: Sequence[str]
) -> tuple[list[str], list[Fit]]:
    """One answer and one Fit of the reference per prompt, in order. `prompts` are turns of (role, content)."""
    tokenizer = bases.load_tokenizer(base)
    model: Any = bases.load_model(base)
    if adapter is not None:
        model = bases.attach(model, adapter)
    model.eval()
    said = [
        tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in turns], tokenize=False, add_generation_prompt=True
        )
        for turns in prompts
    ]
    answers = [
        _answer(model, tokenizer, prompt, reference, seed)
        for seed, (prompt, reference) in enumerate(zip(said, references, strict=True))
    ]
    return answers, fit(model, tokenizer, references, prompts=said)


def _answer(model: Any, tokenizer: Any, prompt: str, reference: str, seed: int) -> str:
    import torch

    count = len(tokenizer(reference, add_special_tokens=False)["input_ids"])
    room = min(max(count, SHORTEST), LONGEST)
    window = getattr(model.config, "max_position_embeddings", None) or DEFAULT_WINDOW
    tokens = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"][:, -(window - room) :]
    tokens = tokens.to(model.device)
    torch.manual_seed(seed)
    with torch.inference_mode():
        made = model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=room,
            do_sample=True,
            temperature=TEMPERATURE,
            top_p=0.95,
            pad_token_id=tokenizer.pad_token_id,
        )
    return str(tokenizer.decode(made[0, tokens.shape[1] :], skip_special_tokens=True)).strip()
