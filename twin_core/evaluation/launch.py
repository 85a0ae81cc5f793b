"""Starts an evaluation in a process of its own: for `twin evaluate` and for the Dagster asset, which hold no torch.

What the process does is in `process.py`.
"""

from __future__ import annotations

import json
import os
from uuid import UUID

from twin_core.records import Author
from twin_core.runtime.apart import run_apart
from twin_core.settings import Settings
from twin_core.store import registry
from twin_core.store.adapters import Adapter
from twin_core.store.database import Database
from twin_core.store.registry import Evaluation

ANSWERS = 96
"""By each system. Two samples of one model differ in style by as much as two texts of an author, so the mean of 60 is uncertain by a
third of a standard deviation; of 96 by a quarter."""


def run_evaluation(
    database: Database, author: Author, adapter: Adapter, *, settings: Settings, prompts: int = ANSWERS
) -> Evaluation:
    """Measure an adapter beside the base, the champion and another author's adapter; store figures and report.

    Raises TwinError with the reason when it could not be done; nothing is stored then.
    """
    job = {
        "author": str(author.id),
        "adapter": adapter.id,
        "prompts": prompts,
        "parent": os.getpid(),
    }
    made = run_apart("twin_core.evaluation.process", json.dumps(job), settings=settings, failed="The evaluation failed")
    with database.transaction() as conn:
        return registry.evaluation_by_id(conn, author.id, UUID(made))
