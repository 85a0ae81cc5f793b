"""The local servers of deployed adapters: one process for each that serves, served before, or is being brought up.

A service of `twin up`, because servers must outlive the run that asked for them and come back after a restart. It reads
the deployments and writes each one's address there; whoever asks a twin reads it there. What served until a moment ago is
kept until its last answers are written.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx2

from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.models import copies, local_server
from twin_core.runtime.folders import folders, make_home
from twin_core.runtime.health import held
from twin_core.runtime.services import child_environment
from twin_core.runtime.urls import url_for
from twin_core.settings import Settings, settings
from twin_core.store import registry
from twin_core.store.database import Database
from twin_core.store.registry import Deployment

LOOK_SECONDS = 0.5
DRAIN = timedelta(minutes=3)
"""How long what was switched away from runs on: longer than any answer takes to be written."""
PAUSE_SECONDS = 5.0
"""Before a server that died is started again."""


@dataclass(slots=True)
class _Server:
    process: subprocess.Popen[bytes]
    url: str
    told: bool = False
    ended_at: float | None = None


def log_file(settings: Settings, deployment: Deployment) -> Path:
    """What the deployment's server says."""
    return folders(settings).logs / f"{deployment.served_name}.log"


def runs(settings: Settings) -> bool:
    """Whether a fleet looks after this home."""
    return held(folders(settings).run / "fleet.lock")


def look_after(settings: Settings, database: Database, ending: threading.Event) -> None:
    """Keep the servers of all deployments running until `ending` is set, then end them.

    Raises InvalidInput when another fleet does so already.
    """
    with (make_home(settings).run / "fleet.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InvalidInput("The servers of this home's adapters are looked after already.") from error
        fleet: dict[UUID, _Server] = {}
        try:
            _forget_addresses(database)
            while not ending.is_set():
                with suppress(ServiceUnavailable):  # a database that restarts; what serves goes on
                    _look(settings, database, fleet)
                ending.wait(LOOK_SECONDS)
        finally:
            _end([server.process for server in fleet.values()])
            with suppress(ServiceUnavailable):
                _forget_addresses(database)


def _look(settings: Settings, database: Database, fleet: dict[UUID, _Server]) -> None:
    with database.transaction() as conn:
        there = registry.deployments(conn, engine="transformers")
    now = datetime.now(UTC)
    wanted = {
        one.id: one
        for one in there
        if one.state in ("starting", *registry.LOADED)
        or (one.state in ("withdrawn", "stopped") and one.id in fleet and now - one.since < DRAIN)
    }
    for identifier in set(fleet) - set(wanted):
        _end([fleet.pop(identifier).process])
        _tell(database, identifier, None)
    for identifier, deployment in wanted.items():
        server = fleet.get(identifier)
        if server is None:
            # While it is being brought up its merged model may not be there yet.
            if (copies.merged_folder(settings, deployment.served_name) / "config.json").is_file():
                fleet[identifier] = _start(settings, deployment)
        elif server.process.poll() is not None:
            _died(settings, database, deployment, fleet)
        elif not server.told and _answers(server.url):
            server.told = True
            _tell(database, identifier, server.url)


def _start(settings: Settings, deployment: Deployment) -> _Server:
    with socket.socket() as probe:
        probe.bind((settings.host, 0))
        port = int(probe.getsockname()[1])
    with log_file(settings, deployment).open("ab") as log:
        process = subprocess.Popen(
            local_server.command_for(settings, deployment.served_name, port),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=child_environment(settings),
        )
    return _Server(process, f"http://{settings.host}:{port}")


def _died(settings: Settings, database: Database, deployment: Deployment, fleet: dict[UUID, _Server]) -> None:
    server = fleet[deployment.id]
    if server.ended_at is None:
        server.ended_at = time.monotonic()
        _tell(database, deployment.id, None)
        if deployment.state == "starting":
            with database.transaction() as conn:
                said = (
                    f"its server ended with exit code {server.process.returncode}; see {log_file(settings, deployment)}"
                )
                registry.fail_deployment(conn, deployment.id, said)
    elif time.monotonic() - server.ended_at > PAUSE_SECONDS:
        fleet[deployment.id] = _start(settings, deployment)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health", timeout=1.0, trust_env=False).status_code == httpx2.codes.OK
    except (httpx2.HTTPError, OSError):
        return False


def _tell(database: Database, deployment_id: UUID, url: str | None) -> None:
    with database.transaction() as conn:
        registry.set_url(conn, deployment_id, url)


def _forget_addresses(database: Database) -> None:
    with database.transaction() as conn:
        for one in registry.deployments(conn, engine="transformers"):
            if one.url is not None:
                registry.set_url(conn, one.id, None)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """The service of `twin up`."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    here = settings()
    database = Database(url_for(here), pool_size=1)
    try:
        look_after(here, database, ending)
    finally:
        database.close()


if __name__ == "__main__":
    main()
