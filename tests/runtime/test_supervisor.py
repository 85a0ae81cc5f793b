"""The supervisor with real processes: what it starts, starts again and stops, and that nothing is ever left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import free_port
from tests.runtime.conftest import MakeSettings
from twin_core.runtime import postgres, supervisor
from twin_core.runtime.folders import folders
from twin_core.runtime.state import SupervisorState, read_state
from twin_core.settings import Settings

DRIVE = Path(__file__).with_name("drive.py")
PATIENCE = 280.0
"""Far beyond what is needed: a loaded machine is slow, not wrong."""

Start = Callable[..., subprocess.Popen[str]]


def eventually(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def processes_of(settings: Settings) -> list[psutil.Process]:
    """Every process on this machine that was started for this home, and the processes of its Postgres."""
    home = str(folders(settings).home)
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("TWIN_HOME") == home or str(folders(settings).data) in process.cmdline()
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def state_of(settings: Settings) -> SupervisorState:
    state = read_state(settings)
    assert state is not None
    return state


def phases(settings: Settings) -> dict[str, str]:
    state = read_state(settings)
    return {} if state is None else {name: service.phase for name, service in state.services.items()}


def everything_works(settings: Settings) -> bool:
    return phases(settings) == {"first": "running", "second": "running", "llm": "left out"}


@pytest.fixture
def home(new_settings: MakeSettings, database_url: str) -> Settings:
    """Settings of a home whose database is elsewhere, so that only the services start and stop."""
    return new_settings(database_url=database_url)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a supervisor over stand-ins; at the end of the test none is left."""
    started: list[subprocess.Popen[str]] = []

    def begin(settings: Settings, *services: tuple[str, int, list[str]], pauses: tuple[float, ...] = (0.1, 0.1)) -> Any:
        services = services or (("first", free_port(), []), ("second", free_port(), []))
        values = settings.model_dump(mode="json", include=settings.model_fields_set - {"database_url"})
        if settings.database_url is not None:
            values["database_url"] = settings.database_url.get_secret_value()
        plan = json.dumps({"settings": values, "services": services, "pauses": pauses})
        process = subprocess.Popen(
            [sys.executable, str(DRIVE), plan], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": "."}
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_what_is_killed_is_started_again_and_an_interrupt_ends_all_of_it(home: Settings, start: Start) -> None:
    process = start(home)
    eventually(lambda: everything_works(home), "both services work")
    first = state_of(home).services["first"]
    assert first.pid is not None
    service = psutil.Process(first.pid).children()[0]
    service.kill()
    eventually(lambda: state_of(home).services["first"].restarts == 1 and everything_works(home), "started again")
    assert state_of(home).services["first"].pid != first.pid

    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
    assert processes_of(home) == []
    assert read_state(home) is None


def test_a_killed_supervisor_leaves_nothing_not_even_what_ignores_signals(home: Settings, start: Start) -> None:
    process = start(home, ("first", free_port(), ["stubborn"]), ("second", free_port(), []))
    eventually(lambda: everything_works(home), "both services work")
    assert len(processes_of(home)) >= 6  # two wardens, two services, a child in a session of its own of each
    process.kill()
    process.wait()
    assert not state_of(home).alive
    eventually(lambda: processes_of(home) == [], "all have ended")


@pytest.mark.slow
def test_postgres_goes_with_a_killed_supervisor_but_last(new_settings: MakeSettings, start: Start) -> None:
    settings = new_settings()
    process = start(settings)
    eventually(lambda: everything_works(settings), "both services work")
    assert postgres.is_running(settings)
    process.kill()
    process.wait()
    eventually(lambda: processes_of(settings) == [], "all have ended")
    assert not postgres.is_running(settings)


@pytest.mark.slow
def test_down_stops_everything_and_then_has_nothing_to_do(new_settings: MakeSettings, start: Start) -> None:
    settings = new_settings()
    process = start(settings)
    eventually(lambda: everything_works(settings), "both services work")
    assert supervisor.stop(settings) == ["first", "second", "Postgres"]
    assert process.wait(PATIENCE) == 0
    assert processes_of(settings) == []
    assert supervisor.stop(settings) == []


def test_a_service_that_cannot_run_is_given_up_with_its_last_words_and_the_rest_runs(
    home: Settings, start: Start
) -> None:
    start(home, ("first", free_port(), []), ("second", free_port(), ["broken"]))
    eventually(lambda: phases(home).get("second") == "failed", "the broken service is given up")
    state = state_of(home)
    assert state.services["second"].reason == "no such model: gpt-7"
    assert state.services["second"].restarts == 3
    assert state.services["first"].phase == "running"


def test_a_taken_port_is_named_by_its_setting_before_anything_starts(home: Settings, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        process = start(home, ("first", free_port(), []), ("second", other.getsockname()[1], []))
        said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "TWIN_SECOND_PORT" in said
    assert "TWIN_FIRST_PORT" not in said
    assert read_state(home) is None


def test_one_port_for_two_services_is_refused(home: Settings, start: Start) -> None:
    port = free_port()
    process = start(home, ("first", port, []), ("second", port, []))
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert f"TWIN_SECOND_PORT and TWIN_FIRST_PORT are both {port}" in said


def test_a_home_has_one_supervisor_and_a_code_port_one_code_server(
    home: Settings, new_settings: MakeSettings, start: Start
) -> None:
    port = free_port()
    start(home, ("code", port, []))
    eventually(lambda: phases(home).get("code") == "running", "the first one works")
    again = start(home, ("code", free_port(), []))
    said, _ = again.communicate(timeout=PATIENCE)
    assert (again.returncode, "run already" in said) == (2, True)

    other = new_settings(database_url=home.database_url)
    elsewhere = start(other, ("code", port, []))
    said, _ = elsewhere.communicate(timeout=PATIENCE)
    assert (elsewhere.returncode, "TWIN_CODE_PORT" in said) == (2, True)


def test_a_database_that_is_down_is_told_with_exit_code_3_and_nothing_starts(
    new_settings: MakeSettings, start: Start
) -> None:
    settings = new_settings(database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/twin")
    process = start(settings)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3
    assert "TWIN_DATABASE_URL" in said
    assert processes_of(settings) == []


def test_a_log_that_grew_too_big_is_put_aside_and_written_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOG_BYTES", 100)
    log = tmp_path / "api.log"
    with log.open("ab", buffering=0) as file:
        file.write(b"old " * 50)
        supervisor._rotate(log)
        file.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "api.log.1").read_bytes() == b"old " * 50
    assert supervisor.last_words(log) == "new"
