"""Answers and fit of several systems, over the prompts that the product serves.

Every system is asked the same prompts in the same batches with the same seeds, so that a difference between two is not one of luck
alone. A base is loaded once, however many adapters stand on it; on a processor, where they go into its weights, once for each.
Needs a process that may hold a model (`process.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin_core.evaluation.fit import Fit, fit
from twin_core.models import bases
from twin_core.writing.without_server import Messages, answers, placed, templated

SHORTEST, LONGEST = 48, 200
"""Tokens of an answer: about as many as the author's text has, within these. Many short answers tell two models apart better than a
few long ones, and cost the same."""


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
        tokenizer, model = bases.load_tokenizer(base), None
        for name, system in systems.items():
            if system.base != base:
                continue
            if model is None:
                model = placed(bases.load_model(base))
            answering = model if system.adapter is None else placed(bases.light(bases.attach(model, system.adapter)))
            found[name] = _said(answering.eval(), tokenizer, prompts, references, times=times, questions=questions)
            if hasattr(answering, "unload"):  # the adapter's layers come off, the base is as it was
                model = answering.unload()
            elif system.adapter is not None:  # the adapter is in the weights
                model = None
    return {name: found[name] for name in systems}


def _said(
    model: Any, tokenizer: Any, prompts: Sequence[Messages], references: Sequence[str], *, times: int, questions: int
) -> Said:
    asked = templated(tokenizer, prompts)
    rooms = [
        min(max(len(ids), SHORTEST), LONGEST)
        for ids in tokenizer(list(references), add_special_tokens=False)["input_ids"]
    ]
    said = answers(model, tokenizer, asked * times, rooms * times)
    drafts = len(asked) - questions
    fits = fit(model, tokenizer, references[:drafts], prompts=asked[:drafts])
    return Said(said, [*fits, *[None] * questions] * times)
