"""What a language model server says of itself: whether it is up, what it serves, how much fits into a request.

TGI says it in `/info`, vLLM and most others in `/v1/models`. Asked with short waits, for `twin doctor` and `/readyz`;
answering never depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from twin_core.errors import TwinError
from twin_core.models.chat import is_local, model_name
from twin_core.settings import Settings

WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHealth:
    """What was found. `models` is empty where the server does not list them."""

    up: bool
    models: tuple[str, ...] = ()
    """The base model, and adapters where the engine lists them as models."""
    window: int | None = None
    """Tokens that prompt and answer may have together, where it is said."""
    version: str | None = None
    problem: str | None = None
    """Why it will not answer although it is up, in words: it does not serve what is asked for."""

    def __str__(self) -> str:
        said = [", ".join(self.models)] if self.models else []
        said += [f"version {self.version}"] if self.version else []
        said += [f"{self.window} tokens"] if self.window else []
        return "; ".join(said)


def engine_health(settings: Settings) -> EngineHealth:
    """Ask the server of the settings. Never raises."""
    key = settings.llm_api_key
    base = settings.llm_base_url
    with httpx2.Client(
        headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
        timeout=min(WAIT_SECONDS, settings.llm_connect_seconds),
        trust_env=not is_local(base),
    ) as client:
        if settings.llm_engine != "openai" and _get(client, base.removesuffix("/v1") + "/health") is None:
            return EngineHealth(up=False)
        if settings.llm_engine == "transformers":  # what it lists is the cache of models, not what it serves
            return EngineHealth(up=True)
        found = _tgi(client, base) if settings.llm_engine == "tgi" else _listed(client, base)
    if found is None:
        # An engine that is healthy and lists nothing is up; of another one, nothing else says so.
        return EngineHealth(up=settings.llm_engine != "openai")
    return EngineHealth(
        up=True,
        models=found.models,
        window=found.window,
        version=found.version,
        problem=_not_served(found, settings),
    )


def _get(client: httpx2.Client, url: str) -> object:
    """The JSON that is there, `{}` for another body; None where nothing answers well."""
    try:
        response = client.get(url)
    except (httpx2.HTTPError, OSError):
        return None
    if response.status_code != httpx2.codes.OK:
        return None
    try:
        return response.json()
    except ValueError:
        return {}


def _tgi(client: httpx2.Client, base: str) -> EngineHealth | None:
    said = _get(client, base.removesuffix("/v1") + "/info")
    if not isinstance(said, Mapping) or not isinstance(said.get("model_id"), str):
        return None
    return EngineHealth(
        up=True,
        models=(said["model_id"],),
        window=_number(said.get("max_total_tokens")),
        version=said.get("version") if isinstance(said.get("version"), str) else None,
    )


def _listed(client: httpx2.Client, base: str) -> EngineHealth | None:
    said = _get(client, f"{base}/models")
    data = said.get("data") if isinstance(said, Mapping) else None
    if not isinstance(data, list):
        return None
    there = [one for one in data if isinstance(one, Mapping) and isinstance(one.get("id"), str)]
    windows = [window for one in there if (window := _number(one.get("max_model_len")))]
    return EngineHealth(up=True, models=tuple(one["id"] for one in there), window=min(windows, default=None))


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _not_served(found: EngineHealth, settings: Settings) -> str | None:
    """TGI names its base model only, and takes whatever else is asked for as an adapter: there is nothing to compare."""
    if settings.llm_engine == "tgi" or not found.models:
        return None
    try:
        asked = model_name(settings)
    except TwinError as error:
        return str(error)
    if asked in found.models:
        return None
    return (
        f"It does not serve {asked}, which requests ask for. Set TWIN_LLM_MODEL to one of: {', '.join(found.models)}."
    )
