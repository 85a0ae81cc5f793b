"""One job for the training process: everything that it must know, as JSON without a word of anybody's text.

The process reads the examples themselves from the database, so forgetting has one place less to reach.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from twin_core.errors import InvalidInput
from twin_core.training.config import TINY, TrainingConfig

TRAINING_VERSION = "1"
"""Raise it when the same job gives other weights: its checkpoints of before are then not gone on from."""
_NOT_WEIGHTS = {"save_every", "log_every", "shape"}

Kind = Literal["sft", "dpo"]


class Tracking(BaseModel):
    """Where MLflow keeps the run. The store's address comes by the environment: it may hold a password."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    parent_run_id: str | None = None


class Job(BaseModel):
    """What the process is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempt_id: UUID
    author_id: UUID
    author_slug: str
    kind: Kind
    profile: str = TINY
    """Where the configuration came from: the name under which a search stores what it finds."""
    config: TrainingConfig
    base: str
    version_id: str
    fraction: float = 1.0
    parent_id: str | None = None
    folder: Path
    resume: bool = True
    parent_pid: int
    """Ours ends when this process does."""
    tracking: Tracking | None = None


def job_hash(
    kind: Kind, config: TrainingConfig, *, base: str, version_id: str, fraction: float, parent_id: str | None
) -> str:
    """The same for two jobs that give the same weights."""
    said = {
        "version": TRAINING_VERSION,
        "kind": kind,
        "config": config.model_dump(mode="json", exclude=_NOT_WEIGHTS),
        "base": base,
        "dataset": version_id,
        "fraction": fraction,
        "parent": parent_id,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def read_job(path: Path) -> Job:
    """The job in a file. Raises InvalidInput."""
    try:
        return Job.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no job {path}. Jobs are written by `twin train`.") from error
    except ValidationError as error:
        raise InvalidInput(f"{path} is no job of this version: {error.errors(include_url=False)[0]['msg']}.") from error
