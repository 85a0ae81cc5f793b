"""Bringing an adapter up in each LLM server, beside the one that serves.

vLLM loads it under a new name while it runs. TGI reads its adapters when it starts, so its folder is filled and its
replicas are restarted one by one, by a command of whoever runs them. The local server knows no adapters: base and adapter are
merged and get a process of their own (`fleet.py`).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2

from twin_core.champion import fleet
from twin_core.errors import InvalidInput, ServiceUnavailable, TwinError
from twin_core.models.adapter_files import adapter_folder, unpack
from twin_core.models.local_server import models_folder
from twin_core.runtime.services import child_environment
from twin_core.settings import Settings
from twin_core.store import registry
from twin_core.store.adapters import Adapter
from twin_core.store.database import Database
from twin_core.store.files import FileStore, read_file
from twin_core.store.registry import Deployment

LOAD_SECONDS = 120.0
"""Longest time for a server to load an adapter of some hundred megabytes from its disk."""
START_SECONDS = 600.0
"""Longest time for a local server with a model of its own, or for TGI's replicas, to be there."""
POLL_SECONDS = 0.5
ADAPTERS_ENV = "adapters.env"


def engine_of(settings: Settings) -> str:
    """The engine that adapters are deployed to. Raises InvalidInput where it takes none."""
    engine = settings.llm_engine
    if engine == "openai" or (engine == "transformers" and settings.llm_url is not None):
        raise InvalidInput(
            f"The server at {settings.llm_url} ({engine}) takes no adapters. Serve with TGI or vLLM (TWIN_LLM_ENGINE), or unset "
            f"TWIN_LLM_URL for the local server."
        )
    if engine != "transformers" and settings.llm_adapters is None:
        raise InvalidInput(
            f"Where does {engine} read adapters from? Set TWIN_LLM_ADAPTERS to a folder that both see, and "
            f"TWIN_LLM_ADAPTERS_THERE where the server sees it under another path."
        )
    return engine


def bring_up(
    database: Database,
    deployment: Deployment,
    adapter: Adapter,
    *,
    settings: Settings,
    files: FileStore,
    kept: Sequence[Deployment],
) -> None:
    """Make the server answer for the deployment's name too. `kept` are the deployments that must stay loaded.

    Raises TwinError with what to do; what serves is not touched.
    """
    if deployment.engine == "transformers":
        _merge(adapter, deployment, settings=settings, files=files)
        _await_local(database, deployment, settings)
    elif deployment.engine == "vllm":
        _load_vllm(deployment, adapter, settings=settings, files=files)
    else:
        _restart_tgi(deployment, adapter, settings=settings, files=files, kept=kept)


def _merge(adapter: Adapter, deployment: Deployment, *, settings: Settings, files: FileStore) -> None:
    """Write base and adapter as one model, in a process of its own: torch goes with it."""
    folder = fleet.merged_folder(settings, deployment)
    if (folder / "config.json").is_file():
        return
    models = models_folder(settings).absolute()
    given = adapter_folder(files, adapter, models)
    command = [sys.executable, "-m", "twin_core.models.merging", adapter.base_model, str(given), str(folder)]
    ended = subprocess.run(
        [*command, adapter.base_hash], env=child_environment(settings), capture_output=True, text=True, check=False
    )
    if ended.returncode:
        said = ended.stderr.strip().splitlines()
        raise TwinError(f"{deployment.served_name} could not be merged: {said[-1] if said else ended.returncode}")


def _await_local(database: Database, deployment: Deployment, settings: Settings) -> None:
    if not fleet.runs(settings):
        raise ServiceUnavailable(
            f"Nothing here runs the server of {deployment.served_name}: start it with `twin up`, and approve again."
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with database.transaction() as conn:
            (now,) = (one for one in registry.deployments(conn, deployment.author_id) if one.id == deployment.id)
        if now.url is not None:
            return
        if now.state != "starting":
            raise ServiceUnavailable(f"{deployment.served_name} did not come up: {now.reason}")
        time.sleep(POLL_SECONDS)
    raise ServiceUnavailable(
        f"The server of {deployment.served_name} did not answer within {START_SECONDS:g} s. Its log is "
        f"{fleet.log_file(settings, deployment)}."
    )


def _placed(deployment: Deployment, adapter: Adapter, settings: Settings, files: FileStore) -> str:
    """The adapter's files in the server's folder, under its name; the path as the server sees it."""
    assert settings.llm_adapters is not None
    unpack(read_file(files, adapter.file_key), settings.llm_adapters.expanduser() / deployment.served_name)
    there = settings.llm_adapters_there or str(settings.llm_adapters.expanduser().absolute())
    return f"{there.rstrip('/')}/{deployment.served_name}"


def _load_vllm(deployment: Deployment, adapter: Adapter, *, settings: Settings, files: FileStore) -> None:
    path = _placed(deployment, adapter, settings, files)
    answer = _post(settings, "load_lora_adapter", {"lora_name": deployment.served_name, "lora_path": path})
    if answer.is_success or "already been loaded" in answer.text:
        return
    advice = (
        "Start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
        if answer.status_code == httpx2.codes.NOT_FOUND
        else f"It must see the folder {path}"
    )
    raise ServiceUnavailable(
        f"vLLM did not load {deployment.served_name} (HTTP {answer.status_code}: {' '.join(answer.text.split())[:200]}). "
        f"{advice}."
    )


def _post(settings: Settings, what: str, said: dict[str, str]) -> httpx2.Response:
    key = settings.llm_api_key
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    try:
        return httpx2.post(f"{settings.llm_base_url}/{what}", json=said, headers=headers, timeout=LOAD_SECONDS)
    except (httpx2.HTTPError, OSError) as error:
        raise ServiceUnavailable(
            f"vLLM at {settings.llm_url} does not answer ({error}). Check TWIN_LLM_URL."
        ) from error


def _restart_tgi(
    deployment: Deployment, adapter: Adapter, *, settings: Settings, files: FileStore, kept: Sequence[Deployment]
) -> None:
    assert settings.llm_adapters is not None
    if not settings.llm_restart:
        raise InvalidInput(
            "TGI reads its adapters when it starts: set TWIN_LLM_RESTART to a command that restarts its replicas one by one."
        )
    path = _placed(deployment, adapter, settings, files)
    folder = path.rpartition("/")[0]
    names = list(dict.fromkeys([deployment.served_name, *(one.served_name for one in kept)]))
    listed = ",".join(f"{name}={folder}/{name}" for name in names)
    _write(settings.llm_adapters.expanduser() / ADAPTERS_ENV, f"LORA_ADAPTERS={listed}\n")
    try:
        ended = subprocess.run(settings.llm_restart, capture_output=True, text=True, check=False, timeout=START_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceUnavailable(f"TWIN_LLM_RESTART could not be carried out: {error}") from error
    if ended.returncode:
        said = ended.stderr.strip().splitlines()
        raise ServiceUnavailable(
            f"TWIN_LLM_RESTART ended with {ended.returncode} ({said[-1][:200] if said else 'and said nothing'}). What "
            f"served before is still what requests are sent to."
        )


def _write(path: Path, content: str) -> None:
    beside = path.with_name(f".{path.name}")
    beside.write_text(content)
    beside.replace(path)
