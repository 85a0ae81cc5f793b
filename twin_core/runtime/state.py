"""What the supervisor tells other processes: a small file under HOME/run, and whether its writer still lives.

The file is a claim; the process table decides. A supervisor that was killed leaves the file behind, so a reader checks
the pid together with the process's start time before believing a word of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

import psutil

from twin_core.runtime.folders import folders
from twin_core.settings import Settings

Phase = Literal["waiting", "starting", "running", "not answering", "failed", "stopped", "left out"]
"""`waiting`: for the service it needs, or after it died, to be started again. `failed`: it died too often; its log
says why. `not answering`: it worked, its process lives, and its probe gets no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """What the supervisor knows of one service."""

    name: str
    title: str
    phase: Phase
    url: str = ""
    pid: int | None = None
    restarts: int = 0
    log: str = ""
    reason: str = ""
    slow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorState:
    """The supervisor and its services. `alive` is checked when the state is read."""

    pid: int
    process_started: float
    services: Mapping[str, ServiceState] = field(default_factory=dict)
    stopping: bool = False
    alive: bool = True


def this_process() -> SupervisorState:
    """A fresh state with this process as the supervisor."""
    return SupervisorState(pid=os.getpid(), process_started=psutil.Process().create_time())


def write_state(settings: Settings, state: SupervisorState) -> None:
    """Replace the state file whole, so that no reader sees half of it."""
    path = folders(settings).run / "supervisor.json"
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(state), indent=1) + "\n")
    draft.replace(path)


def remove_state(settings: Settings) -> None:
    """Forget the supervisor, when all has stopped."""
    (folders(settings).run / "supervisor.json").unlink(missing_ok=True)


def read_state(settings: Settings) -> SupervisorState | None:
    """The last state that a supervisor of this home wrote, or None. `alive` says whether that supervisor still runs."""
    try:
        found = json.loads((folders(settings).run / "supervisor.json").read_text())
    except FileNotFoundError:
        return None
    services = {name: ServiceState(**service) for name, service in found.pop("services").items()}
    found["alive"] = _is_that_process(found["pid"], found["process_started"])
    return SupervisorState(**found, services=services)


def _is_that_process(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(abs(process.create_time() - started) < 2 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
