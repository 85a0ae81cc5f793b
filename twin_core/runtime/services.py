"""Which services `twin up` runs with these settings, as plain records: command, environment, address, how to probe it.

Deciding is here, running in `supervisor.py`, probing in `health.py`. A service that is configured elsewhere, or whose
package is not installed, is left out with the reason in words, and the rest runs without it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

import twin_core
from twin_core.errors import InvalidInput
from twin_core.runtime.embedded import port_is_free, running
from twin_core.runtime.folders import folders
from twin_core.runtime.urls import url_for
from twin_core.settings import Settings

Probe = Literal["http", "tcp", "lock", "dagster-heartbeat"]

CODE_LOCATION = "twin_assets.definitions"
LOCATION_NAME = "twin"

QUIET = {
    # No library reports home (DESIGN, rule 9). MLflow wants the word "true", others take any value.
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GX_ANALYTICS_ENABLED": "False",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One supervised process."""

    name: str
    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it gets beside `child_environment`."""
    port: int | None = None
    port_setting: str = ""
    url: str = ""
    """What a person opens; empty where there is nothing to see."""
    probe: Probe = "http"
    probe_target: str = ""
    """URL for http, host:port for tcp, the file it holds for lock, database URL for the heartbeat."""
    stop_stage: int = 1
    """Services of a lower stage are stopped first: what asks others goes before what is asked."""
    slow: bool = False
    """Nothing waits for it: its first start takes long (MLflow migrates its schema, a model is loaded)."""
    needs: str = ""
    """A service that must work before this one is started."""
    folder: Path | None = None
    """Its working folder, made when missing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs, and what does not and why."""

    services: tuple[Service, ...]
    left_out: Mapping[str, str]

    def without(self, names: frozenset[str]) -> Plan:
        """The plan with some services left out on request."""
        kept = tuple(service for service in self.services if service.name not in names)
        gone = {service.name: "left out on request" for service in self.services if service.name in names}
        return Plan(kept, {**self.left_out, **gone})


def plan(settings: Settings) -> Plan:
    """The services of these settings. Reads what is installed; starts and writes nothing."""
    services: list[Service] = []
    left_out: dict[str, str] = {}
    for name, made in {
        "mlflow": _mlflow(settings),
        "code": _code(settings),
        "webserver": _webserver(settings),
        "daemon": _daemon(settings),
        "llm": _llm(settings),
        "adapters": _adapters(settings),
        "api": _api(settings),
    }.items():
        if isinstance(made, Service):
            services.append(made)
        else:
            left_out[name] = made
    return Plan(tuple(services), left_out)


def check_ports(settings: Settings, wanted: Plan) -> None:
    """Raise InvalidInput naming every setting whose port is taken, or is given twice, before anything starts."""
    seen: dict[int, str] = {}
    wrong = []
    if settings.database_url is None:
        seen[settings.postgres_port] = "TWIN_POSTGRES_PORT"
        if running(settings) is None and not port_is_free("127.0.0.1", settings.postgres_port):
            wrong.append(f"port {settings.postgres_port} for Postgres is taken by another program (TWIN_POSTGRES_PORT)")
    for service in wanted.services:
        if service.port is None:
            continue
        if service.port in seen:
            wrong.append(f"{service.port_setting} and {seen[service.port]} are both {service.port}")
        elif not port_is_free(settings.host, service.port):
            wrong.append(
                f"port {service.port} for {service.title} is taken by another program ({service.port_setting})"
            )
        seen[service.port] = service.port_setting
    if wrong:
        raise InvalidInput(f"Nothing was started: {'; '.join(wrong)}. Set each to a free port, or end that program.")


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment of every service: ours, these very settings in absolute paths, and no telemetry."""
    environment = dict(os.environ) | QUIET
    for name in type(settings).model_fields:
        if name in settings.model_fields_set:
            value = getattr(settings, name)
            if value is None:
                environment.pop(f"TWIN_{name.upper()}", None)
            else:
                environment[f"TWIN_{name.upper()}"] = _as_text(value)
    environment["TWIN_HOME"] = str(folders(settings).home)
    return environment | dagster_environment(settings)


def dagster_environment(settings: Settings) -> dict[str, str]:
    """What makes any Dagster process of this product use the same instance: its home and its database."""
    return {
        "DAGSTER_HOME": str(folders(settings).dagster),
        "TWIN_DAGSTER_PG_URL": url_for(settings, database="dagster", dialect="psycopg2"),
    }


def write_dagster_home(settings: Settings) -> Path:
    """Put `dagster.yaml` and a workspace that names our code server into Dagster's home; return the home.

    Written anew at every start, so that an upgrade of the product is an upgrade of its configuration.
    """
    home = folders(settings).dagster
    home.mkdir(parents=True, exist_ok=True)
    template = dagster_template()
    if template is not None:
        shutil.copyfile(template, home / "dagster.yaml")
    server = {"host": settings.host, "port": settings.dagster_code_port, "location_name": LOCATION_NAME}
    # JSON is YAML, and quotes what needs quoting.
    (home / "workspace.yaml").write_text(json.dumps({"load_from": [{"grpc_server": server}]}) + "\n")
    return home


def dagster_template() -> Path | None:
    """The product's `dagster.yaml`: packaged, or at the root of the checkout."""
    package = Path(twin_core.__file__).parent
    return next((path for path in (package / "_dagster.yaml", package.parent / "dagster.yaml") if path.is_file()), None)


def _as_text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, list | dict):
        return json.dumps(value)
    return str(value)


def installed(module: str) -> bool:
    """Whether a module is there, found by its file: asking Python for `mlflow.server` would import all of MLflow."""
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not inner:
        return spec is not None
    places = [Path(folder, *inner) for folder in spec.submodule_search_locations or ()]
    return any(place.with_suffix(".py").is_file() or (place / "__init__.py").is_file() for place in places)


def _mlflow(settings: Settings) -> Service | str:
    if not installed("mlflow.server"):
        return "not installed (the extra `training` brings it)"
    home = folders(settings)
    address = f"http://{_reachable(settings.host)}:{settings.mlflow_port}"
    return Service(
        name="mlflow",
        title="MLflow",
        command=(
            *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
            *("--host", settings.host, "--port", str(settings.mlflow_port)),
            *("--artifacts-destination", str(home.mlflow / "artifacts")),
        ),
        # By the environment: a password on the command line is for everybody to read.
        # No runner of evaluation jobs: evaluation is ours, and the runner's processes would hold some 300 MB.
        environment={
            "MLFLOW_BACKEND_STORE_URI": url_for(settings, database="mlflow", dialect="psycopg2"),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        port=settings.mlflow_port,
        port_setting="TWIN_MLFLOW_PORT",
        url=address,
        probe_target=f"{address}/health",
        stop_stage=2,
        slow=True,
        folder=home.mlflow,
    )


def _dagster_missing() -> str | None:
    if not installed("dagster"):
        return "not installed (the extra `dagster` brings it)"
    if not installed(CODE_LOCATION):
        return f"{CODE_LOCATION} is not there"
    return None


def _code(settings: Settings) -> Service | str:
    missing = _dagster_missing()
    if missing:
        return missing
    return Service(
        name="code",
        title="Dagster code server",
        command=(
            *(sys.executable, "-m", "dagster", "api", "grpc", "--module-name", CODE_LOCATION),
            *("--host", settings.host, "--port", str(settings.dagster_code_port), "--location-name", LOCATION_NAME),
            "--use-python-environment-entry-point",
        ),
        port=settings.dagster_code_port,
        port_setting="TWIN_DAGSTER_CODE_PORT",
        probe="tcp",
        probe_target=f"{_reachable(settings.host)}:{settings.dagster_code_port}",
        stop_stage=2,
    )


def _webserver(settings: Settings) -> Service | str:
    missing = _dagster_missing()
    if missing or not installed("dagster_webserver"):
        return missing or "not installed (the extra `dagster` brings it)"
    address = f"http://{_reachable(settings.host)}:{settings.dagster_port}"
    return Service(
        name="webserver",
        title="Dagster UI",
        command=(
            *(sys.executable, "-m", "dagster_webserver", "-h", settings.host, "-p", str(settings.dagster_port)),
            *("-w", str(folders(settings).dagster / "workspace.yaml")),
        ),
        port=settings.dagster_port,
        port_setting="TWIN_DAGSTER_PORT",
        url=address,
        probe_target=f"{address}/server_info",
        needs="code",
    )


def _daemon(settings: Settings) -> Service | str:
    missing = _dagster_missing()
    if missing:
        return missing
    return Service(
        name="daemon",
        title="Dagster daemon",
        command=(
            *(sys.executable, "-m", "dagster._daemon", "run"),
            *("-w", str(folders(settings).dagster / "workspace.yaml")),
        ),
        probe="dagster-heartbeat",
        probe_target=url_for(settings, database="dagster"),
        needs="code",
    )


def _llm(settings: Settings) -> Service | str:
    from twin_core.models import local_server

    command = local_server.command(settings)
    if command is None:
        return local_server.missing(settings) or "nothing to serve"
    address = f"http://{_reachable(settings.host)}:{settings.llm_port}"
    return Service(
        name="llm",
        title="LLM server",
        command=tuple(command),
        port=settings.llm_port,
        port_setting="TWIN_LLM_PORT",
        url=f"{address}/v1",
        probe_target=f"{address}/health",
        slow=True,
    )


def _adapters(settings: Settings) -> Service | str:
    from twin_core.models import local_server

    if settings.llm_url is not None or settings.llm_engine != "transformers":
        return "adapters are served by the server that TWIN_LLM_URL names"
    if (absent := local_server.missing_packages()) is not None:
        return absent
    return Service(
        name="adapters",
        title="Servers of approved adapters",
        command=(sys.executable, "-m", "twin_core.champion.fleet"),
        probe="lock",
        probe_target=str(folders(settings).run / "fleet.lock"),
        slow=True,
    )


def _api(settings: Settings) -> Service | str:
    if not (installed("litestar") and installed("uvicorn")):
        return "not installed (the extra `api` brings it)"
    if not installed("twin_api.app"):
        return "twin_api.app is not there"
    address = f"http://{_reachable(settings.host)}:{settings.api_port}"
    return Service(
        name="api",
        title="API and web page",
        command=(
            *(sys.executable, "-m", "uvicorn", "twin_api.app:create_app", "--factory"),
            *("--host", settings.host, "--port", str(settings.api_port)),
        ),
        port=settings.api_port,
        port_setting="TWIN_API_PORT",
        url=address,
        probe_target=f"{address}/healthz",
    )


def _reachable(host: str) -> str:
    """An address to connect to, for one to listen on: 0.0.0.0 is every address and none."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104
