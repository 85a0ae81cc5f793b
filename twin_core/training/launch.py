"""Opens an attempt and says how its process is started: for `twin train`, for the Dagster assets, for the search.

What the process then does is in `process.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from twin_core.errors import InvalidInput, NotFound, Refused, TwinError
from twin_core.models import bases
from twin_core.models.bases import base_name
from twin_core.models.local_server import STAND_IN
from twin_core.records import Author, ExampleKind
from twin_core.runtime.folders import folders
from twin_core.runtime.services import child_environment
from twin_core.settings import Settings
from twin_core.store import adapters as store
from twin_core.store import datasets
from twin_core.store.adapters import Adapter
from twin_core.store.database import Database
from twin_core.store.datasets import Version
from twin_core.training.config import TINY, Shape, TrainingConfig, load_config
from twin_core.training.job import Job, Kind, Tracking, job_hash

KINDS: Mapping[Kind, ExampleKind] = {"sft": ExampleKind.INSTRUCT, "dpo": ExampleKind.PREFERENCE}


def open_job(
    database: Database,
    author: Author,
    kind: Kind,
    config: TrainingConfig,
    *,
    settings: Settings,
    profile: str = TINY,
    dataset: str | None = None,
    fraction: float = 1.0,
    parent: str | None = None,
    resume: bool = True,
    tracking: Tracking | None = None,
) -> Job:
    """Open an attempt of this process for the author and write its job.

    `dataset` is a version's id or its beginning, default the current one; `parent` the SFT adapter that DPO goes on from, default
    the newest. With `resume` the job goes on from checkpoints that an earlier attempt at the very same job left.
    Raises NotFound without a dataset or parent, Refused when one is tainted or the author is being trained already.
    """
    base = base_name(settings, config.base)
    with database.transaction() as conn:
        version = usable_version(
            datasets.resolve_version(conn, author.id, dataset)
            if dataset
            else datasets.current_version(conn, author.id, KINDS[kind]),
            kind,
        )
        before = _parent(conn, author, base, parent) if kind == "dpo" else None
        said = {
            "config": config.model_dump(mode="json", exclude={"shape"}),
            "base": base,
            "fraction": fraction,
            "parent": before.id if before else None,
        }
        digest = job_hash(
            kind, config, base=base, version_id=version.id, fraction=fraction, parent_id=before.id if before else None
        )
        attempt = store.open_attempt(
            conn, author_id=author.id, kind=kind, job_hash=digest, version_id=version.id, job=said
        )
    folder = folders(settings).home / "training" / str(author.id) / digest[:16]
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    job = Job(
        attempt_id=attempt,
        author_id=author.id,
        author_slug=author.slug,
        kind=kind,
        profile=profile,
        config=config,
        base=base,
        version_id=version.id,
        fraction=fraction,
        parent_id=before.id if before else None,
        folder=folder,
        resume=resume,
        parent_pid=os.getpid(),
        tracking=tracking,
    )
    job_file(job).write_text(job.model_dump_json(indent=2))
    return job


def usable_version(version: Version | None, kind: Kind) -> Version:
    """The version, when it can be trained on. Raises NotFound, InvalidInput, Refused."""
    if version is None:
        raise NotFound(
            "There is no dataset to train on yet. Build one: `twin dataset build`"
            + (" --kind preference." if kind == "dpo" else ".")
        )
    if version.kind != KINDS[kind]:
        raise InvalidInput(
            f"{kind.upper()} trains on {KINDS[kind]} examples; the version {version.id[:12]} holds {version.kind}."
        )
    if version.tainted_at is not None:
        raise Refused(
            f"A document of the dataset version {version.id[:12]} was forgotten on {version.tainted_at:%Y-%m-%d}. Build a new "
            f"one: `twin dataset build`."
        )
    return version


def _parent(conn: Connection, author: Author, base: str, named: str | None) -> Adapter:
    found = store.resolve_adapter(conn, author.id, named) if named else store.newest_adapter(conn, author.id, "sft")
    if found is None:
        raise NotFound("DPO goes on from an SFT adapter, and there is none yet: `twin train` first.")
    if found.kind != "sft" or found.base_model != base:
        raise InvalidInput(
            f"DPO goes on from an SFT adapter of the same base. v{found.version} is a {found.kind.upper()} adapter of "
            f"{found.base_model}; the base here is {base}."
        )
    if found.tainted_at is not None:
        raise Refused(
            f"The adapter v{found.version} saw a document that was forgotten since. Train anew: `twin train`."
        )
    return found


def job_file(job: Job) -> Path:
    """Where the job of an attempt is written."""
    return job.folder / f"job-{job.attempt_id}.json"


def config_for(
    database: Database, author: Author, profile: str, changes: Mapping[str, Any] | None = None, *, settings: Settings
) -> TrainingConfig:
    """The profile with what a search found best for the author, and `changes` on top of both.

    TWIN_BASE_MODEL goes before the profile's own base, because it is what serves; `changes` go before both.
    """
    with database.transaction() as conn:
        both = store.defaults_of(conn, author.id, profile)
    for name, value in (changes or {}).items():
        both[name] = {**both.get(name, {}), **value} if isinstance(value, Mapping) else value
    if settings.base_model != STAND_IN:
        both.setdefault("base", settings.base_model)
    config = load_config(profile, both)
    if config.base != load_config(profile).base:
        config = config.model_copy(update={"shape": None})
    return config


def shape_for(config: TrainingConfig) -> Shape | None:
    """The size of the base: its own where it lies on this machine, else what the configuration says."""
    said = bases.shape_of(config.base) if config.base else bases.TINY_SHAPE
    return Shape.model_validate(said) if said else config.shape


def command(job: Job) -> list[str]:
    """The command line of the training process."""
    return [sys.executable, "-m", "twin_core.training", str(job_file(job))]


def search_command(job: Job, trials: int) -> list[str]:
    """The command line of a search for the best settings of this job's kind."""
    return [sys.executable, "-m", "twin_core.training.search", str(job_file(job)), str(trials)]


def environment(settings: Settings) -> dict[str, str]:
    """The environment of the training process: these settings, no telemetry, and the same weights from the same seed."""
    return child_environment(settings) | {
        "FLASH_ATTENTION_DETERMINISTIC": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore",
        "TRANSFORMERS_VERBOSITY": "error",
    }


def run(database: Database, job: Job, *, settings: Settings) -> Adapter:
    """Run the process of a job to its end and return what it registered. Raises TwinError with its reason otherwise."""
    ended = subprocess.run(command(job), env=environment(settings), stdout=subprocess.DEVNULL, check=False)
    return outcome(database, job, ended.returncode)


def give_up(database: Database, job: Job, reason: str) -> None:
    """Give an attempt up: what its process still does is registered nowhere."""
    with database.transaction() as conn:
        store.abandon(conn, job.attempt_id, reason)


def outcome(database: Database, job: Job, code: int) -> Adapter:
    """What an attempt registered, once its process has ended with `code`. Raises TwinError with the reason when nothing."""
    with database.transaction() as conn:
        store.fail_attempt(conn, job.attempt_id, _died(code))
        attempt = store.find_attempt(conn, job.attempt_id)
        adapter = store.adapter_by_id(conn, job.author_id, attempt.adapter_id) if attempt.adapter_id else None
    if adapter is None:  # raised outside, or why it failed would be rolled back
        raise TwinError(f"Training failed: {attempt.reason}")
    return adapter


def searched(database: Database, job: Job, code: int) -> None:
    """Raise TwinError with the reason when a search's process, ended with `code`, found nothing."""
    with database.transaction() as conn:
        store.fail_attempt(conn, job.attempt_id, _died(code))
        attempt = store.find_attempt(conn, job.attempt_id)
    if attempt.state != "done":
        raise TwinError(f"The search failed: {attempt.reason}")


def _died(code: int) -> str:
    if code < 0:
        return f"its process was killed by signal {-code}. `twin train` goes on from its last checkpoint."
    return f"its process ended with exit code {code} and said nothing."
