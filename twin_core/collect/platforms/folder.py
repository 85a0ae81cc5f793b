"""A folder of the author's own files: Markdown (Obsidian vaults too), HTML, plain text.

Here: which files of the folder count, whether they changed, and what happens to those that cannot be taken. What a
file says is read in `reading.py`. A folder is listed to its end, so a file that is gone is a document that is gone;
a folder that is missing or suddenly empty is never taken for that.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from twin_core.collect import reading
from twin_core.collect.registry import Options
from twin_core.collect.rules import Rules, read_rules
from twin_core.errors import InvalidInput, SourceUnavailable
from twin_core.records import Category, Failed, Found, Item, Known, Listed, Skipped, Source, Unchanged
from twin_core.settings import Settings

# Raise when the same file would be read differently: every file is then read once more.
_READ_AS = "1"
_NEVER_OWN = frozenset({"node_modules", "__pycache__"})
# A file written again within the clock's grain keeps its time and perhaps its size: such a time proves nothing.
_SETTLED_NS = 2_000_000_000


class FolderCollector:
    """Markdown, HTML and text files below one folder."""

    platform = "folder"

    def check(self, locator: str, options: Options, settings: Settings) -> str:  # noqa: ARG002 - the protocol's
        """The folder's absolute path. Raises InvalidInput when it is missing, a file, or unreadable."""
        read_rules(options)
        if not locator.strip() or "\0" in locator:
            raise InvalidInput("A folder source needs the path of a folder.")
        folder = Path(locator).expanduser().absolute()
        if not folder.exists():
            raise InvalidInput(f"There is no folder {folder}. Check the spelling; a network drive must be mounted.")
        if not folder.is_dir():
            raise InvalidInput(f"{folder} is a file. Give the folder it is in, with the option include={folder.name}.")
        if not os.access(folder, os.R_OK | os.X_OK):
            raise InvalidInput(f"The folder {folder} cannot be read by this user. Change its permissions.")
        return str(folder.resolve())

    def collect(self, source: Source, known: Mapping[str, Known], settings: Settings) -> Iterator[Item]:
        """Every file that counts, then `Listed`, unless a part of the folder could not be listed."""
        root = Path(source.locator)
        rules = read_rules(source.options)
        listing = _Listing(root, rules)
        paths = listing.paths()
        if not paths and not listing.failed and known and not rules.may_be_empty:
            raise SourceUnavailable(
                f"The folder {root} holds {'nothing' if listing.bare else 'no file that this source takes'}, and "
                f"{len(known)} documents from it are stored. Nothing was deleted. Put the files back; or, if it is empty "
                f"on purpose, set the source's option may_be_empty=yes."
            )
        files = _Files(root, rules, settings.max_file_bytes)
        for path in paths:
            yield files.item(path, known.get(_name(path)))
        yield from listing.failed
        if not listing.failed:
            yield Listed(own_count=len(paths))


COLLECTOR = FolderCollector()


class _Listing:
    """The files of a folder that a source takes, and what went wrong while listing them."""

    def __init__(self, root: Path, rules: Rules) -> None:
        self.root = root
        self.rules = rules
        self.failed: list[Failed] = []
        self.bare = True
        if not root.is_dir():
            raise SourceUnavailable(
                f"There is no folder {root} any more. Nothing was deleted. Put it back or mount its drive; if it has "
                f"moved, add it as a new source."
            )

    def paths(self) -> list[str]:
        """Relative paths with `/`, sorted."""
        found: list[str] = []
        for folder, folders, files in os.walk(self.root, onerror=self._unlisted):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NEVER_OWN)
            self.bare = self.bare and not files
            links = [name for name in folders if Path(folder, name).is_symlink()]
            for name in (*files, *links):
                path = Path(folder, name).relative_to(self.root).as_posix()
                if not name.startswith(".") and self._wanted(path, name, is_folder=name in links):
                    found.append(path)
        return sorted(found)

    def _wanted(self, path: str, name: str, *, is_folder: bool) -> bool:
        if is_folder:
            return self.rules.takes(f"{path}/")
        if not self.rules.takes(path):
            return False
        known_kind = PurePosixPath(name).suffix.lower() in reading.MEDIA_TYPES
        return known_kind or bool(self.rules.include) or self.rules.category_of(path) == Category.CODE

    def _unlisted(self, error: OSError) -> None:
        where = _name(os.path.relpath(str(error.filename), self.root))
        if where == ".":
            raise SourceUnavailable(f"The folder {self.root} cannot be read: {error.strerror}.") from error
        self.failed.append(
            Failed(
                native_id=f"{where}/",
                location=str(error.filename),
                reason=f"the folder cannot be listed: {error.strerror}",
            )
        )


def _template_folders(root: Path) -> tuple[str, ...]:
    """Where an Obsidian vault keeps its templates; nothing for a folder that is no vault."""
    vault = root / ".obsidian"
    if not vault.is_dir():
        return ()
    try:
        stated = str(json.loads((vault / "templates.json").read_text("utf-8"))["folder"]).strip("/")
    except (OSError, ValueError, LookupError, TypeError):
        stated = ""
    return (f"{stated}/",) if stated else ("templates/", "Templates/", "_templates/")


class _Files:
    """Reads the files of one folder under one set of rules."""

    def __init__(self, root: Path, rules: Rules, limit: int) -> None:
        self.root = root
        self.inside = root.resolve()
        self.rules = rules
        self.limit = limit
        self.templates = _template_folders(root)

    def item(self, path: str, before: Known | None) -> Item:
        """What becomes of the file at this relative path."""
        native_id, location = _name(path), _name(str(self.root / path))
        if native_id != path:
            return Failed(native_id=native_id, location=location, reason="its name is not UTF-8: rename the file")
        try:
            why = self._why_not(path)
            if why is not None:
                return Skipped(native_id=native_id, location=location, reason=why)
            stamp = self._stamp((self.root / path).stat())
            if "mtime_ns" in stamp and before is not None and stamp.items() <= before.validators.items():
                return Unchanged(native_id=native_id, validators=stamp)
            body = _bytes_of(self.root / path, self.limit)
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            return Failed(native_id=native_id, location=location, reason=f"cannot be read: {reason}")
        return self._read(body, native_id, before, stamp)

    def _why_not(self, path: str) -> str | None:
        """Why a file is not taken by its place and kind; None when it is."""
        file = self.root / path
        if path.startswith(self.templates):
            return "a template of the vault"
        if file.is_symlink() and not file.resolve(strict=True).is_relative_to(self.inside):
            return "a symbolic link that leads out of the folder"
        about = file.stat()
        if stat.S_ISDIR(about.st_mode):
            return "a symbolic link to a folder: its files are taken where they are"
        if not stat.S_ISREG(about.st_mode):
            return "not a regular file"
        if about.st_size > self.limit:
            return f"larger than {self.limit:,} bytes (TWIN_MAX_FILE_BYTES): {about.st_size:,}"
        return None

    def _stamp(self, about: os.stat_result) -> dict[str, str]:
        stamp = {"rules": f"{_READ_AS}-{self.rules.fingerprint}", "size": str(about.st_size)}
        if time.time_ns() - about.st_mtime_ns > _SETTLED_NS:
            stamp["mtime_ns"] = str(about.st_mtime_ns)
        return stamp

    def _read(self, body: bytes, path: str, before: Known | None, stamp: Mapping[str, str]) -> Item:
        location = str(self.root / path)
        media_type = reading.media_type_of(path)
        ruled = self.rules.category_of(path)
        try:
            if ruled == Category.CODE:
                read = reading.read_code(body, path)
            else:
                read = reading.read(body, path, media_type)
        except reading.Draft as error:
            return Skipped(native_id=path, location=location, reason=str(error), withdrawn=True)
        except reading.EmptyText as error:
            return Skipped(native_id=path, location=location, reason=str(error), empty=True)
        except InvalidInput as error:
            return Failed(native_id=path, location=location, reason=str(error))
        if before is not None and before.content_hash == read.content_hash:
            return Unchanged(native_id=path, validators=stamp)
        return Found(
            native_id=path,
            location=location,
            category=read.category or ruled or Category.ARTICLE,
            media_type=media_type,
            body=body,
            content_hash=read.content_hash,
            title=read.title,
            written_at=read.written_at,
            canonical_url=read.canonical_url,
            metadata=read.metadata,
            validators=stamp,
        )


def _bytes_of(file: Path, limit: int) -> bytes:
    with file.open("rb") as opened:
        body = opened.read(limit + 1)
    if len(body) > limit:
        raise OSError(f"it grew beyond {limit:,} bytes while it was read")
    return body


def _name(path: str) -> str:
    """A file name as text that every store can hold: bytes that are no UTF-8 are written as numbers."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
