"""The model card of an adapter as it is shown: the one that training wrote, with what the scorecard found since."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from twin_core.errors import NotFound
from twin_core.models.adapter_files import read_card
from twin_core.promotion import Decision
from twin_core.store import registry
from twin_core.store.adapters import Adapter
from twin_core.store.files import FileStore, read_file
from twin_core.store.registry import Evaluation
from twin_core.training.card import LIMITS

SCORECARD = "## Scorecard"


def card_of(conn: Connection, author_id: UUID, adapter: Adapter, decision: Decision, files: FileStore) -> str:
    """The card of an adapter as it stands now. Raises NotFound when it was stored without one."""
    text = read_card(read_file(files, adapter.file_key))
    if text is None:
        raise NotFound(f"v{adapter.version} was stored without a model card.")
    evaluation = registry.latest_evaluation(conn, author_id, adapter.id)
    return text if evaluation is None else evaluated(text, evaluation, decision)


def evaluated(text: str, evaluation: Evaluation, decision: Decision) -> str:
    """The card with what the scorecard found and what the promotion rule makes of it: in its header, and in a section."""
    from huggingface_hub import EvalResult, ModelCard

    card = ModelCard(text, ignore_metadata_errors=True)
    header: Any = card.data
    header.model_name = f"adapter of {header.base_model}"
    header.eval_results = [
        EvalResult(
            task_type="text-generation",
            dataset_type="held-out-documents",
            dataset_name=f"{evaluation.documents} held-out documents of the author",
            metric_type=axis,
            metric_name=f"{axis}: difference from {rival}, 95 % interval {one.low:+.3f} to {one.high:+.3f}",
            metric_value=round(one.mean, 4),
        )
        for rival, axes in evaluation.against.items()
        for axis, one in axes.items()
    ]
    before, limits, after = card.text.partition(LIMITS)
    card.text = before.partition(SCORECARD)[0] + scorecard(evaluation, decision) + limits + after
    return str(card)


def scorecard(evaluation: Evaluation, decision: Decision) -> str:
    """The card's section of what was measured, and of what the promotion rule makes of it."""
    rows = [
        f"| {rival} | {axis} | {one.mean:+.3f} | {one.low:+.3f} to {one.high:+.3f} |"
        for rival, axes in evaluation.against.items()
        for axis, one in axes.items()
    ]
    return f"""{SCORECARD}

Measured on {evaluation.at:%Y-%m-%d} on {evaluation.documents} held-out documents; differences, higher is better. The promotion rule says
**{decision.verdict.value}**: {" ".join(decision.reasons)}

| against | axis | difference | 95 % interval |
|---|---|---|---|
{chr(10).join(rows)}

"""
