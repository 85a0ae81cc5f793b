"""Official exports: what a format must be able to do, which of them an archive is, and how one becomes a source.

A format is one module of `exports/` with a `FORMAT` in it; packages outside add theirs through the entry-point group
`llm_twin.exports`. An export is a source like any other: its locator is `export:` and the account it belongs to, so a
newer export of the same account is the same source and only what changed is new. The file's path is an option.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol, cast
from uuid import UUID

from twin_core import identity
from twin_core.collect import archive as archives
from twin_core.collect import exports as built_in
from twin_core.collect.archive import Archive
from twin_core.collect.reading import MEDIA_TYPES
from twin_core.collect.registry import EXPORT, EXPORTS, Options, collector_for, export_names, find
from twin_core.collect.rules import values
from twin_core.errors import InvalidInput
from twin_core.records import Failed, Found, Item, Known, Listed, Skipped, Source, Unchanged
from twin_core.settings import Settings

READ_AS = "1"
"""Raise it when the same export would be read differently: every archive is then read once more."""
OPTIONS = ("archive", "as", "inside")
"""`archive`: the path. `as`: whose writing it is, where the export does not say. `inside`: where in the archive."""
_READ = "read"
_MADE = "export"
THE_ARCHIVE = "the archive"
"""The native id under which a run says what it made of the archive as a whole."""
_LAST = ("papers",)
FOLDER = "folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """What a format says of an archive at a glance."""

    account: str
    """Whose it is, the same in every later export of it."""
    kinds: frozenset[str]
    """The kinds of items that it lists, such as `articles`: an export without a kind says nothing of those."""
    candidates: tuple[str, ...] = ()
    """Names between which a person must choose with `--as`, when the export does not say who exported it."""


class Format(Protocol):
    """One export format. Items are `Found`, `Skipped` or `Failed`; native ids begin with `kind:`."""

    @property
    def platform(self) -> str: ...

    @property
    def looks_for(self) -> str:
        """What it is recognised by, in words for a person."""
        ...

    @property
    def whole(self) -> bool:
        """Whether an export holds everything of its kinds: what a newer one lacks is gone. A mailbox may be a part."""
        ...

    def recognises(self, archive: Archive, options: Options) -> Recognised | None:
        """What the archive is, or None. Looks at names and beginnings only; never raises on broken content."""
        ...

    def items(self, archive: Archive, options: Options, settings: Settings) -> Iterator[Item]:
        """Every item once. A broken one is `Failed` and the rest goes on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One export, or folder of files, found at a path: what a source is made from."""

    platform: str
    account: str
    """Empty when the export does not say whose it is."""
    path: Path
    inside: str = ""
    candidates: tuple[str, ...] = ()
    made_at: datetime | None = None

    def source(self, author_id: UUID, own: Sequence[str], there: Sequence[Source]) -> Source:
        """The source it becomes: the one that is there already for this account, or a new one.

        An export that names no account belongs to the only account there is of its platform. `own` is what a person
        said of whose writing it is.
        """
        same = [one for one in there if one.platform == self.platform and one.locator.startswith(EXPORT)]
        if self.platform == FOLDER:
            locator = self.account
        elif not self.account and len(same) == 1:
            locator = same[0].locator
        else:
            locator = f"{EXPORT}{self.account or self.platform}"
        before = next((one for one in there if (one.platform, one.locator) == (self.platform, locator)), None)
        options: dict[str, str | list[str]] = dict(before.options) if before is not None else {}
        if self.platform != FOLDER:
            stated = {"archive": str(self.path), "inside": self.inside, "as": list(own) or options.get("as", [])}
            options = {**options, **{name: value for name, value in stated.items() if value}}
            if not self.inside:
                options.pop("inside", None)
        return Source(
            id=identity.source_id(author_id, self.platform, locator),
            author_id=author_id,
            platform=self.platform,
            locator=locator,
            schedule=None if before is None else before.schedule,
            options=options,
        )


@dataclass(slots=True)
class Kind:
    """What there is of one kind of item in an export."""

    found: int = 0
    skipped: int = 0
    failed: int = 0
    first: datetime | None = None
    last: datetime | None = None
    reasons: Counter[str] = field(default_factory=Counter)


def format_named(platform: str) -> Format:
    """The export format of a platform. Raises InvalidInput naming those there are."""
    found = find(platform, built_in, "FORMAT", EXPORTS)
    if found is None:
        raise InvalidInput(f"There is no export format `{platform}`. There are: {', '.join(export_names())}.")
    return cast("Format", found)


def recognise(path: Path, options: Options, settings: Settings) -> list[Import]:
    """Every export at a path, by content: the path itself, its folders, the zips in it; the oldest first.

    Papers and a folder of notes are no exports, so they are what a path is only when it is nothing else. Raises
    InvalidInput when nothing is recognised, saying what is understood and what each format was looked for by.
    """
    with archives.opened(path, settings) as there:
        exports = [name for name in export_names() if name not in _LAST]
        found = [one for archive in there for one in _in_archive(archive, exports, options)]
        if not found:
            found = [one for archive in there for one in _in_archive(archive, _LAST, options)]
            found += _notes(there[0])
        members = sum(len(archive.names) for archive in there)
    if not found:
        raise InvalidInput(
            f"{path} is nothing that is understood ({members:,} files were looked at). What is looked for: "
            + "; ".join(f"{platform}: {format_named(platform).looks_for}" for platform in export_names())
            + "; a folder of Markdown, HTML or text files (unpack it when it is a zip)."
        )
    return sorted(found, key=lambda one: (one.made_at is not None, one.made_at))


def _in_archive(archive: Archive, platforms: Sequence[str], options: Options) -> Iterator[Import]:
    roots = list(archive.roots())
    for platform in platforms:
        yield from _of_format(roots, platform, options)


def _of_format(roots: Sequence[Archive], platform: str, options: Options) -> Iterator[Import]:
    """The exports of one format in one archive; what lies inside one of them is part of it."""
    form = format_named(platform)
    taken: list[str] = []
    for root in roots:
        if any(root.prefix.startswith(prefix) for prefix in taken):
            continue
        recognised = form.recognises(root, options)
        if recognised is not None:
            taken.append(root.prefix)
            yield Import(
                platform=platform,
                account=recognised.account,
                path=root.path,
                inside=root.at,
                candidates=recognised.candidates,
                made_at=root.made_at,
            )


def _notes(archive: Archive) -> Iterator[Import]:
    """A folder of notes, an Obsidian vault too: the platform for folders reads it, and follows it from then on."""
    suffixes = "|".join(re.escape(suffix) for suffix in MEDIA_TYPES)
    if archive.path.is_dir() and archive.matching(rf".*(?:{suffixes})"):
        yield Import(platform=FOLDER, account=str(archive.path.resolve()), path=archive.path)


def survey(source: Source, settings: Settings) -> dict[str, Kind]:
    """What a source holds, by kind: reads it through once as if nothing were known, and keeps nothing."""
    kinds: dict[str, Kind] = {}
    for item in collector_for(source.platform).collect(source, {}, settings):
        if isinstance(item, Found | Skipped | Failed):
            _count(kinds.setdefault(kind_of(item.native_id), Kind()), item)
    return kinds


def kind_of(native_id: str) -> str:
    """`post:123` is a `post`; what names no kind is a file."""
    kind, colon, _ = native_id.partition(":")
    return kind if colon and kind.isalpha() else "file"


def _count(kind: Kind, item: Found | Skipped | Failed) -> None:
    match item:
        case Found(written_at=at):
            kind.found += 1
            if at is not None:
                kind.first = at if kind.first is None else min(kind.first, at)
                kind.last = at if kind.last is None else max(kind.last, at)
        case Skipped(reason=reason):
            kind.skipped += 1
            kind.reasons[reason] += 1
        case Failed(reason=reason):
            kind.failed += 1
            kind.reasons[reason] += 1


@dataclass(frozen=True, slots=True)
class ExportCollector:
    """Serves the `export:` sources of one platform."""

    platform: str

    def check(self, locator: str, options: Options, settings: Settings) -> str:  # noqa: ARG002 - the protocol's
        """The locator as it is. Raises InvalidInput when the options do not name an archive."""
        if unknown := sorted(set(options) - set(OPTIONS) - {"may_be_empty"}):
            raise InvalidInput(f"There is no option `{unknown[0]}` for an export. There are: {', '.join(OPTIONS)}.")
        if not locator.removeprefix(EXPORT).strip() or not options.get("archive"):
            raise InvalidInput("An export is added by importing it: `twin import --author SLUG PATH`.")
        return locator

    def collect(self, source: Source, known: Mapping[str, Known], settings: Settings) -> Iterator[Item]:
        """What the archive holds, once. One that is gone, or that was read to its end before, changes nothing.

        What an export no longer holds is gone when the export is whole, newer than the last, and could be read
        without a failure; else what is missing says nothing.
        """
        path = Path("".join(values(source.options, "archive")))
        try:
            version = f"{READ_AS}-{archives.stamp(path)}-{''.join(values(source.options, 'as'))}"
        except OSError:
            yield Skipped(
                native_id=THE_ARCHIVE,
                location=str(path),
                reason="the archive is not there any more: what came from it stays. A newer one: `twin import`",
            )
            return
        if any(one.validators.get(_READ) == version for one in known.values()):
            reason = f"the archive has not changed since it was imported: {len(known):,} items stand"
            yield Skipped(native_id=THE_ARCHIVE, location=str(path), reason=reason)
            return
        with archives.opened(path, settings) as there:
            archive = _at(there, "".join(values(source.options, "inside")))
            yield from _Reading(format_named(self.platform), archive, known).items(source.options, settings, version)


class _Reading:
    """One reading of one archive against what is known of it."""

    def __init__(self, form: Format, archive: Archive, known: Mapping[str, Known]) -> None:
        self.form, self.archive, self.known = form, archive, known
        self.made = archive.made_at.isoformat() if archive.made_at else ""
        newest = max((one.validators.get(_MADE, "") for one in known.values()), default="")
        self.older = bool(self.made) and self.made < newest
        self.clean = True

    def items(self, options: Options, settings: Settings, version: str) -> Iterator[Item]:
        """The items; the last one carries the mark that the archive was read to its end."""
        held: Found | Unchanged | None = None
        for item in self.form.items(self.archive, options, settings):
            if not isinstance(item, Found):
                self.clean = self.clean and not isinstance(item, Failed)
                yield item
                continue
            if held is not None:
                yield held
            held = self._against_known(item)
        if held is not None:
            yield replace(held, validators={**held.validators, _READ: version})
        yield from self._end(options)

    def _against_known(self, item: Found) -> Found | Unchanged:
        before = self.known.get(item.native_id)
        if self.older and before is not None:
            validators = {name: value for name, value in before.validators.items() if name != _READ}
            return Unchanged(native_id=item.native_id, validators=validators)
        return replace(item, validators={**item.validators, _MADE: self.made})

    def _end(self, options: Options) -> Iterator[Item]:
        """`Listed` where what is missing is gone; else, where there is something to say, why it is not."""
        if not self.form.whole:
            return
        reason = ""
        if self.older:
            reason = "an older export than the last one: only what was not there yet was taken"
        elif missing := self._kinds() - self._recognised(options):
            reason = f"this export has no {' and no '.join(sorted(missing))}: those of an earlier one stay"
        elif not self.clean:
            reason = "a part of this export could not be read, so nothing that it lacks was taken for deleted"
        if reason:
            if self.known:
                yield Skipped(native_id=THE_ARCHIVE, location=str(self.archive.path), reason=reason)
            return
        yield Listed()

    def _kinds(self) -> set[str]:
        return {kind_of(native_id) for native_id in self.known}

    def _recognised(self, options: Options) -> frozenset[str]:
        recognised = self.form.recognises(self.archive, options)
        return recognised.kinds if recognised is not None else frozenset()


def _at(there: Sequence[Archive], inside: str) -> Archive:
    """The archive that was recognised before. Raises InvalidInput when it is no longer there."""
    for archive in there:
        for root in archive.roots():
            if root.at == inside:
                return root
    raise InvalidInput(
        f"{there[0].path} no longer holds `{inside}`. Import it again: `twin import --author SLUG PATH`."
    )
