"""What vLLM and TGI are told of adapters: put one into the folder they read, have it loaded under its name, take it out again.

vLLM loads and unloads while it runs. TGI reads its adapters when it starts, so its replicas are restarted one by one, by a command of
whoever runs them. Which adapter is brought up when is decided in `champion/`; what is asked of it, in `chat.py`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import httpx2

from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.models.adapter_files import unpack
from twin_core.settings import Settings

LOAD_SECONDS = 120.0
"""Longest time for a server to load an adapter of some hundred megabytes from its disk."""
RESTART_SECONDS = 600.0
"""Longest time for TGI's replicas to be there again."""
ADAPTERS_ENV = "adapters.env"


def place(settings: Settings, name: str, packed: bytes) -> None:
    """Put an adapter's files into the server's folder, under its name."""
    unpack(packed, _folder(settings) / name)


def load_vllm(settings: Settings, name: str) -> None:
    """Have vLLM load a placed adapter. Raises ServiceUnavailable, with what to do, when it does not."""
    path = f"{_there(settings)}/{name}"
    answer = _post(settings, "load_lora_adapter", {"lora_name": name, "lora_path": path})
    if answer.is_success or "already been loaded" in answer.text:
        return
    advice = (
        "Start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
        if answer.status_code == httpx2.codes.NOT_FOUND
        else f"It must see the folder {path}"
    )
    raise ServiceUnavailable(f"vLLM did not load {name} ({_said(answer)}). {advice}.")


def unload_vllm(settings: Settings, name: str) -> None:
    """Have vLLM let go of an adapter; one that it does not hold is gone already. Raises ServiceUnavailable."""
    answer = _post(settings, "unload_lora_adapter", {"lora_name": name})
    if not answer.is_success and answer.status_code not in {httpx2.codes.NOT_FOUND, httpx2.codes.BAD_REQUEST}:
        raise ServiceUnavailable(f"vLLM did not let go of {name} ({_said(answer)}). Look at its log, and try again.")


def check_restart(settings: Settings) -> None:
    """Raise InvalidInput where nothing says how TGI is restarted."""
    if not settings.llm_restart:
        raise InvalidInput(
            "TGI reads its adapters when it starts: set TWIN_LLM_RESTART to a command that restarts its replicas one by one."
        )


def restart_tgi(settings: Settings, names: Sequence[str]) -> None:
    """Have TGI start anew with exactly these placed adapters. Raises InvalidInput, ServiceUnavailable."""
    check_restart(settings)
    listed = ",".join(f"{name}={_there(settings)}/{name}" for name in dict.fromkeys(names))
    _write(_folder(settings) / ADAPTERS_ENV, f"LORA_ADAPTERS={listed}\n")
    command = settings.llm_restart or []
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=RESTART_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceUnavailable(f"TWIN_LLM_RESTART could not be carried out: {error}") from error
    if ended.returncode:
        said = ended.stderr.strip().splitlines()
        raise ServiceUnavailable(
            f"TWIN_LLM_RESTART ended with {ended.returncode} ({said[-1][:200] if said else 'and said nothing'}). What "
            f"served before is still what requests are sent to."
        )


def _folder(settings: Settings) -> Path:
    assert settings.llm_adapters is not None
    return settings.llm_adapters.expanduser()


def _there(settings: Settings) -> str:
    """The same folder as the server sees it."""
    return (settings.llm_adapters_there or str(_folder(settings).absolute())).rstrip("/")


def _post(settings: Settings, what: str, said: dict[str, str]) -> httpx2.Response:
    key = settings.llm_api_key
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    try:
        return httpx2.post(f"{settings.llm_base_url}/{what}", json=said, headers=headers, timeout=LOAD_SECONDS)
    except (httpx2.HTTPError, OSError) as error:
        raise ServiceUnavailable(
            f"vLLM at {settings.llm_url} does not answer ({error}). Check TWIN_LLM_URL."
        ) from error


def _said(answer: httpx2.Response) -> str:
    return f"HTTP {answer.status_code}: {' '.join(answer.text.split())[:200]}"


def _write(path: Path, content: str) -> None:
    beside = path.with_name(f".{path.name}")
    beside.write_text(content)
    beside.replace(path)
