"""The journal of tombstones: a file under HOME, outside the database, so that no backup of the database forgets them.

A tombstone is written here, and on the disk, before the transaction that sets it commits: a restored backup that is older than
the forgetting is then put right from this file. It holds what the table holds, salted hashes and no words; the salts are
in the database. An author who is forgotten whole leaves one line: a hash, with a salt of its own, of who they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from filelock import FileLock
from sqlalchemy import Connection

from twin_core.errors import InvalidInput
from twin_core.runtime.folders import folders, make_home
from twin_core.settings import Settings
from twin_core.store.tombstones import Tombstone, all_tombstones


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneAuthor:
    """That somebody was forgotten as a whole, and when."""

    salt: str
    hash: str
    at: datetime

    def was(self, author_id: UUID) -> bool:
        """Whether it was this one."""
        return self.hash == _hash(self.salt, author_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Everything that the file says."""

    tombstones: list[Tombstone]
    authors: list[GoneAuthor]


def path_of(settings: Settings) -> Path:
    """Where the journal is."""
    return folders(settings).home / "tombstones.jsonl"


def append(settings: Settings, tombstones: Sequence[Tombstone]) -> None:
    """Add tombstones; they are on the disk when this returns."""
    if tombstones:
        with _locked(settings):
            _append(settings, [_line(tombstone) for tombstone in tombstones])


def read(settings: Settings) -> Journal:
    """The journal of this home; an empty one where there is no file."""
    return read_file(path_of(settings))


def read_file(path: Path) -> Journal:
    """A journal from a file. A line that a crash cut off at the end is not counted.

    Raises InvalidInput for any other line that cannot be read, naming it.
    """
    if not path.exists():
        return Journal(tombstones=[], authors=[])
    tombstones: dict[tuple[UUID, str], Tombstone] = {}
    authors = []
    lines = path.read_text("utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            said = json.loads(line)
            if said["kind"] == "author":
                authors.append(GoneAuthor(salt=said["salt"], hash=said["hash"], at=datetime.fromisoformat(said["at"])))
            else:
                one = Tombstone(
                    author_id=UUID(said["author"]),
                    kind=said["kind"],
                    hash=said["hash"],
                    bands=tuple(said.get("bands", ())),
                    at=datetime.fromisoformat(said["at"]),
                )
                tombstones[one.author_id, one.hash] = one
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise InvalidInput(
                f"Line {number} of {path} cannot be read, so it is not known what was forgotten. Restore the file from "
                f"a copy, or remove that line by hand."
            ) from error
    return Journal(tombstones=list(tombstones.values()), authors=authors)


def catch_up(settings: Settings, conn: Connection) -> int:
    """Add what the database has and the journal lacks: for a file that was lost, or a HOME that was new. Returns how many."""
    there = {(one.author_id, one.hash) for one in read(settings).tombstones}
    missing = [one for one in all_tombstones(conn) if (one.author_id, one.hash) not in there]
    append(settings, missing)
    return len(missing)


def forget_author(settings: Settings, author_id: UUID) -> None:
    """Take every line of an author out, and leave the one that says that they were forgotten."""
    with _locked(settings):
        path = path_of(settings)
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        named = str(author_id)
        kept = [line for line in lines if f'"{named}"' not in line]
        salt = secrets.token_hex(16)
        gone = GoneAuthor(salt=salt, hash=_hash(salt, author_id), at=datetime.now(UTC))
        draft = path.with_suffix(".new")
        _write(draft, [*kept, _line_of_author(gone)], os.O_TRUNC)
        draft.replace(path)


def add_authors(settings: Settings, authors: Sequence[GoneAuthor]) -> None:
    """Add authors whom another home has forgotten."""
    there = {one.hash for one in read(settings).authors}
    lines = [_line_of_author(one) for one in authors if one.hash not in there]
    if lines:
        with _locked(settings):
            _append(settings, lines)


def _line_of_author(one: GoneAuthor) -> str:
    return json.dumps({"kind": "author", "salt": one.salt, "hash": one.hash, "at": one.at.isoformat()})


def _line(tombstone: Tombstone) -> str:
    said: dict[str, object] = {
        "author": str(tombstone.author_id),
        "kind": tombstone.kind,
        "hash": tombstone.hash,
        "at": (tombstone.at or datetime.now(UTC)).isoformat(),
    }
    if tombstone.bands:
        said["bands"] = list(tombstone.bands)
    return json.dumps(said)


def _append(settings: Settings, lines: Sequence[str]) -> None:
    path = path_of(settings)
    cut_off = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    if cut_off:  # a crash in the middle of a line: that line was never acted on
        whole = path.read_bytes()
        with path.open("r+b") as file:
            file.truncate(whole.rfind(b"\n") + 1)
    _write(path, lines, os.O_APPEND)


def _write(path: Path, lines: Sequence[str], mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | mode, 0o600), "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    with FileLock(make_home(settings).run / "tombstones.lock"):
        yield


def _hash(salt: str, author_id: UUID) -> str:
    return hashlib.sha256(f"{salt}\x1f{author_id}".encode()).hexdigest()
