"""Copies of weights beside the adapter's one file in the store: merged with its base, unpacked, in an LLM server's folder, in training.

An adapter that learnt a document which was forgotten since is *unfit*: marked as tainted, never promoted, never gone back to. Its copies
go at once, except of the one that serves: that one answers until another one does, and everything that shows it says what it is.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from twin_core.models import lora_servers
from twin_core.models.local_server import models_folder
from twin_core.settings import Settings
from twin_core.store import purging, registry
from twin_core.store.authors import author_by_id
from twin_core.store.database import Database


def merged_folder(settings: Settings, name: str) -> Path:
    """The merged model that is served under this name: the name is what a request must say."""
    return models_folder(settings).absolute() / name


def count(database: Database, settings: Settings, author_id: UUID, document_ids: Sequence[UUID] = ()) -> int:
    """Copies of an author's unfit adapters that do not serve; those that saw these documents are counted as unfit already."""
    return len(_there(*_unfit(database, settings, author_id, document_ids)))


def purge(database: Database, settings: Settings, author_id: UUID, document_ids: Sequence[UUID] = ()) -> int:
    """Remove what `count` counts, and have the servers let go of it. Raises ServiceUnavailable when one does not answer."""
    with database.transaction() as conn:
        purging.unload_unfit(conn, author_id, document_ids)
    served, others = _unfit(database, settings, author_id, document_ids)
    return _remove(database, settings, served, others)


def count_author(database: Database, settings: Settings, author_id: UUID) -> int:
    """Copies that were made to serve an author's adapters."""
    return len(_served(settings, _slug(database, author_id)))


def purge_author(database: Database, settings: Settings, author_id: UUID) -> int:
    """Remove those, and have the servers let go of them; nothing of the author serves any more."""
    with database.transaction() as conn:
        registry.withdraw_all(conn, author_id, "the author was forgotten")
    return _remove(database, settings, _served(settings, _slug(database, author_id)), [])


def _unfit(
    database: Database, settings: Settings, author_id: UUID, document_ids: Sequence[UUID]
) -> tuple[list[Path], list[Path]]:
    """(copies made to serve, other copies) of unfit adapters, there or not."""
    with database.transaction() as conn:
        adapters = purging.unfit_adapters(conn, author_id, document_ids)
        hashes = purging.unfit_trainings(conn, author_id, document_ids)
    served = [place / one.served_name for one in adapters for place in _places(settings)]
    unpacked = models_folder(settings).absolute() / "adapters" / str(author_id)
    training = settings.home.absolute() / "training" / str(author_id)
    return served, [unpacked / one.id[:16] for one in adapters] + [training / digest[:16] for digest in hashes]


def _served(settings: Settings, slug: str) -> list[Path]:
    """Copies made to serve this author's adapters, as they are named."""
    named = re.compile(rf"{re.escape(slug)}-v\d+")
    return [
        path for place in _places(settings) if place.is_dir() for path in place.iterdir() if named.fullmatch(path.name)
    ]


def _places(settings: Settings) -> list[Path]:
    shared = [settings.llm_adapters.expanduser()] if settings.llm_adapters is not None else []
    return [models_folder(settings).absolute(), *shared]


def _slug(database: Database, author_id: UUID) -> str:
    with database.transaction() as conn:
        return author_by_id(conn, author_id).slug


def _there(served: Sequence[Path], others: Sequence[Path]) -> list[Path]:
    return [path for path in (*served, *others) if path.exists()]


def _remove(database: Database, settings: Settings, served: Sequence[Path], others: Sequence[Path]) -> int:
    """Servers first: while one does not answer the folder stays, and with it the knowledge that this is not done."""
    shared = settings.llm_adapters.expanduser() if settings.llm_adapters is not None else None
    names = [path.name for path in served if path.parent == shared and path.exists()]
    if names and settings.llm_engine == "vllm":
        for name in names:
            lora_servers.unload_vllm(settings, name)
    if names and settings.llm_engine == "tgi":
        with database.transaction() as conn:
            kept = [one.served_name for one in registry.deployments(conn, states=registry.LOADED, engine="tgi")]
        lora_servers.restart_tgi(settings, kept)
    gone = _there(served, others)
    for path in gone:
        shutil.rmtree(path)
    return len(gone)
