"""`twin up`, `down` and `status`: the services of this machine. What they are and how they are kept running is in
`twin_core.runtime`; here is how a person sees it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from twin_cli import output
from twin_cli.sources import show_standings
from twin_core.collect.standing import Standing, standings
from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.runtime import folders, health, services, supervisor
from twin_core.runtime.state import Phase, SupervisorState, read_state
from twin_core.runtime.urls import url_for
from twin_core.settings import Settings, settings
from twin_core.store import authors
from twin_core.store.database import Database

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

STYLES: dict[Phase, str] = {
    "running": "green",
    "starting": "cyan",
    "waiting": "cyan",
    "not answering": "yellow",
    "failed": "bold red",
    "stopped": "dim",
    "left out": "dim",
}
SETTLED: tuple[Phase, ...] = ("running", "failed", "left out")
DETACH_SECONDS = 120
"""How long `--detach` waits for the services that start fast; it then says what is still missing."""

Detach = Annotated[
    bool, typer.Option("--detach", "-d", help="Return when the services are up; `twin down` stops them.")
]
Without = Annotated[
    list[str] | None,
    typer.Option("--without", metavar="NAME", help="Leave a service out: mlflow, llm, api, ... Repeatable."),
]


def up(detach: Detach = False, without: Without = None) -> None:
    """Start Postgres, MLflow, Dagster, the LLM server and the API, and keep them running.

    What dies is started again. Ctrl-C stops everything, Postgres last. A service that the settings name elsewhere, or
    that is not installed, is left out.
    """
    here = settings()
    wanted = _wanted(here, without or [])
    if detach:
        _detach(here, wanted, without or [])
        return
    screen = _Screen()
    with screen:
        supervisor.supervise(here, wanted, on_change=screen.show, before=lambda: _sweep_abandoned_runs(here))
    output.say("All services have stopped.")


def down() -> None:
    """Stop every service of this home, Postgres last. What runs elsewhere is left alone."""
    stopped = supervisor.stop(settings())
    output.say(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")


def status(as_json: output.AsJson = False) -> None:
    """Show what runs, the database and its schema, what each author has in it, and how each source stands. Starts nothing.

    Sources are shown whenever the database answers, whether or not anything else runs.

    Ends with 3 when the database does not answer, with 1 when a service has failed.
    """
    found = health.status(settings())
    slugs, there = _sources(found)
    if as_json:
        output.show_json({**output.plain(found), "sources": there})
    else:
        _show_status(found)
        if there:
            show_standings(there, slugs)
    if not found.database.running:
        output.finish(output.MISSING_SERVICE)
    if found.supervisor is not None and found.supervisor.alive and _failed(found.supervisor):
        output.finish(output.PARTLY)


def _sources(found: health.Status) -> tuple[dict[UUID, str], list[Standing]]:
    """Authors by id, and how their sources stand; nothing while the database is down or has another schema."""
    if not found.database.running or found.database.revision != found.database.newest_revision:
        return {}, []
    database = Database(url_for(settings()))
    try:
        with database.transaction() as conn:
            return {one.id: one.slug for one in authors.list_authors(conn)}, standings(conn, found.at)
    finally:
        database.close()


def _wanted(here: Settings, without: list[str]) -> services.Plan:
    wanted = services.plan(here)
    known = {service.name for service in wanted.services} | set(wanted.left_out)
    if unknown := sorted(set(without) - known):
        raise InvalidInput(f"There is no service {', '.join(unknown)}. There are: {', '.join(sorted(known))}.")
    return wanted.without(frozenset(without))


def _sweep_abandoned_runs(here: Settings) -> None:
    """Runs whose worker died with the last supervisor block the queue for ever: report them as failed first."""
    if not services.installed("twin_assets.maintenance"):
        return
    code = "from twin_assets.maintenance import fail_abandoned_runs; fail_abandoned_runs()"
    log = folders.folders(here).logs / "sweep.log"
    with log.open("ab") as file:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=services.child_environment(here),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        output.warn(f"Abandoned runs could not be cleared, so a queue may be blocked: {supervisor.last_words(log)}")


def _detach(here: Settings, wanted: services.Plan, without: list[str]) -> None:
    services.check_ports(here, wanted)
    home = folders.make_home(here)
    log = home.logs / "supervisor.log"
    arguments = [word for name in without for word in ("--without", name)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "twin_cli.app", "up", *arguments],
            env=services.child_environment(here) | {"COLUMNS": "160"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + DETACH_SECONDS
    state = None
    while time.monotonic() < deadline and process.poll() is None:
        state = read_state(here)
        if state is not None and state.pid == process.pid and state.services and not _expected(state):
            break
        time.sleep(0.2)
    if process.poll() is not None:
        said = log.read_text(errors="replace").strip().splitlines()
        text = next((line for line in reversed(said) if line.startswith("twin:")), said[-1] if said else "no word why")
        raise (InvalidInput if process.returncode == output.USAGE else ServiceUnavailable)(text.removeprefix("twin: "))
    if state is None:
        raise ServiceUnavailable(f"The services do not come up; {log} may say why. `twin down` ends the attempt.")
    output.console().print(_table(state))
    for name in _expected(state):
        output.warn(f"{state.services[name].title} is not up yet; `twin status` shows when it is.")
    if _failed(state):
        output.finish(output.PARTLY)


def _expected(state: SupervisorState) -> list[str]:
    """Names of services that are still to come, those that start slowly aside."""
    return [name for name, service in state.services.items() if service.phase not in SETTLED and not service.slow]


def _failed(state: SupervisorState) -> bool:
    return any(service.phase == "failed" for service in state.services.values())


class _Screen:
    """The live table of `twin up` on a terminal; elsewhere one line per change, which a log can hold."""

    def __init__(self) -> None:
        from rich.live import Live

        console = output.words()
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._said: dict[str, Phase] = {}

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.start()

    def __exit__(self, *_error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, state: SupervisorState) -> None:
        if self._live is not None:
            self._live.update(_table(state), refresh=True)
            return
        for name, service in state.services.items():
            if self._said.get(name) != service.phase:
                self._said[name] = service.phase
                detail = service.reason or (service.url if service.phase == "running" else "")
                output.say(f"{service.title}: {service.phase}{f' ({detail})' if detail else ''}")


def _table(state: SupervisorState) -> RenderableType:
    rows = [
        (service.title, _coloured(service.phase), service.url, service.restarts or "", service.reason or service.log)
        for service in state.services.values()
    ]
    return output.table(("service", "state", "open", "died", "log or reason"), rows)


def _coloured(phase: Phase) -> Text:
    from rich.text import Text

    return Text(phase, style=STYLES[phase])


def _show_status(found: health.Status) -> None:
    database = found.database
    kind = "embedded" if database.embedded else "TWIN_DATABASE_URL"
    if database.running:
        sizes = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in database.sizes.items())
        output.show(f"Postgres ({kind}) answers at {database.place}. {sizes}")
        output.show(_schema(database.revision, database.newest_revision))
    else:
        output.show(f"Postgres ({kind}) does not answer at {database.place}. `twin up` starts what is ours.")
    state = found.supervisor
    if state is None:
        output.show("Services are down (`twin up`).")
    elif not state.alive:
        output.show("Services are down: their supervisor was killed (`twin up` starts them again).")
    else:
        output.console().print(_table(state))
    if database.running:
        names = ("sources", "documents", "cleaned", "chunks", "embeddings")
        rows: list[list[Any]] = [[slug, *(counts[n] for n in names)] for slug, counts in database.authors.items()]
        output.show_rows(("author", *names), rows, empty="No author yet (`twin author add SLUG --name NAME`).")


def _schema(revision: str | None, newest: str | None) -> str:
    if revision == newest:
        return f"Schema {revision}, the newest."
    return f"Schema {revision or 'not made yet'}; this version needs {newest}, and the next command brings it there."
