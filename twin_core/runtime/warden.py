"""Runs one service so that it can never outlive its supervisor, however either of them ends.

A program of its own, standard library alone, started as `python -I -S warden.py ...` in front of every service. When
the supervisor is killed nobody is left to stop its children; so each child has a warden, which notices that its parent
is gone, asks the service to end, and then ends every process the service left, also those that moved to another
process group (it is their "subreaper"). It holds a shared lock meanwhile: whoever gets that lock alone knows
that all services are gone. `--last` is the other role: no service, but a command to run after all the others are
gone; it stops Postgres, which must be stopped last.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
WAIT_SECONDS = 10.0 if sys.platform == "linux" else 0.5
"""How often to look without having been woken. Linux signals the end of a parent; elsewhere looking is the only way."""
STOP_POLL_SECONDS = 0.05


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--lock", required=True)
    parser.add_argument("--grace", type=float, required=True)
    parser.add_argument("--last", action="store_true")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    ending: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: ending.append(received))
    wait = _wakeable()
    _call_prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    lock = os.open(given.lock, os.O_RDWR | os.O_CREAT, 0o644)
    if given.last:
        return _run_last(given, lock, ending, wait)
    fcntl.flock(lock, fcntl.LOCK_SH)
    _call_prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != given.parent:
        return 0
    service = subprocess.Popen(given.command, process_group=0, preexec_fn=_die_with_parent)  # noqa: PLW1509  one thread
    code = None
    while code is None and not ending and os.getppid() == given.parent:
        wait()
        code = _reap().get(service.pid)
    if code is not None:
        print(f"twin: this service ended by itself, exit code {code}", file=sys.stderr)  # noqa: T201  its log
    _end_all(service.pid, given.grace)
    service.returncode = code or 0
    return 0 if code == 0 else 1


def _run_last(given: argparse.Namespace, lock: int, ending: list[int], wait: Callable[[], None]) -> int:
    """Wait for the supervisor's end; unless it ended in order, wait for all wardens, then run the command."""
    while os.getppid() == given.parent:
        if ending:
            return 0
        wait()
    deadline = time.monotonic() + 3 * given.grace
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        time.sleep(STOP_POLL_SECONDS)
    return subprocess.call(given.command)


def _wakeable() -> Callable[[], None]:
    """A wait that every signal ends at once, the death of a child among them: an idle warden costs no processor time."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def wait() -> None:
        select.select([reading], [], [], WAIT_SECONDS)
        with suppress(BlockingIOError):
            os.read(reading, 4096)

    return wait


def _end_all(group: int, grace: float) -> None:
    """Ask the service's group to end, wait, then kill whatever is left of it anywhere."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while _any_left() and time.monotonic() < deadline:
        time.sleep(STOP_POLL_SECONDS)
    while _any_left():
        for pid in _children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        time.sleep(STOP_POLL_SECONDS)


def _reap() -> dict[int, int]:
    """Exit codes of the children that have ended, orphans of the service among them; 128 + n for signal n."""
    ended = {}
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(found[1])
            ended[found[0]] = code if code >= 0 else 128 - code
    return ended


def _any_left() -> bool:
    _reap()
    with suppress(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    return False


def _children() -> list[int]:
    """Direct children, which for a subreaper are also all that lost their own parent. None where there is no /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = path.read_text(errors="replace").rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                found.append(int(path.parent.name))
    return found


def _die_with_parent() -> None:
    _call_prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _call_prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
