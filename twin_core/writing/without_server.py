"""Answers of a base or an adapter without a server, many at once: what evaluation and preferences need.

`answers` wants a process that may hold a model; `written_apart` starts one and is for those that may not.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twin_core.errors import TwinError
from twin_core.models import bases
from twin_core.runtime.apart import run_apart
from twin_core.runtime.parent import end_with_parent
from twin_core.settings import Settings
from twin_core.settings import settings as settings_of_process

TEMPERATURE = 0.7
BATCH = 32
"""Answers written at once: what a model of eight billion parameters has room for beside its weights on a GPU of 40 GB."""
DEFAULT_WINDOW = 1024
"""Tokens a model sees at once, where its configuration does not say less."""

Messages = Sequence[tuple[str, str]]


def placed(model: Any) -> Any:
    """The model on the best device there is."""
    import torch

    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def templated(tokenizer: Any, prompts: Sequence[Messages]) -> list[str]:
    """Prompts, turns of (role, content), as the model reads them, up to where its answer begins."""
    return [
        tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in turns], tokenize=False, add_generation_prompt=True
        )
        for turns in prompts
    ]


def answers(model: Any, tokenizer: Any, asked: Sequence[str], rooms: Sequence[int], *, least: float = 0.0) -> list[str]:
    """One answer per templated prompt, of at most as many tokens as its room, and of at least that share of the smallest room in its
    batch. Prompts with rooms alike are asked together; the seed of a batch is its place.
    """
    window = getattr(model.config, "max_position_embeddings", None) or DEFAULT_WINDOW
    prompts = tokenizer(list(asked), add_special_tokens=False)["input_ids"]
    order = sorted(range(len(asked)), key=lambda at: (rooms[at], len(prompts[at])))
    found = [""] * len(asked)
    for seed, start in enumerate(range(0, len(order), BATCH)):
        lot = order[start : start + BATCH]
        longest, shortest = rooms[lot[-1]], int(rooms[lot[0]] * least)
        given = [prompts[at][-(window - longest) :] for at in lot]
        for at, tokens in zip(
            lot, _written(model, tokenizer, given, least=shortest, most=longest, seed=seed), strict=True
        ):
            found[at] = str(tokenizer.decode(tokens[: rooms[at]], skip_special_tokens=True)).strip()
    return found


def _written(model: Any, tokenizer: Any, prompts: list[list[int]], *, least: int, most: int, seed: int) -> Any:
    """The tokens after each prompt."""
    import torch

    given = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt").to(model.device)
    torch.manual_seed(seed)
    with torch.inference_mode():
        made = model.generate(
            input_ids=given["input_ids"],
            attention_mask=given["attention_mask"],
            max_new_tokens=most,
            min_new_tokens=least or None,
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
    whole = getattr(inner, "_can_compile_fullgraph", False)
    return {"cache_implementation": "static", "disable_compile": True} if whole else {}


def written_apart(
    base: str,
    adapter: Path | None,
    prompts: Sequence[Messages],
    like: Sequence[str],
    *,
    within: float,
    settings: Settings,
) -> list[str]:
    """One answer per prompt, in a process of its own, about as long as the text in `like`: in tokens, `within` more or less.

    `base` is a `bases.base_name`; one that is made on the spot is made there. Raises TwinError with the reason when it could not be done.
    """
    job = {
        "base": base,
        "adapter": str(adapter) if adapter is not None else None,
        "prompts": [list(turns) for turns in prompts],
        "like": list(like),
        "within": within,
        "parent": os.getpid(),
    }
    said = run_apart(
        "twin_core.writing.without_server",
        settings=settings,
        failed="No answers could be written",
        given=json.dumps(job),
    )
    found: list[str] = json.loads(said)
    return found


def main() -> int:
    """The other process: a job as JSON on standard input, the answers as JSON on the last line of standard output."""
    job = json.load(sys.stdin)
    end_with_parent(job["parent"])
    try:
        base = bases.find_base(settings_of_process(), job["base"])
        tokenizer, model = bases.load_tokenizer(base), bases.load_model(base)
        if job["adapter"] is not None:
            model = bases.light(bases.attach(model, Path(job["adapter"])))
    except TwinError as error:
        print(error, file=sys.stderr)  # noqa: T201  the reason, for the process that asked
        return error.exit_code
    lengths = [len(ids) for ids in tokenizer(job["like"], add_special_tokens=False)["input_ids"]]
    rooms = [max(round(length * (1 + job["within"])), 1) for length in lengths]
    least = (1 - job["within"]) / (1 + job["within"])
    said = answers(placed(model).eval(), tokenizer, templated(tokenizer, job["prompts"]), rooms, least=least)
    print(json.dumps(said))  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
