"""Bringing an adapter up in each LLM server, beside the one that serves.

vLLM and TGI know adapters (`models/lora_servers.py`). The local server knows none: base and adapter are merged and get a
process of their own (`fleet.py`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from twin_core.champion import fleet
from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.models import copies, lora_servers
from twin_core.models.adapter_files import adapter_folder
from twin_core.models.local_server import models_folder
from twin_core.runtime.apart import run_apart
from twin_core.settings import Settings
from twin_core.store import registry
from twin_core.store.adapters import Adapter
from twin_core.store.database import Database
from twin_core.store.files import FileStore, read_file
from twin_core.store.registry import Deployment

START_SECONDS = 600.0
"""Longest time for a local server with a model of its own to be there."""
POLL_SECONDS = 0.5


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
        merge(adapter, deployment, settings=settings, files=files)
        _await_local(database, deployment, settings)
        return
    if adapter.config.get("peft") == "none":
        raise InvalidInput(
            f"v{adapter.version} is a whole model (`peft: none`), and {deployment.engine} is given adapters. Start it on that "
            f"model, or train with `peft: lora`."
        )
    if deployment.engine == "tgi":
        lora_servers.check_restart(settings)
    lora_servers.place(settings, deployment.served_name, read_file(files, adapter.file_key))
    if deployment.engine == "vllm":
        lora_servers.load_vllm(settings, deployment.served_name)
    else:
        lora_servers.restart_tgi(settings, [deployment.served_name, *(one.served_name for one in kept)])


def merge(adapter: Adapter, deployment: Deployment, *, settings: Settings, files: FileStore) -> None:
    """Write base and adapter as one model, in a process of its own: torch goes with it."""
    folder = copies.merged_folder(settings, deployment.served_name)
    if (folder / "config.json").is_file():
        return
    models = models_folder(settings).absolute()
    given = adapter_folder(files, adapter, models)
    run_apart(
        "twin_core.models.merging",
        adapter.base_model,
        str(given),
        str(folder),
        adapter.base_hash,
        settings=settings,
        failed=f"{deployment.served_name} could not be merged",
    )


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
