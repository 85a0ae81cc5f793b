"""Runs a plan's services: starts them, starts again what dies, stops all in order. One supervisor per home.

Supervisors from the shelf either restart nothing or leave orphans when they are killed. Here each service
has a warden (`warden.py`) that ends it with the supervisor, however that ends; this module only watches wardens.
Postgres is no child: short commands use it too. It is started first and stopped last.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.runtime import health, postgres, warden
from twin_core.runtime.folders import Folders, folders, make_home
from twin_core.runtime.services import Plan, Service, check_ports, child_environment, write_dagster_home
from twin_core.runtime.state import (
    Phase,
    ServiceState,
    SupervisorState,
    read_state,
    remove_state,
    this_process,
    write_state,
)
from twin_core.settings import Settings

TICK_SECONDS = 0.4
PROBE_SECONDS: dict[Phase, float] = {"starting": 0.5, "running": 10.0, "not answering": 2.0}
GRACE_SECONDS = 10.0
"""How long a service may take to end by itself. A gRPC server that serves a long call takes all of it."""
BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Pauses before a dead service is started again; when they are used up it has failed and is left alone."""
SETTLED_SECONDS = 120.0
"""A service that worked this long has used up none of its pauses: next month's crash starts from the first."""
LOG_BYTES = 20_000_000
"""A log beyond this is copied to `NAME.log.1` and emptied in place, since the service keeps it open."""
NEEDED_SECONDS = 60.0
"""Longest wait for a service that another one needs; after it that one is started all the same and shows its error."""
LEFTOVER_SECONDS = 3 * GRACE_SECONDS

OnChange = Callable[[SupervisorState], None]


@dataclass(slots=True)
class _Running:
    service: Service
    process: subprocess.Popen[bytes] | None = None
    phase: Phase = "starting"
    restarts: int = 0
    """How often it died, for people."""
    used_pauses: int = 0
    started: float = 0.0
    start_at: float = 0.0
    next_probe: float = 0.0
    log: Path = field(default_factory=Path)


def supervise(settings: Settings, wanted: Plan, *, on_change: OnChange, before: Callable[[], None]) -> None:
    """Run the plan until SIGINT or SIGTERM, then stop everything, Postgres last. Call it in the main thread.

    `before` runs when the databases answer and nothing else has started. Raises InvalidInput when a port is taken or
    another supervisor runs, and ServiceUnavailable when the database does not come up; in either case nothing stays.
    """
    home = make_home(settings)
    with ExitStack() as stack:
        stack.enter_context(_alone(settings, home))
        stack.callback(remove_state, settings)
        write_state(settings, this_process())
        for service in wanted.services:
            if service.name == "code" and service.port is not None:
                # Its socket has SO_REUSEPORT: a second one would share the port unseen, and take every other call.
                stack.enter_context(_port_lock(service.port, service.port_setting))
        check_ports(settings, wanted)
        keeper = _start_keeper(settings, home)
        try:
            postgres.ensure_running(settings)
            postgres.create_databases(settings)
            _migrate(settings)
            write_dagster_home(settings)
            before()
            with _signals() as ending:
                _Loop(settings, home, wanted, on_change).run(ending)
        finally:
            postgres.stop(settings)
            if keeper is not None:
                keeper.terminate()
                keeper.wait()


def stop(settings: Settings) -> list[str]:
    """Stop the supervisor of this home, all its services and Postgres. Returns what was stopped, in words."""
    stopped = []
    state = read_state(settings)
    if state is not None and state.alive:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(state.pid)
            process.terminate()
            try:
                process.wait(LEFTOVER_SECONDS + 30)
            except psutil.TimeoutExpired:
                process.kill()
        stopped += [service.title for service in state.services.values() if service.pid is not None]
    home = folders(settings)
    if home.run.exists():
        _wait_for_leftovers(home)
    if state is not None:
        remove_state(settings)
        if state.alive and settings.database_url is None:
            stopped.append("Postgres")
    if postgres.stop(settings) and "Postgres" not in stopped:
        stopped.append("Postgres")
    return stopped


class _Loop:
    """The supervising loop and its state."""

    def __init__(self, settings: Settings, home: Folders, wanted: Plan, on_change: OnChange) -> None:
        self._settings = settings
        self._home = home
        self._on_change = on_change
        self._environment = child_environment(settings)
        self._left_out = {
            name: ServiceState(name=name, title=name, phase="left out", reason=reason)
            for name, reason in wanted.left_out.items()
        }
        self._all = [_Running(service, log=home.logs / f"{service.name}.log") for service in wanted.services]
        self._state = this_process()

    def run(self, ending: list[int]) -> None:
        try:
            for running in self._all:
                if running.service.needs:
                    running.phase = "waiting"
                    running.start_at = time.monotonic() + NEEDED_SECONDS
                else:
                    self._start(running)
            self._tell()
            while not ending:
                changed = [self._look_after(running) for running in self._all]
                if any(changed):
                    self._tell()
                time.sleep(TICK_SECONDS)
        finally:
            self._stop_all()

    def _start(self, running: _Running) -> None:
        service = running.service
        _rotate(running.log)
        if service.folder is not None:
            service.folder.mkdir(parents=True, exist_ok=True)
        with running.log.open("ab") as log:
            running.process = subprocess.Popen(
                _guarded(self._home, *service.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment | dict(service.environment),
                process_group=0,
            )
        running.phase = "starting"
        running.started = time.monotonic()

    def _look_after(self, running: _Running) -> bool:
        """One look at one service; whether something changed that a person would see."""
        now = time.monotonic()
        before = running.phase
        if running.phase == "failed":
            return False
        if running.phase == "waiting":
            if now >= running.start_at or (running.restarts == 0 and self._works(running.service.needs)):
                self._start(running)
        elif running.process is not None and running.process.poll() is not None:
            self._died(running, now)
        elif now >= running.next_probe:
            self._probe(running, now)
        return running.phase != before

    def _probe(self, running: _Running, now: float) -> None:
        if health.works(running.service):
            running.phase = "running"
            if now - running.started > SETTLED_SECONDS:
                running.used_pauses = 0
        elif running.phase == "running":
            running.phase = "not answering"
        running.next_probe = time.monotonic() + PROBE_SECONDS.get(running.phase, 1.0)
        _rotate(running.log)

    def _works(self, name: str) -> bool:
        return any(other.phase == "running" for other in self._all if other.service.name == name)

    def _died(self, running: _Running, now: float) -> None:
        running.process = None
        running.restarts += 1
        if running.used_pauses >= len(BACKOFF_SECONDS):
            running.phase = "failed"
            return
        running.phase = "waiting"
        running.start_at = now + BACKOFF_SECONDS[running.used_pauses]
        running.used_pauses += 1
        running.next_probe = 0.0

    def _stop_all(self) -> None:
        """Stage by stage; within one, all at once."""
        self._state = replace(self._state, stopping=True)
        self._tell()
        for stage in sorted({running.service.stop_stage for running in self._all}):
            group = [running for running in self._all if running.service.stop_stage == stage]
            for running in group:
                if running.process is not None:
                    running.process.terminate()
            for running in group:
                if running.process is not None:
                    running.process.wait()
                    running.process = None
                running.phase = "stopped"
            self._tell()

    def _tell(self) -> None:
        services = {running.service.name: self._described(running) for running in self._all}
        self._state = replace(self._state, services=services | self._left_out)
        write_state(self._settings, self._state)
        self._on_change(self._state)

    def _described(self, running: _Running) -> ServiceState:
        return ServiceState(
            name=running.service.name,
            title=running.service.title,
            phase=running.phase,
            url=running.service.url,
            pid=running.process.pid if running.process else None,
            restarts=running.restarts,
            log=str(running.log),
            reason=last_words(running.log) if running.phase in ("failed", "waiting") else "",
            slow=running.service.slow,
        )


def last_words(log: Path) -> str:
    """The last line of a log that says something, without the warden's own."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
        said = [line for line in lines if line and not line.startswith("twin:")]
        return said[-1][:300] if said else ""
    return ""


def _guarded(home: Folders, *command: str, last: bool = False) -> tuple[str, ...]:
    return (
        *(sys.executable, "-I", "-S", warden.__file__, "--parent", str(os.getpid()), "--grace", str(GRACE_SECONDS)),
        *("--lock", str(home.run / "services.lock"), *(("--last",) if last else ()), "--", *command),
    )


def _start_keeper(settings: Settings, home: Folders) -> subprocess.Popen[bytes] | None:
    """Start the process that stops the embedded Postgres should this supervisor be killed."""
    if settings.database_url is not None:
        return None
    with (home.logs / "keeper.log").open("ab") as log:
        return subprocess.Popen(
            _guarded(home, sys.executable, "-m", "twin_core.runtime.embedded", last=True),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=child_environment(settings),
            process_group=0,
        )


def _migrate(settings: Settings) -> None:
    from twin_core.store import migrate

    migrate.upgrade(postgres.url_for(settings))


def _rotate(log: Path) -> None:
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES:
            log.with_suffix(".log.1").write_bytes(log.read_bytes())
            os.truncate(log, 0)


@contextmanager
def _alone(settings: Settings, home: Folders) -> Iterator[None]:
    """Be the one supervisor of this home. Waits for what a killed one left to end, so that its ports are free."""
    with _flock(home.run / "supervisor.lock") as got:
        if not got:
            state = read_state(settings)
            who = f"pid {state.pid}" if state else "it is just starting"
            raise InvalidInput(
                f"The services of this home run already ({who}). See `twin status`, or `twin down` first."
            )
        _wait_for_leftovers(home)
        yield


def _wait_for_leftovers(home: Folders) -> None:
    deadline = time.monotonic() + LEFTOVER_SECONDS
    while True:
        with _flock(home.run / "services.lock") as free:
            if free:
                return
        if time.monotonic() > deadline:
            raise ServiceUnavailable(
                f"Services of a supervisor that was killed do not end. See which with `lsof {home.run}/services.lock`, "
                f"end them, then try again."
            )
        time.sleep(TICK_SECONDS)


@contextmanager
def _port_lock(port: int, setting: str) -> Iterator[None]:
    """Hold the port for the whole machine: other homes, other accounts."""
    with _flock(Path(tempfile.gettempdir()) / f"twin-port-{port}.lock") as got:
        if not got:
            raise InvalidInput(
                f"Another twin on this machine serves Dagster's code on port {port}. Set {setting} to a free port."
            )
        yield


@contextmanager
def _flock(path: Path) -> Iterator[bool]:
    """Hold an exclusive lock on the file, or say that somebody else does. The kernel lets go when we end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    except PermissionError:  # another account's file: to lock it, reading it is enough
        descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect the signals that ask to end, instead of being interrupted by them at any line."""
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda got, _frame: received.append(got)) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
