"""The local language model server: `transformers serve` on one model, for machines that name no other server.

This module says which model that is and how the process is started; `runtime/` starts and watches it. Run as
`python -m twin_core.models.local_server` it becomes that server. Nothing here talks to it: see `chat.py`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

from twin_core.settings import Settings

STAND_IN = "stand-in"
"""The value of TWIN_BASE_MODEL that means: a tiny model made on the spot, proof of the wiring, not of the writing."""

UNKNOWN_WINDOW = 4096
"""Context, in tokens, that is assumed where no configuration can be read: every current instruct model has it."""


def models_folder(settings: Settings) -> Path:
    """Folder of local models."""
    return settings.home / "models"


def stand_in_folder(settings: Settings) -> Path:
    """The stand-in that serves: a link to the newest one made, so that its name stays when its text changes."""
    return models_folder(settings) / STAND_IN


def served_model(settings: Settings) -> str | None:
    """The name under which the local server serves, which is also what a request must say. None: nothing to serve."""
    if settings.base_model != STAND_IN:
        return settings.base_model
    return STAND_IN if (stand_in_folder(settings) / "config.json").is_file() else None


def missing(settings: Settings) -> str | None:
    """Why there is no local server to start, in words for a person; None when there is one."""
    if settings.llm_url is not None:
        return f"TWIN_LLM_URL names a server: {settings.llm_url}"
    if (absent := missing_packages()) is not None:
        return absent
    if served_model(settings) is None:
        return "the stand-in model is made from the author's text, and there is none yet"
    return None


def missing_packages() -> str | None:
    """What is not installed that any local server needs, in words; None when all is there."""
    absent = [name for name in ("transformers", "torch", "fastapi", "uvicorn", "openai") if not _installed(name)]
    return f"not installed: {', '.join(absent)} (the extra `training` brings them)" if absent else None


def command(settings: Settings) -> list[str] | None:
    """The command line of the local server, or None when there is none to start (`missing` says why)."""
    model = served_model(settings)
    if missing(settings) is not None or model is None:
        return None
    # The stand-in goes by its short name, seen from its folder: a path would end up in every answer.
    folder = str(models_folder(settings).absolute()) if model == STAND_IN else os.curdir
    return [sys.executable, "-m", "twin_core.models.local_server", model, settings.host, str(settings.llm_port), folder]


def command_for(settings: Settings, name: str, port: int) -> list[str]:
    """The command line of a server of its own for one folder among the local models."""
    folder = str(models_folder(settings).absolute())
    return [sys.executable, "-m", "twin_core.models.local_server", name, settings.host, str(port), folder]


def context_window(settings: Settings) -> int:
    """Tokens that prompt and answer may have together, where the model is a folder on this machine; else a guess."""
    folder = local_folder(settings)
    if folder is None:
        return UNKNOWN_WINDOW
    configuration = json.loads((folder / "config.json").read_text())
    window = configuration.get("max_position_embeddings")
    return window if isinstance(window, int) and window > 0 else UNKNOWN_WINDOW


def local_folder(settings: Settings) -> Path | None:
    """The folder of the model that the local server serves, when it is one."""
    if settings.llm_url is not None:
        return None
    folder = stand_in_folder(settings) if settings.base_model == STAND_IN else Path(settings.base_model)
    return folder if (folder / "config.json").is_file() else None


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _become_server(model: str, host: str, port: str, folder: str) -> None:
    # Nothing is asked of any host outside, unless a model has to be fetched: no telemetry, no look for newer versions.
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment = dict(os.environ) | quiet
    os.chdir(folder)
    if Path(model).is_dir():
        environment["HF_HUB_OFFLINE"] = "1"
    arguments = [sys.executable, "-P", "-m", "transformers.cli.transformers", "serve", model]
    arguments += ["--host", host, "--port", port]
    os.execve(sys.executable, arguments, environment)  # noqa: S606  the same pid: the supervisor's signals arrive


if __name__ == "__main__":
    _become_server(*sys.argv[1:5])
