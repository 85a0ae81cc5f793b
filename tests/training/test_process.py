"""From a dataset version to a registered adapter, by the real process: repeatable, killable, and never registered twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from tests.training.scenario import passages, publish, quick
from twin_core.errors import InvalidInput, NotFound, Refused, TwinError
from twin_core.models import adapter_files, bases
from twin_core.records import Author
from twin_core.settings import Settings
from twin_core.store import adapters
from twin_core.store.database import Database
from twin_core.store.files import file_store
from twin_core.training import launch
from twin_core.training.arguments import CHECKPOINTS
from twin_core.training.job import Job
from twin_core.training.process import launcher, run_job
from twin_core.training.progress import COMPLETE, last_checkpoint

DEMO = passages("demo/articles")[:30]
OTHERS = [passage for _, passage in passages("docs")]


@pytest.fixture
def ada(database: Database) -> Author:
    return publish(database, "ada", DEMO)[0]


@pytest.fixture
def open_job(database: Database, settings: Settings, ada: Author, base: str) -> Callable[..., Job]:
    def opened(kind: str = "sft", *, resume: bool = True, fraction: float = 1.0, **changes: object) -> Job:
        config = quick(**{"base": base, "epochs": 1, **changes})
        return launch.open_job(
            database,
            ada,
            kind,
            config,
            settings=settings,
            resume=resume,
            fraction=fraction,  # type: ignore[arg-type]
        )

    return opened


def started(job: Job, settings: Settings) -> subprocess.Popen[str]:
    """The process of a job, with its progress on a pipe."""
    return subprocess.Popen(launch.command(job), env=launch.environment(settings), stdout=subprocess.PIPE, text=True)


def steps(process: subprocess.Popen[str], until: int | None = None) -> list[int]:
    """The steps that it tells of, up to one of them or to its end."""
    seen: list[int] = []
    assert process.stdout is not None
    for line in process.stdout:
        said = json.loads(line)
        if "step" in said:
            seen.append(said["step"])
            if until is not None and said["step"] >= until:
                break
    return seen


def test_a_job_becomes_an_adapter_with_its_card_and_its_figures(
    database: Database, settings: Settings, ada: Author, open_job: Callable[..., Job], base: str, tmp_path: Path
):
    job, told = open_job(max_steps=4), []
    adapter = run_job(database, job, here=settings, tell=told.append)
    assert (adapter.version, adapter.kind, adapter.base_hash) == (1, "sft", bases.fingerprint(base))
    assert [step for step, _ in adapter.metrics["curve"]] == [1, 2, 3, 4]
    assert adapter.metrics["held_out_loss"] > 0
    assert adapter.metrics["tokens_per_second"] > 0
    assert [one["step"] for one in told if "step" in one] == [1, 2, 3, 4]
    assert not any(passage[:40] in json.dumps(told) for _, passage in DEMO)

    folder = adapter_files.adapter_folder(file_store(settings), adapter, tmp_path)
    card = (folder / "README.md").read_text()
    assert adapter.version_id in card
    assert "Consent" in card
    assert base not in card, "where the base lay is nobody's business"
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == Path(base).name
    assert not (job.folder / CHECKPOINTS).exists()
    with database.transaction() as conn:
        assert adapters.find_attempt(conn, job.attempt_id).state == "done"


def test_a_given_up_attempt_registers_nothing_even_when_it_ends_well(
    database: Database, settings: Settings, ada: Author, open_job: Callable[..., Job]
):
    job = open_job(max_steps=1)

    def give_up(said: dict) -> None:
        if said.get("phase") == "storing the adapter":
            with database.transaction() as conn:
                adapters.abandon(conn, job.attempt_id, "by a test")

    with pytest.raises(Refused, match="abandoned"):
        run_job(database, job, here=settings, tell=give_up)
    with database.transaction() as conn:
        assert adapters.list_adapters(conn, ada.id) == []


def test_dpo_goes_on_from_the_sft_adapter_and_leaves_no_reference_behind(
    database: Database, settings: Settings, ada: Author, open_job: Callable[..., Job], tmp_path: Path
):
    with pytest.raises(NotFound, match="dataset"):
        open_job("dpo")
    publish(database, "ada", DEMO[:16], rejected=OTHERS, held_out=1)
    with pytest.raises(NotFound, match="`twin train` first"):
        open_job("dpo")
    first = run_job(database, open_job(max_steps=2), here=settings, tell=lambda _: None)
    second = run_job(database, open_job("dpo", max_steps=2), here=settings, tell=lambda _: None)
    assert (second.kind, second.parent_id, second.version) == ("dpo", first.id, 2)
    folders = [adapter_files.adapter_folder(file_store(settings), one, tmp_path) for one in (first, second)]
    names = [sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) for folder in folders]
    assert names[0] == names[1]
    assert len({(folder / "adapter_model.safetensors").read_bytes() for folder in folders}) == 2


def test_qlora_without_a_gpu_says_what_to_set_instead(
    database: Database, settings: Settings, open_job: Callable[..., Job]
):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(InvalidInput, match="Set `peft: lora`"):
        run_job(database, open_job(peft="qlora"), here=settings, tell=lambda _: None)


def test_a_tainted_dataset_is_refused(database: Database, settings: Settings, open_job: Callable[..., Job]):
    with database.transaction() as conn:
        conn.execute(text("UPDATE training.dataset_versions SET tainted_at = now()"))
    with pytest.raises(Refused, match="twin dataset build"):
        open_job()


def test_several_gpus_are_driven_through_accelerate(open_job: Callable[..., Job]):
    job = open_job(gpus=2, strategy="fsdp")
    line = launcher(job, "job.json", 4)
    assert line[line.index("--num_processes") + 1] == "2"
    assert "--use_fsdp" in line
    assert line[-3:] == ["-m", "twin_core.training", "job.json"]


def test_a_checkpoint_that_was_cut_short_is_not_gone_on_from(tmp_path: Path):
    for step, files in ((5, ["a", COMPLETE]), (20, ["a", COMPLETE]), (30, ["a"])):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in files:
            (folder / name).touch()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-20"
    assert not (tmp_path / "checkpoint-30").exists()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    database: Database, settings: Settings, open_job: Callable[..., Job]
):
    first = launch.run(database, open_job(), settings=settings)
    again = launch.run(database, open_job(resume=False), settings=settings)
    other = launch.run(database, open_job(seed=1), settings=settings)
    assert (again.id, again.version) == (first.id, 1)
    assert (other.id != first.id, other.version) == (True, 2)


@pytest.mark.slow
def test_a_run_that_was_killed_half_way_goes_on_to_the_same_weights(
    database: Database, settings: Settings, open_job: Callable[..., Job]
):
    whole = launch.run(database, open_job(epochs=5), settings=settings)
    job = open_job(resume=False, epochs=5)
    process = started(job, settings)
    steps(process, until=4)
    process.kill()
    process.wait()
    with pytest.raises(TwinError, match="killed by signal 9"):
        launch.outcome(database, job, process.returncode)

    resumed = open_job(epochs=5)
    process = started(resumed, settings)
    went_on = steps(process)
    assert process.wait() == 0
    assert went_on[0] in {4, 7}, "from a checkpoint after every third step, and not from the beginning"
    assert went_on[-1] == whole.metrics["steps"]
    adapter = launch.outcome(database, resumed, 0)
    assert (adapter.id, adapter.version) == (whole.id, whole.version)


@pytest.mark.slow
def test_the_process_ends_with_its_parent_and_the_attempt_cannot_register(
    database: Database, settings: Settings, ada: Author, open_job: Callable[..., Job], base: str
):
    worker = subprocess.Popen(
        [sys.executable, "-c", _WORKER, base], env=launch.environment(settings), stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    pid = int(worker.stdout.readline())
    while True:
        with database.transaction() as conn:
            attempt = adapters.last_attempt(conn, ada.id)
        assert attempt is not None
        assert attempt.state == "running", attempt.reason
        if attempt.progress.get("step"):
            break
        time.sleep(0.2)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    _, alive = psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=5)
    assert not alive
    open_job(resume=False)
    with database.transaction() as conn:
        assert adapters.find_attempt(conn, attempt.id).state == "abandoned"
        assert adapters.list_adapters(conn, ada.id) == []


_WORKER = """
import subprocess, sys
from tests.training.scenario import quick
from twin_core.runtime.urls import url_for
from twin_core.settings import settings
from twin_core.store.authors import author_by_slug
from twin_core.store.database import Database
from twin_core.training import launch

database = Database(url_for(settings()))
with database.transaction() as conn:
    author = author_by_slug(conn, "ada")
job = launch.open_job(database, author, "sft", quick(base=sys.argv[1], epochs=200), settings=settings())
process = subprocess.Popen(launch.command(job), env=launch.environment(settings()), stdout=subprocess.DEVNULL)
print(process.pid, flush=True)
process.wait()
"""
