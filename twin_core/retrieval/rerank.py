"""Ranking the best passages anew by a cross-encoder, which reads the question and a passage together.

The model is the one that the settings name, loaded once per process at the first use; where it cannot be loaded, the
passages keep their order and a notice says why. Nothing here asks a language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import Any

import numpy as np

from twin_core.errors import ServiceUnavailable
from twin_core.records import Passage
from twin_core.settings import Settings

MOST = 20
"""Passages that are read anew: what each costs is the same, and what is worth it gets less."""
BATCH = 4
"""Pairs between two looks at the clock: a forward pass cannot be stopped."""
LOADING_SECONDS = 5.0
"""How long the first requests wait for the model from disk; it goes on loading without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranked:
    """The passages in their new order, or in the old one with the reason."""

    passages: list[Passage]
    notice: str | None = None


def rerank(question: str, passages: Sequence[Passage], settings: Settings) -> Reranked:
    """The first MOST passages in the cross-encoder's order, then the others as they were.

    A passage takes over the score of the place it comes to, so that scores still fall and compare as a search's do; its
    rank among those read anew is the leg `rerank`. Loading the model does not count against the time allowed.
    """
    if not settings.rerank_model or len(passages) < 2:
        return Reranked(passages=list(passages))
    found = _load(settings.rerank_model)
    if isinstance(found, str):
        return Reranked(passages=list(passages), notice=found)
    read, rest = list(passages[:MOST]), list(passages[MOST:])
    scores = found.scores(
        question, [f"{one.context}\n{one.text}" for one in read], until=monotonic() + settings.rerank_seconds
    )
    if scores is None:
        late = f"The passages were not ranked anew within {settings.rerank_seconds:g} s (TWIN_RERANK_SECONDS)."
        return Reranked(passages=list(passages), notice=late)
    order = sorted(range(len(read)), key=lambda index: (-scores[index], index))
    placed = [
        replace(read[index], score=read[place].score, legs={**read[index].legs, "rerank": place + 1})
        for place, index in enumerate(order)
    ]
    return Reranked(passages=placed + rest)


class Reranker:
    """A loaded cross-encoder. One question at a time: several forward passes at once only wait for each other."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._lock = Lock()

    def scores(self, question: str, texts: Sequence[str], *, until: float) -> list[float] | None:
        """How well each text answers the question; None when the clock passed `until` first."""
        found: list[float] = []
        if not self._lock.acquire(timeout=max(until - monotonic(), 0)):
            return None
        try:
            for at in range(0, len(texts), BATCH):
                if monotonic() >= until:
                    return None
                pairs = [(question, text) for text in texts[at : at + BATCH]]
                found += np.asarray(self._network.predict(pairs, batch_size=BATCH, show_progress_bar=False)).tolist()
        finally:
            self._lock.release()
        return found


_loads: dict[str, _Load] = {}
_starting = Lock()


def _load(name: str) -> Reranker | str:
    """The model of this name, or why it is not there (yet). Tried once per process, in the background.

    A hub that does not answer takes a minute to say so, and nobody waits for that.
    """
    with _starting:
        load = _loads.get(name)
        if load is None:
            load = _loads[name] = _Load(name)
            Thread(target=load.run, name="load-reranker", daemon=True).start()
    try:
        return load.done.result(timeout=max(load.began + LOADING_SECONDS - monotonic(), 0))
    except TimeoutError:
        return f"The reranker {name} is still being loaded: the passages keep the order of the search."


class _Load:
    def __init__(self, name: str) -> None:
        self.name = name
        self.began = monotonic()
        self.done: Future[Reranker | str] = Future()

    def run(self) -> None:
        try:
            self.done.set_result(_loaded(self.name))
        except BaseException as error:
            self.done.set_exception(error)
            raise


def _loaded(name: str) -> Reranker | str:
    try:
        network = _network(name)
    except (ServiceUnavailable, OSError, ValueError) as error:
        why = " ".join(str(error).split())[:200].rstrip(".")
        return (
            f"The reranker {name} cannot be loaded ({why}): the passages keep the order of the search. "
            "TWIN_RERANK_MODEL names a sentence-transformers cross-encoder or its folder."
        )
    if network.config.num_labels != 1:
        return (
            f"The model {name} gives {network.config.num_labels} scores for a passage where a reranker gives one: the "
            "passages keep the order of the search. Set TWIN_RERANK_MODEL to a cross-encoder for ranking."
        )
    return Reranker(network)


def _network(name: str) -> Any:
    try:
        from huggingface_hub.utils.logging import set_verbosity_error as quiet_hub
        from sentence_transformers import CrossEncoder
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise ServiceUnavailable('it needs the extra "models": `pip install "llm-twin[models]"`') from error
    disable_progress_bar()
    quiet_hub()  # type: ignore[no-untyped-call]  # a notice says what its retries would
    path = Path(name).expanduser()
    if path.is_absolute() or name.startswith((".", "~")):
        if not (path / "config.json").is_file():
            raise ServiceUnavailable(f"there is no model in the folder {path}")
        return CrossEncoder(str(path), local_files_only=True)
    try:
        return CrossEncoder(name, local_files_only=True)
    except (OSError, ValueError):
        return CrossEncoder(name)  # not downloaded yet
