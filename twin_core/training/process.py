"""The training process: reads a job, trains, stores what came out, registers it. `python -m twin_core.training JOB.json`.

A process of its own, so that its memory and its libraries go with it, and the same one under a terminal, under Dagster (Pipes) and in a
cluster. It ends when its parent does, however that ended; it says that it is alive; and it registers under its attempt, which
it loses when somebody gives it up. Progress goes to stdout as JSON lines and to the attempt's row.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from twin_core import identity
from twin_core.errors import Refused, TwinError
from twin_core.models import adapter_files, bases
from twin_core.models.local_server import models_folder
from twin_core.records import Split
from twin_core.runtime.parent import end_with_parent
from twin_core.runtime.urls import url_for
from twin_core.settings import Settings, settings
from twin_core.store import adapters as store
from twin_core.store import authors, datasets
from twin_core.store.adapters import Adapter
from twin_core.store.database import Database
from twin_core.store.files import file_store
from twin_core.training import card
from twin_core.training.arguments import CHECKPOINTS, Trained
from twin_core.training.config import TrainingConfig
from twin_core.training.job import Job, read_job
from twin_core.training.progress import Progress
from twin_core.training.search import MEASURE, Found, search, validation_split

BEAT_SECONDS = 5.0
HELD_OUT_ROWS = 64
"""Of the test split, to measure once at the end: enough to see that training went well; evaluation proper comes later."""
CURVE_POINTS = 400
"""Kept of the loss curve; a longer one is thinned."""

_log = logging.getLogger("twin.training")


def main(arguments: Sequence[str], *, trials: int = 0) -> int:
    """Run one job, or with `trials` a search for the best settings of its kind. 0: registered; 2: refused for a reason that the attempt's row holds; anything else: a mistake."""
    job = read_job(Path(arguments[0]))
    # With several GPUs the launcher, which this program then became, is the parent of every rank.
    end_with_parent(int(os.environ.get("TWIN_TRAINING_LAUNCHER") or job.parent_pid))
    if not trials and _launcher_needed(job):
        _become_launcher(job, arguments[0])
    database = Database(url_for(settings()), pool_size=2)
    try:
        with _alive(database, job) as tell:
            if trials:
                run_search(database, job, trials, here=settings(), tell=tell)
                return 0
            adapter = run_job(database, job, here=settings(), tell=tell)
            if _first():
                _say({"adapter": adapter.id, "version": adapter.version, **_numbers(adapter.metrics)})
                _tell_dagster(adapter)
    except TwinError as error:
        _failed(database, job, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        with database.transaction() as conn:
            store.abandon(conn, job.attempt_id, "stopped by hand")
        return 128 + signal.SIGINT
    except Exception as error:
        # Its text may quote a document; what is stored holds none.
        _failed(database, job, f"{type(error).__name__} in the training process; its log says where.")
        raise
    finally:
        database.close()
    return 0


def run_job(database: Database, job: Job, *, here: Settings, tell: Callable[[Mapping[str, Any]], None]) -> Adapter:
    """Train as the job says and register the outcome under its attempt.

    Raises Refused when the attempt was given up meanwhile: nothing is registered then.
    """
    store_of_files, models = file_store(here), models_folder(here).absolute()
    with database.transaction() as conn:
        frame = datasets.read_version(conn, job.version_id, Split.TRAIN, job.fraction)
        held_out = datasets.drafts(datasets.read_version(conn, job.version_id, Split.TEST)).head(HELD_OUT_ROWS)
        parent = store.adapter_by_id(conn, job.author_id, job.parent_id) if job.parent_id else None
    tell({"phase": "loading the base model"})
    base = bases.find_base(here, job.base)
    curve: list[tuple[int, float]] = []

    from twin_core.training.tracking import tracked

    with tracked(job, here, frame, first=_first()) as run:

        def heard(progress: Progress) -> None:
            if progress.loss is not None:
                curve.append((progress.step, progress.loss))
            said = {**asdict(progress), "phase": "training"}
            del said["figures"]
            tell(said)
            run.log(progress)

        common: dict[str, Any] = {
            "base": base,
            "base_name": bases.shown(job.base),
            "held_out": held_out,
            "tell": heard,
            "resume": job.resume,
        }
        if parent is None:
            from twin_core.training.sft import train_sft

            made = train_sft(job.config, frame, job.folder, **common)
        else:
            from twin_core.training.dpo import train_dpo

            before = adapter_files.adapter_folder(store_of_files, parent, models)
            made = train_dpo(job.config, frame, job.folder, parent=before, **common)
        if not _first():
            return _registered_by_first(database, job)
        tell({"phase": "storing the adapter"})
        metrics = {**made.figures, "curve": _thinned(curve)}
        with database.transaction() as conn:
            author, sources = authors.author_by_id(conn, job.author_id), authors.list_sources(conn, job.author_id)
            version = datasets.resolve_version(conn, job.author_id, job.version_id)
        card.write(job, made, author=author, sources=sources, version=version, code=code_revision())
        key = store_of_files.put(job.author_id, adapter_files.pack(made.folder), ending=adapter_files.ENDING)
        run_id = run.finish(made, metrics, base)
        with database.transaction() as conn:
            adapter = store.register_adapter(
                conn,
                job.attempt_id,
                adapter_id=_adapter_id(job, made),
                base_model=job.base,
                base_hash=made.base_hash,
                fraction=job.fraction,
                parent_id=job.parent_id,
                file_key=key,
                config=job.config.model_dump(mode="json", exclude={"shape"}),
                metrics=metrics,
                code_revision=code_revision(),
                mlflow_run_id=run_id,
            )
        run.register(adapter)
    shutil.rmtree(job.folder / CHECKPOINTS, ignore_errors=True)
    return adapter


def run_search(
    database: Database, job: Job, trials: int, *, here: Settings, tell: Callable[[Mapping[str, Any]], None]
) -> Found:
    """Search for the settings that suit the author and store them as the defaults of the job's profile.

    Raises as `run_job` does.
    """
    with database.transaction() as conn:
        frame = datasets.read_version(conn, job.version_id, Split.TRAIN, job.fraction)
        parent = store.adapter_by_id(conn, job.author_id, job.parent_id) if job.parent_id else None
    train, validation = validation_split(frame)
    base = bases.find_base(here, job.base)
    before = None
    if parent is not None:
        before = adapter_files.adapter_folder(file_store(here), parent, models_folder(here).absolute())

    def measure(config: TrainingConfig, folder: Path) -> float:
        common: dict[str, Any] = {"base": base, "held_out": validation, "resume": False}
        if before is None:
            from twin_core.training.sft import train_sft

            made = train_sft(config, train, folder, **common)
        else:
            from twin_core.training.dpo import train_dpo

            made = train_dpo(config, train, folder, parent=before, **common)
        return made.figures[MEASURE[job.kind]]

    found = search(job.kind, job.config, job.folder / "search", measure, trials=trials, tell=tell)
    with database.transaction() as conn:
        store.end_search(conn, job.attempt_id)
        store.keep_defaults(
            conn,
            job.author_id,
            job.profile,
            changes=found.changes,
            score=found.score,
            trials=found.trials,
            version_id=job.version_id,
        )
    tell({"phase": "found", "changes": found.changes, "score": found.score, "trials": found.trials})
    shutil.rmtree(job.folder / "search", ignore_errors=True)
    return found


def _adapter_id(job: Job, made: Trained) -> str:
    """By what it answers with: whose, on which base, these weights. Trained twice, it is the same adapter."""
    digests = []
    for path in sorted(made.folder.glob("*.safetensors")):
        with path.open("rb") as weights:
            digests.append(hashlib.file_digest(weights, "sha256").hexdigest())
    return identity.sha256("\x1f".join((str(job.author_id), job.kind, made.base_hash, *digests)))


def code_revision() -> str:
    """The version of this product that trains."""
    from importlib.metadata import version

    return version("llm-twin")


def _thinned(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    every = -(-len(curve) // CURVE_POINTS) or 1
    return curve[::every] if every > 1 else curve


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}


# The parent's end, and other processes of the same job


def _launcher_needed(job: Job) -> bool:
    import torch

    return "LOCAL_RANK" not in os.environ and torch.cuda.device_count() > 1 and job.config.gpus != 1


def launcher(job: Job, path: str, gpus: int) -> list[str]:
    """`accelerate launch` for several GPUs: one process of this entry point on each."""
    used = gpus if job.config.gpus == "all" else min(job.config.gpus, gpus)
    strategy = ["--use_fsdp", "--fsdp_version", "2"] if job.config.strategy == "fsdp" else ["--multi_gpu"]
    return [
        *(sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", *strategy),
        *("--num_processes", str(used), "--num_machines", "1", "--mixed_precision", "bf16", "--dynamo_backend", "no"),
        *("-m", "twin_core.training", path),
    ]


def _become_launcher(job: Job, path: str) -> None:
    # The same pid, and so the same parent whose end it does not survive; its own processes look for this pid.
    import torch

    command = launcher(job, path, torch.cuda.device_count())
    os.execve(sys.executable, command, os.environ | {"TWIN_TRAINING_LAUNCHER": str(os.getpid())})  # noqa: S606


def _first() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _registered_by_first(database: Database, job: Job) -> Adapter:
    """What the first process registers; the others wait for it and then end with it."""
    while True:
        with database.transaction() as conn:
            attempt = store.find_attempt(conn, job.attempt_id)
            if attempt.adapter_id is not None:
                return store.adapter_by_id(conn, job.author_id, attempt.adapter_id)
        if attempt.state != "running":
            raise Refused(f"The attempt is {attempt.state}: {attempt.reason}")
        time.sleep(BEAT_SECONDS)


# Being alive, and telling


@contextmanager
def _alive(database: Database, job: Job) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Keep the attempt's heartbeat going and yield whom to tell of progress. The process ends when the attempt is lost."""
    latest: dict[str, Any] = {}
    stop = threading.Event()

    def beat() -> None:
        with database.transaction() as conn:
            running = store.beat(conn, job.attempt_id, latest or None)
        if not running and not stop.is_set():
            _say({"phase": "given up: the attempt is not running any more"})
            os._exit(Refused.exit_code)

    def keep_beating() -> None:
        while not stop.wait(BEAT_SECONDS):
            try:
                beat()
            except TwinError as error:  # the database is away for a moment: the work goes on
                _log.warning("No heartbeat: %s", error)

    def tell(said: Mapping[str, Any]) -> None:
        if _first():
            latest.update(said)
            _say(said)
            _report_to_dagster(said)

    with database.transaction() as conn:
        if not store.beat(conn, job.attempt_id):
            raise Refused(f"The attempt {job.attempt_id} is not running any more. Start another: `twin train`.")
    thread = threading.Thread(target=keep_beating, name="heartbeat", daemon=True)
    if _first():
        thread.start()
    try:
        with _dagster():
            yield tell
    finally:
        stop.set()
        if _first():
            thread.join()


def _say(said: Mapping[str, Any]) -> None:
    if "DAGSTER_PIPES_CONTEXT" in os.environ:  # told there; stdout is the worker's
        return
    print(json.dumps(said), flush=True)  # noqa: T201  what this process says is its output


def _failed(database: Database, job: Job, reason: str) -> None:
    print(f"twin: {reason}", file=sys.stderr)  # noqa: T201
    with database.transaction() as conn:
        store.fail_attempt(conn, job.attempt_id, reason)


@contextmanager
def _dagster() -> Iterator[None]:
    """Messages to Dagster, where it started this process. Its protocol is a package of its own, without Dagster in it."""
    if not _first() or "DAGSTER_PIPES_CONTEXT" not in os.environ:
        yield
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes():
        yield


def _report_to_dagster(said: Mapping[str, Any]) -> None:
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:
        return
    from dagster_pipes import PipesContext

    if "step" in said:
        line = (
            f"step {said['step']} of {said['steps']}, loss {said['loss']:.3f}, {said['tokens_per_second']:,.0f} tokens/s, "
            f"{said['eta_seconds']:,.0f} s left"
        )
    else:
        line = str(said.get("phase"))
    PipesContext.get().log.info(line)


def _tell_dagster(adapter: Adapter) -> None:
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:
        return
    from dagster_pipes import PipesContext

    PipesContext.get().report_custom_message({"adapter": adapter.id, "version": adapter.version})
