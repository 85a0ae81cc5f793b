"""Answers and fit of several systems, over the prompts that the product serves.

Every system is asked the same prompts in the same batches with the same seeds, so that a difference between two is not one of luck
alone. A base is loaded once, however many adapters stand on it. Needs a process that may hold a model (`process.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin_core.evaluation.fit import DEFAULT_WINDOW, Fit, fit
from twin_core.models import bases

TEMPERATURE = 0.7
SHORTEST, LONGEST = 48, 200
"""Tokens of an answer: about as many as the author's text has, within these. Many short answers tell two models apart better than a
few long ones, and cost the same."""
BATCH = 32
"""Answers written at once: what a model of eight billion parameters has room for beside its weights on a GPU of 40 GB."""

Messages = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Something that answers: a base, with or without an adapter."""

    base: str
    adapter: Path | None


@dataclass(frozen=True, slots=True)
class Said:
    """What one system made of the prompts: all of them once, in their order, then again as often as was asked for."""

    answers: list[str]
    fits: list[Fit | None]
    """Of the references; None for a question."""


def ask(
    systems: Mapping[str, System],
    prompts: Sequence[Messages],
    references: Sequence[str],
    *,
    times: int = 1,
    questions: int = 0,
) -> dict[str, Said]:
    """Answers, and Fits of the references, of every system: one per prompt, `times` over. `prompts` are turns of (role, content).

    The last `questions` of them are questions: what the author wrote is not what they should be answered with, and has no Fit.
    """
    found: dict[str, Said] = {}
    for base in dict.fromkeys(one.base for one in systems.values()):
        tokenizer, model = bases.load_tokenizer(base), _placed(bases.load_model(base))
        for name, system in systems.items():
            if system.base != base:
                continue
            answering = model if system.adapter is None else _placed(bases.attach(model, system.adapter))
            found[name] = _said(answering.eval(), tokenizer, prompts, references, times=times, questions=questions)
            if hasattr(answering, "unload"):  # the adapter's layers come off, the base is as it was
                model = answering.unload()
    return {name: found[name] for name in systems}


def _placed(model: Any) -> Any:
    import torch

    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def _said(
    model: Any, tokenizer: Any, prompts: Sequence[Messages], references: Sequence[str], *, times: int, questions: int
) -> Said:
    asked = [
        tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in turns], tokenize=False, add_generation_prompt=True
        )
        for turns in prompts
    ]
    answers = _answers(model, tokenizer, asked * times, [*references] * times)
    drafts = len(asked) - questions
    fits = fit(model, tokenizer, references[:drafts], prompts=asked[:drafts])
    return Said(answers, [*fits, *[None] * questions] * times)


def _answers(model: Any, tokenizer: Any, asked: Sequence[str], references: Sequence[str]) -> list[str]:
    """One answer per prompt. Prompts that want answers of one length are asked together."""
    rooms = [
        min(max(len(ids), SHORTEST), LONGEST)
        for ids in tokenizer(list(references), add_special_tokens=False)["input_ids"]
    ]
    window = getattr(model.config, "max_position_embeddings", None) or DEFAULT_WINDOW
    prompts = tokenizer(list(asked), add_special_tokens=False)["input_ids"]
    order = sorted(range(len(asked)), key=lambda at: (rooms[at], len(prompts[at])))
    answers = [""] * len(asked)
    for seed, start in enumerate(range(0, len(order), BATCH)):
        lot = order[start : start + BATCH]
        longest = max(rooms[at] for at in lot)
        written = _written(model, tokenizer, [prompts[at][-(window - longest) :] for at in lot], longest, seed)
        for at, tokens in zip(lot, written, strict=True):
            answers[at] = str(tokenizer.decode(tokens[: rooms[at]], skip_special_tokens=True)).strip()
    return answers


def _written(model: Any, tokenizer: Any, prompts: list[list[int]], most: int, seed: int) -> Any:
    """At most so many tokens after each prompt."""
    import torch

    given = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt").to(model.device)
    torch.manual_seed(seed)
    with torch.inference_mode():
        made = model.generate(
            input_ids=given["input_ids"],
            attention_mask=given["attention_mask"],
            max_new_tokens=most,
            do_sample=True,
            temperature=TEMPERATURE,
            top_p=0.95,
            pad_token_id=tokenizer.pad_token_id,
            **_cache(model),
        )
    return made[:, given["input_ids"].shape[1] :]


def _cache(model: Any) -> dict[str, Any]:
    """A cache of fixed size, where the model can have one: the growing one is copied for every token, which takes longer than
    the model does. The answers are the same.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return (
        {"cache_implementation": "static", "disable_compile": True}
        if getattr(inner, "_can_compile_fullgraph", False)
        else {}
    )
