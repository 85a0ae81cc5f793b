"""The model card that goes with an adapter: what it is, on whose consent, on which data, how it measured, what it is not for.

Written by huggingface_hub's ModelCard, whose header other tools read. It holds names, counts and figures and no text. A card inside a
stored file is not rewritten: what the scorecard finds later is in the registry, and is put in where the card is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twin_core.models import bases
from twin_core.records import Author, Source
from twin_core.store.datasets import Version
from twin_core.training.arguments import Trained
from twin_core.training.config import flat
from twin_core.training.job import Job

LIMITS = "## Limits"
"""The section before which a scorecard is put in."""


def write(job: Job, made: Trained, *, author: Author, sources: Sequence[Source], version: Version, code: str) -> Path:
    """Write README.md beside the weights."""
    from huggingface_hub import ModelCard, ModelCardData

    data = ModelCardData(
        base_model=bases.shown(job.base),
        library_name="peft" if job.config.peft != "none" else "transformers",
        language=author.language,
        pipeline_tag="text-generation",
        tags=["llm-twin", job.kind, job.config.peft],
    )
    card = ModelCard(
        f"---\n{data.to_yaml()}\n---\n\n{_text(job, made, author=author, sources=sources, version=version, code=code)}"
    )
    path = made.folder / "README.md"
    card.save(path)
    return path


def _text(job: Job, made: Trained, *, author: Author, sources: Sequence[Source], version: Version, code: str) -> str:
    method = {
        "sft": "supervised fine-tuning on the author's passages, the loss on those alone",
        "dpo": f"direct preference optimisation (beta {job.config.preference.beta:g}) from the SFT adapter {(job.parent_id or '')[:12]}",
    }[job.kind]
    settings = job.config.model_dump(mode="json", exclude={"shape"}) | {"base": bases.shown(job.base)}
    return f"""# {author.name}: a twin's adapter ({job.kind.upper()})

Writes in the manner of one person, from that person's own published and exported texts. Base: `{bases.shown(job.base)}`
(`{made.base_hash}`). Made by {method}, with LLM Twin {code}.

## Consent

{_consent(sources)}

## Data

Dataset version `{version.id}`, of which {job.fraction:.0%} of the train split: {int(made.figures["rows"])} examples
({made.rows.cut} shortened, {made.rows.left_out} left out for their length), {int(made.figures["answer_tokens"])} tokens of the
author's text. The newest documents are held out. The author's text is always the answer; what a model wrote is only ever rejected.

## Evaluation

{_table(_measured(made.figures))}

Loss on {int(made.figures.get("held_out_rows", 0))} held-out examples is a first look. Whether it sounds like the author, and is right, is
in the scorecard of this version, without which it is not promoted.

{LIMITS}

- It may state what the author never said. Drafts are for the author to read, correct and answer for.
- It may repeat sentences of the training text. The scorecard measures how far.
- Not for writing in this person's name without them, nor for telling who wrote something.
- A document that is forgotten later taints this adapter: the registry says so, this file cannot.
{"- The base proves the wiring and not the writing: it was made on the spot." if job.base.startswith("tiny-base") else ""}

## Settings

{_table(flat(settings))}
"""


def _consent(sources: Sequence[Source]) -> str:
    claimed = [(source, source.consent) for source in sources if source.consent is not None]
    if not claimed:
        return "No source with a recorded claim is left."
    lines = [
        f"- `{source.platform}` {bases.shown(source.locator)}: claimed as their own by {consent.claimed_by} on {consent.claimed_at:%Y-%m-%d} "
        f"({consent.proof})"
        for source, consent in claimed
    ]
    return "Every source was claimed by a person as their own writing:\n\n" + "\n".join(lines)


def _measured(figures: Mapping[str, float]) -> dict[str, Any]:
    shown = {
        "loss",
        "held_out_loss",
        "held_out_preferred",
        "steps",
        "tokens",
        "seconds",
        "tokens_per_second",
        "peak_memory",
    }
    return {name: value for name, value in figures.items() if name in shown}


def _table(values: Mapping[str, Any]) -> str:
    rows = [
        f"| {name} | {value:,.4g} |" if isinstance(value, float) else f"| {name} | {value} |"
        for name, value in values.items()
    ]
    return "\n".join(["| | |", "|---|---|", *rows])
