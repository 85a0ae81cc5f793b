"""An adapter as one file: packed for the file store, unpacked where it is trained on, evaluated or served.

Nothing here imports a model library: going back to an earlier adapter must need no training stack.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from pathlib import Path

from twin_core.store.adapters import Adapter
from twin_core.store.files import FileStore, read_file

ENDING = "tar"
CARD = "README.md"


def pack(folder: Path) -> bytes:
    """The folder's files as an archive whose bytes depend on their names and contents alone."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
                entry.size = path.stat().st_size
                with path.open("rb") as content:
                    archive.addfile(entry, content)
    return packed.getvalue()


def read_card(content: bytes) -> str | None:
    """The model card in an archive, or None."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        if CARD not in archive.getnames():
            return None
        found = archive.extractfile(CARD)
        return found.read().decode() if found is not None else None


def unpack(content: bytes, folder: Path) -> Path:
    """Write an archive's files into `folder`, whole or not at all. A folder that is there already is taken as it is."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(draft, filter="data")
        if not folder.is_dir():
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def adapter_folder(store: FileStore, adapter: Adapter, models: Path) -> Path:
    """The adapter's files under `models`, fetched from the store when they are not there yet."""
    folder = models / "adapters" / str(adapter.author_id) / adapter.id[:16]
    return folder if folder.is_dir() else unpack(read_file(store, adapter.file_key), folder)
