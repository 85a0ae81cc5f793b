"""An export as a person has it: a folder, a zip, a zip in a zip, or one file; its members read as streams.

Knows nothing of formats. A zip comes from outside and is believed in nothing: names that lead elsewhere, symbolic
links, encrypted members and archives that blow up are refused before anything is read. Memory stays small whatever
the size: members are streams, and a zip inside a zip is copied to the disk beside the twin's state, never to memory.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import stat
import sys
import tempfile
import zipfile
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from twin_core.errors import InvalidInput, Refused
from twin_core.settings import Settings

MOST_MEMBERS = 2_000_000
BOMB_RATIO = 200
"""Text seldom packs better than 30 to 1, a bomb 1,000 to 1."""
BOMB_FROM_BYTES = 50_000_000
"""Below this an archive cannot hurt, however well it is packed."""
DEEPEST_ZIP = 3
"""`export.zip.zip` in a zip; what is deeper is no export."""
_DEEPEST_ROOT = 3
_ENCRYPTED = 0x1
_DRIVE = re.compile(r"^[A-Za-z]:")
_BROKEN = (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive."""

    size: int
    made_at: datetime | None


class _Store(Protocol):
    """Where members lie."""

    @property
    def members(self) -> Mapping[str, Member]: ...

    def open(self, name: str) -> IO[bytes]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One export, or one folder of it: names are relative to it, with `/`."""

    path: Path
    """What a person named."""
    at: str
    """Where in it this archive is: empty, or `inner.zip!/folder`."""
    limit: int
    """Largest member that `read` takes, in bytes."""
    store: _Store
    prefix: str = ""
    names: tuple[str, ...] = field(default=())
    """Sorted."""

    @property
    def made_at(self) -> datetime | None:
        """When the newest member was written: tells an older export from a newer one."""
        times = [self.store.members[self.prefix + name].made_at for name in self.names]
        return max((time for time in times if time is not None), default=None)

    def matching(self, pattern: str) -> list[str]:
        """Names that a regular expression matches from beginning to end, ignoring case; sorted."""
        wanted = re.compile(pattern, re.IGNORECASE)
        return [name for name in self.names if wanted.fullmatch(name)]

    def size(self, name: str) -> int:
        """Bytes of a member, unpacked."""
        return self.store.members[self.prefix + name].size

    def open(self, name: str) -> IO[bytes]:
        """A member as a stream. Raises InvalidInput, then or while it is read, when the archive is broken there."""
        return cast("IO[bytes]", io.BufferedReader(_Checked(self.store.open(self.prefix + name), name), 1 << 16))

    def read(self, name: str) -> bytes:
        """A member whole. Raises InvalidInput when it is broken, or larger than the limit."""
        if self.size(name) > self.limit:
            raise InvalidInput(
                f"{name} is larger than {self.limit:,} bytes (TWIN_IMPORT_MAX_MEMBER_BYTES): {self.size(name):,}"
            )
        with self.open(name) as opened:
            return opened.read()

    def head(self, name: str, size: int = 65_536) -> bytes:
        """The beginning of a member; empty when it cannot be read."""
        try:
            with self.open(name) as opened:
                return opened.read(size)
        except (InvalidInput, OSError):
            return b""

    def location(self, name: str) -> str:
        """Where a person finds a member."""
        inside = "/".join(part for part in (self.at, name) if part)
        if not self.path.is_file():
            return f"{self.path}/{inside}"
        return str(self.path) if self.path.name == inside else f"{self.path}!/{inside}"

    def roots(self) -> Iterator[Archive]:
        """The archive itself, then its folders, down to the depth in which exports lie."""
        folders = {""}
        for name in self.names:
            parts = name.split("/")[:-1]
            folders.update("/".join(parts[:depth]) + "/" for depth in range(1, min(len(parts), _DEEPEST_ROOT) + 1))
        for folder in sorted(folders, key=lambda one: (one.count("/"), one)):
            yield self.within(folder)

    def within(self, folder: str) -> Archive:
        """The archive of one of its folders; `folder` ends with `/` unless it is empty."""
        if not folder:
            return self
        first, last = bisect_left(self.names, folder), bisect_left(self.names, folder + chr(sys.maxunicode))
        return Archive(
            path=self.path,
            at="/".join(part for part in (self.at, folder.rstrip("/")) if part),
            limit=self.limit,
            store=self.store,
            prefix=self.prefix + folder,
            names=tuple(name.removeprefix(folder) for name in self.names[first:last]),
        )


@contextmanager
def opened(path: Path, settings: Settings) -> Iterator[list[Archive]]:
    """Every archive at a path: what lies there, and each zip inside it.

    Raises InvalidInput when there is nothing that can be read, Refused for an archive that is not to be trusted.
    """
    path = path.expanduser().absolute()
    if not path.exists():
        raise InvalidInput(
            f"There is no {path}. Give the export as it was downloaded, or the folder it was unpacked to."
        )
    with ExitStack() as stack:
        try:
            yield list(_archives(path, settings, stack))
        except PermissionError as error:
            raise InvalidInput(
                f"{error.filename or path} cannot be read by this user. Change its permissions."
            ) from error


def fingerprint(path: Path) -> str:
    """Hex SHA-256 of what lies at a path, streamed: of the file, or of a folder's file names and contents in order."""
    if path.is_file():
        return _hash_of(path)
    whole = hashlib.sha256()
    for name in sorted(_walk(path)):
        whole.update(f"{_hash_of(path / name)}  {name}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def stamp(path: Path) -> str:
    """Changes when what lies at a path does, without reading it. Raises OSError when it is gone."""
    about = path.stat()
    if path.is_file():
        return f"{about.st_size}-{about.st_mtime_ns}"
    whole = hashlib.sha256()
    for name in sorted(_walk(path)):
        one = (path / name).stat()
        whole.update(f"{name}\0{one.st_size}\0{one.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()[:24]


def _archives(path: Path, settings: Settings, stack: ExitStack) -> Iterator[Archive]:
    if path.is_dir():
        store: _Store = _Folder(path)
    elif zipfile.is_zipfile(path) and path.suffix.lower() not in _ZIPS_BY_BIRTH:
        store = _Zip(stack.enter_context(path.open("rb")), path.name, settings)
    else:
        store = _File(path)
    yield from _with_inner(_archive(path, "", store, settings), settings, stack, 1)


_ZIPS_BY_BIRTH = frozenset({".docx", ".odt", ".epub", ".xlsx", ".pptx"})
"""Documents that are zips by construction: files to us."""


def _with_inner(archive: Archive, settings: Settings, stack: ExitStack, depth: int) -> Iterator[Archive]:
    inner = [name for name in archive.names if name.lower().endswith(".zip")]
    yield archive
    if inner and depth >= DEEPEST_ZIP:
        raise Refused(f"{archive.path} holds zips inside zips, more than {DEEPEST_ZIP} deep. Unpack what is meant.")
    for name in inner:
        copy = stack.enter_context(_spooled(archive, name, settings))
        if not zipfile.is_zipfile(copy):
            continue  # named as one; whatever it is, no format asks for it
        store = _Zip(copy, name, settings)
        at = "/".join(part for part in (archive.at, name) if part)
        yield from _with_inner(_archive(archive.path, at, store, settings), settings, stack, depth + 1)


def _archive(path: Path, at: str, store: _Store, settings: Settings) -> Archive:
    names = tuple(sorted(name for name in store.members if not _is_furniture(name)))
    return Archive(path=path, at=at, limit=settings.import_max_member_bytes, store=store, names=names)


def _is_furniture(name: str) -> bool:
    """What operating systems leave in archives."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1] in {".DS_Store", "Thumbs.db"}


@contextmanager
def _spooled(archive: Archive, name: str, settings: Settings) -> Iterator[IO[bytes]]:
    """A zip inside an archive, on disk: going back in a packed stream would unpack it again from its beginning."""
    if isinstance(archive.store, _Folder):
        with archive.store.open(name) as plain:
            yield plain
        return
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.home, prefix="import-") as copy:
        with archive.open(name) as packed:
            shutil.copyfileobj(packed, copy, 1 << 20)
        copy.seek(0)
        yield cast("IO[bytes]", copy)


class _Folder:
    """An unpacked export. Symbolic links are not followed: they are no part of an export."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.members = {name: _about(root / name) for name in sorted(_walk(root))}

    def open(self, name: str) -> IO[bytes]:
        return (self.root / name).open("rb")


class _File:
    """One file that is no archive: a mailbox, a JSON, a PDF."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.members = {path.name: _about(path)}

    def open(self, name: str) -> IO[bytes]:  # noqa: ARG002 - there is only one
        return self.path.open("rb")


class _Zip:
    """A zip, its directory checked before anything is read from it."""

    def __init__(self, file: IO[bytes], name: str, settings: Settings) -> None:
        try:
            self.zip = _directory(file)
        except _BROKEN as error:
            raise InvalidInput(f"{name} is a broken zip ({error}). Download the export again.") from error
        size = file.seek(0, os.SEEK_END)
        entries = [info for info in self.zip.infolist() if not info.is_dir()]
        if len(entries) > MOST_MEMBERS:
            raise Refused(f"{name} has more than {MOST_MEMBERS:,} members: no export has. Nothing was read.")
        for info in entries:
            _check(info, name)
        whole = sum(info.file_size for info in entries)
        if whole > settings.import_max_bytes:
            raise Refused(
                f"{name} unpacks to {whole:,} bytes, more than TWIN_IMPORT_MAX_BYTES ({settings.import_max_bytes:,}) "
                f"allows. Nothing was read."
            )
        if whole > BOMB_FROM_BYTES and whole > BOMB_RATIO * size:
            raise Refused(f"{name} unpacks to {whole // max(size, 1):,} times its size: a zip bomb. Nothing was read.")
        self.infos = {info.filename: info for info in entries}
        if len(self.infos) != len(entries):
            raise Refused(f"{name} holds two members of the same name: it is not clear which counts. Nothing was read.")
        self.members = {name: Member(info.file_size, _dos_time(info)) for name, info in self.infos.items()}

    def open(self, name: str) -> IO[bytes]:
        try:
            return self.zip.open(self.infos[name])
        except _BROKEN as error:
            raise InvalidInput(f"{name} cannot be read: the archive is broken there ({error})") from error


def _directory(file: IO[bytes]) -> zipfile.ZipFile:
    """Names that are not marked as UTF-8 are UTF-8 all the same, or else what DOS had."""
    try:
        return zipfile.ZipFile(file, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return zipfile.ZipFile(file)


def _check(info: zipfile.ZipInfo, archive: str) -> None:
    """Raise Refused for a member that leads out of the archive, links elsewhere, is encrypted, or blows up."""
    name = info.orig_filename.replace("\\", "/")
    if name.startswith("/") or _DRIVE.match(name) or "\0" in name:
        raise Refused(
            f"{archive} holds the absolute name {name!r}. That is an attack, not an export. Nothing was read."
        )
    if ".." in name.split("/"):
        raise Refused(f"{archive} holds {name!r}, which leads out of it. That is an attack. Nothing was read.")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise Refused(f"{archive} holds the symbolic link {name!r}. Exports have none. Nothing was read.")
    if info.flag_bits & _ENCRYPTED:
        raise Refused(f"{archive} is encrypted ({name!r}). Unpack it with its password and import the folder.")
    if info.file_size > BOMB_FROM_BYTES and info.file_size > BOMB_RATIO * info.compress_size:
        raise Refused(f"{archive} holds {name!r}, packed {BOMB_RATIO} times and more: a zip bomb. Nothing was read.")


def _dos_time(info: zipfile.ZipInfo) -> datetime | None:
    """A zip's clock has no zone and begins in 1980; that very moment stands for "not stated"."""
    try:
        return datetime(*info.date_time, tzinfo=UTC) if info.date_time > (1980, 1, 1, 0, 0, 0) else None
    except ValueError:
        return None


class _Checked(io.RawIOBase):
    """A member's bytes, with what zipfile raises in the middle turned into an error for a person."""

    def __init__(self, inner: IO[bytes], name: str) -> None:
        self._inner, self._name = inner, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        try:
            some = self._inner.read(len(view))
        except (*_BROKEN, OSError, _zlib_error()) as error:
            raise InvalidInput(f"{self._name} breaks off: the archive is damaged there ({error})") from error
        view[: len(some)] = some
        return len(some)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


def _zlib_error() -> type[Exception]:
    import zlib

    return zlib.error


def _about(path: Path) -> Member:
    about = path.stat()
    return Member(about.st_size, datetime.fromtimestamp(about.st_mtime, UTC))


def _walk(root: Path) -> Iterator[str]:
    """Regular files below a folder, relative, with `/`; nothing hidden, no links."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path.relative_to(root).as_posix()


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
