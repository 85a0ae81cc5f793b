"""A git repository: GitHub, any other URL, or a clone on this machine; only the files that the author wrote.

Here: which files of HEAD are the author's own, and what each becomes (code, one document per file with its bytes
kept; READMEs and docs, articles). Git itself is run in `repository.py`; what is vendored or generated is judged in
`code_files.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from twin_core.collect import reading
from twin_core.collect.addresses import addresses_of, host_and_port, literal
from twin_core.collect.code_files import is_prose, language_of, why_not_by_content, why_not_by_path
from twin_core.collect.licence import licence_of, stated_licence
from twin_core.collect.registry import Options
from twin_core.collect.repository import Blob, GitFailed, History, Repository
from twin_core.collect.rules import Rules, read_rules, values
from twin_core.collect.stated import storable
from twin_core.errors import InvalidInput, Refused, SourceUnavailable
from twin_core.records import Category, Failed, Found, Item, Known, Listed, Skipped, Source, Unchanged
from twin_core.settings import Settings

# Raise when the same blob would be read differently: every file is then read once more.
_READ_AS = "1"
_OWN_OPTIONS = ("identities", "branch")
_SCHEMES = ("http", "https", "ssh", "file")
_SCP = re.compile(r"(?:([A-Za-z0-9._-]+)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!/)(.+)")
# Hosts whose web address of a repository has two segments, and whose clone address may end in `.git`.
_FORGES = {
    "github.com": "https://github.com/{repository}/blob/{branch}/{path}",
    "gitlab.com": "https://gitlab.com/{repository}/-/blob/{branch}/{path}",
    "codeberg.org": "https://codeberg.org/{repository}/src/branch/{branch}/{path}",
    "bitbucket.org": "https://bitbucket.org/{repository}/src/{branch}/{path}",
}
_LICENCE_FILE = re.compile(r"(?:un)?(?:licen[cs]e|copying)(?:[.-][^/]*)?", re.IGNORECASE)
_NO_FILES = {"120000": "a symbolic link", "160000": "a submodule: add its repository as a source of its own"}
_ATTRIBUTES = ("linguist-vendored", "linguist-generated")


class NoIdentity(SourceUnavailable, InvalidInput):
    """Nobody said which of a repository's authors the author is: an input to correct, and no reason to delete."""


class GitCollector:
    """The author's own files of one repository's default branch."""

    platform = "git"

    def check(self, locator: str, options: Options, settings: Settings) -> str:
        """The canonical address: `https://github.com/owner/name`, another URL, or an absolute path.

        Raises InvalidInput for what is no repository's address and, for a clone on this machine, when it has several
        authors and the option `identities` names none; Refused for a host inside this network.
        """
        read_rules(options, own=_OWN_OPTIONS)
        place = canonical(locator)
        if place.startswith("/"):
            with TemporaryDirectory(prefix="twin-git-") as scratch:
                _check_local(Repository(place, Path(scratch, "check"), local=True), options)
            return place
        _guard(place, settings)
        return place

    def collect(self, source: Source, known: Mapping[str, Known], settings: Settings) -> Iterator[Item]:
        """Every file of HEAD, then `Listed`: history says for certain what is gone."""
        yield from collect_into(settings.home.absolute() / "clones" / str(source.id), source, known, settings)


COLLECTOR = GitCollector()


def collect_into(
    folder: Path, source: Source, known: Mapping[str, Known], settings: Settings, *, guessed: Sequence[str] = ()
) -> Iterator[Item]:
    """As `GitCollector.collect`, with the clone kept in `folder`.

    `guessed` are names and addresses that the author probably commits under; a repository's only author is taken for
    them all the same. Raises NoIdentity when it has several authors and none of them is known.
    """
    rules = read_rules(source.options, own=_OWN_OPTIONS)
    repository = _repository(folder, source, settings)
    branches = values(source.options, "branch")
    branch = repository.update(branches[0] if branches else None)
    run = _Run(repository, source, rules, branch, _identities(source.options, repository, guessed))
    yield from run.items(known, settings.max_file_bytes)
    yield Listed(own_count=run.own_count)


def canonical(locator: str) -> str:
    """The address in one form, so that a repository added twice is one source. Raises InvalidInput."""
    text = locator.strip()
    if not text or text.startswith("-") or any(ord(character) < 32 for character in text):
        raise InvalidInput("A git source needs a URL or the path of a clone.")
    if "::" in text.split("/", 1)[0]:
        raise InvalidInput(f"`{text}` names a transport program. Give a https, ssh or file address.")
    if "://" not in text:
        if found := _SCP.fullmatch(text):
            user, host, path = found.groups()
            text = f"ssh://{user or 'git'}@{host}/{path}"
        else:
            return _local(Path(text))
    parts = urlsplit(text)
    if parts.scheme.lower() == "file":
        return _local(Path(parts.path))
    host, _ = host_and_port(text, _SCHEMES)
    path = parts.path.rstrip("/")
    if host in _FORGES:
        path = path.removesuffix(".git")
        if host == "github.com":
            path = "/".join(path.split("/")[:3])  # a link to a folder or file of it means the repository
    if path.count("/") < 1 or path == "":
        raise InvalidInput(f"`{locator}` names no repository, as https://github.com/owner/name does.")
    user = f"{parts.username}@" if parts.username and parts.scheme.lower() == "ssh" else ""
    port = f":{parts.port}" if parts.port else ""
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme.lower()}://{user}{shown}{port}{path}"


def _local(path: Path) -> str:
    folder = path.expanduser().absolute()
    if not folder.is_dir():
        raise InvalidInput(f"There is no repository at {folder}. Give a clone's folder, or a URL with its scheme.")
    return str(folder.resolve())


def _guard(url: str, settings: Settings) -> list[str]:
    """The addresses git may talk to, resolved now. Raises Refused for a host inside this network."""
    host, port = host_and_port(url, _SCHEMES)
    with suppress(OSError, UnicodeError):  # no network, or no such name: git says so in its own words
        return addresses_of(host, port, allow=settings.crawl_allow_hosts)
    return []


def _check_local(repository: Repository, options: Options) -> None:
    try:
        repository.update(next(iter(values(options, "branch")), None))
    except GitFailed as error:
        raise InvalidInput(str(error).replace(" Nothing was deleted.", "")) from error
    except SourceUnavailable:
        return  # no commits yet: they may come
    _identities(options, repository)


def _repository(folder: Path, source: Source, settings: Settings) -> Repository:
    place = source.locator
    if place.startswith("/"):
        if not Path(place).is_dir():
            raise SourceUnavailable(f"There is no repository at {place} any more. Nothing was deleted. Put it back.")
        return Repository(place, folder, local=True)
    try:
        found = _guard(place, settings)
    except Refused as error:
        raise SourceUnavailable(str(error)) from error
    parts = urlsplit(place)
    pins: list[str] = []
    if parts.scheme in {"http", "https"} and found and literal(parts.hostname or "") is None:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        shown = ",".join(f"[{address}]" if ":" in address else address for address in found)
        pins = [f"http.curloptResolve={parts.hostname}:{port}:{shown}"]
    url = f"{place}.git" if (parts.hostname or "") in _FORGES else place
    return Repository(url, folder, configuration=pins)


def _identities(options: Options, repository: Repository, guessed: Sequence[str] = ()) -> frozenset[str]:
    """Mail addresses and names of the author, lower case. Raises NoIdentity when that is not clear."""
    stated = frozenset(value.lower() for value in values(options, "identities"))
    if stated:
        return stated
    everyone = repository.everyone()
    if len(everyone) == 1:
        return frozenset(everyone)
    likely = frozenset(name.lower() for name in guessed)
    if not likely.isdisjoint([*everyone, *repository.everyone("%aN")] if likely else ()):
        return likely
    some = ", ".join(everyone[:5])
    raise NoIdentity(
        f"{repository.url} has {len(everyone)} authors ({some}{', ...' if len(everyone) > 5 else ''}). Say which of them "
        f"the author is: option identities=MAIL (several with commas)."
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    blob: Blob
    history: History


class _Run:
    """One reading of one commit."""

    def __init__(
        self, repository: Repository, source: Source, rules: Rules, branch: str, identities: frozenset[str]
    ) -> None:
        self.repository = repository
        self.place = source.locator
        self.rules = rules
        self.branch = branch
        self.identities = identities
        self.own_count = 0
        self.licence: str | None = None

    def items(self, known: Mapping[str, Known], limit: int) -> Iterator[Item]:
        """One item per file of HEAD that the options take."""
        everything = self.repository.files()
        blobs = [blob for blob in everything if self.rules.takes(blob.path)]
        histories = self.repository.histories([blob.path for blob in blobs])
        marks = self.repository.marked([blob.path for blob in blobs], _ATTRIBUTES)
        wanted: list[_Candidate] = []
        for blob in blobs:
            history = histories.get(blob.path)
            why = self._why_not(blob, history, marks.get(blob.path, {}))
            native_id = _name(blob.path)
            before = known.get(native_id)
            if why is not None or history is None:
                yield Skipped(native_id=native_id, location=self._location(blob), reason=why or "no commit names it")
            elif before is not None and _stamped(self._stamp(blob), before):
                self.own_count += 1
                yield Unchanged(native_id=native_id, validators=self._stamp(blob))
            else:
                self.own_count += 1
                wanted.append(_Candidate(blob, history))
        if wanted:
            self.licence = self._licence(everything)
            by_sha: dict[str, list[_Candidate]] = {}
            for candidate in wanted:
                by_sha.setdefault(candidate.blob.sha, []).append(candidate)
            for sha, body in self.repository.read(list(by_sha), limit):
                for candidate in by_sha[sha]:
                    yield self._item(candidate, body, limit, known.get(_name(candidate.blob.path)))

    def _why_not(self, blob: Blob, history: History | None, marks: Mapping[str, str]) -> str | None:
        if _name(blob.path) != blob.path:
            return "its name is not UTF-8"
        if blob.mode in _NO_FILES:
            return _NO_FILES[blob.mode]
        if history is None or self.identities.isdisjoint(history.authors):
            return "other people's: none of the author's identities changed it"
        for attribute in _ATTRIBUTES:
            if marks.get(attribute) in {"set", "true"}:
                return f"marked {attribute} in .gitattributes"
        if any(marks.get(attribute) in {"unset", "false"} for attribute in _ATTRIBUTES) and (
            language_of(blob.path) or is_prose(blob.path)
        ):
            return None
        why = why_not_by_path(blob.path)
        ruled = self.rules.category_of(blob.path) is not None or bool(self.rules.include)
        return None if ruled and why == "neither code nor prose by its name" else why

    def _item(self, candidate: _Candidate, body: bytes | int, limit: int, before: Known | None) -> Item:
        blob, history = candidate.blob, candidate.history
        location = self._location(blob)
        if isinstance(body, int):
            reason = f"larger than {limit:,} bytes (TWIN_MAX_FILE_BYTES): {body:,}"
            return Skipped(native_id=blob.path, location=location, reason=reason)
        why = why_not_by_content(body, blob.path)
        if why is not None:
            return Skipped(native_id=blob.path, location=location, reason=why)
        category = self.rules.category_of(blob.path) or (Category.ARTICLE if is_prose(blob.path) else Category.CODE)
        language = language_of(blob.path)
        try:
            if category == Category.CODE:
                media_type = f"text/x-{language}" if language else "text/plain"
                read = reading.read_code(body, blob.path)
            else:
                media_type = reading.media_type_of(blob.path)
                read = reading.read(body, blob.path, media_type)
        except reading.Draft as error:
            return Skipped(native_id=blob.path, location=location, reason=str(error), withdrawn=True)
        except reading.EmptyText as error:
            return Skipped(native_id=blob.path, location=location, reason=str(error), empty=True)
        except InvalidInput as error:
            return Failed(native_id=blob.path, location=location, reason=str(error))
        if before is not None and before.content_hash == read.content_hash:
            return Unchanged(native_id=blob.path, validators=self._stamp(blob))
        stated = {
            "repository": self.place,
            "path": blob.path,
            "commit": history.commit,
            "language": language if category == Category.CODE else None,
            "licence": stated_licence(body[:2_000].decode("utf-8", "replace")) or self.licence,
        }
        return Found(
            native_id=blob.path,
            location=location,
            category=read.category or category,
            media_type=media_type,
            body=body,
            content_hash=read.content_hash,
            title=read.title,
            written_at=history.written_at,
            canonical_url=read.canonical_url,
            metadata={**read.metadata, **{name: value for name, value in stated.items() if value}},
            validators=self._stamp(blob),
        )

    def _stamp(self, blob: Blob) -> dict[str, str]:
        return {"blob": blob.sha, "rules": f"{_READ_AS}-{self.rules.fingerprint}"}

    def _location(self, blob: Blob) -> str:
        path = _name(blob.path)
        parts = urlsplit(self.place)
        form = _FORGES.get(parts.hostname or "")
        if form is not None:
            return form.format(repository=parts.path.strip("/"), branch=self.branch, path=path)
        return f"{self.place}/{path}" if self.place.startswith("/") else f"{self.place}#{path}"

    def _licence(self, blobs: list[Blob]) -> str | None:
        """The repository's licence, from the licence file in its root."""
        shas = [blob.sha for blob in blobs if _LICENCE_FILE.fullmatch(blob.path) and blob.mode.startswith("100")]
        for _, body in self.repository.read(shas, 200_000):
            if isinstance(body, bytes) and (found := licence_of(body.decode("utf-8", "replace"))):
                return found
        return None


def _stamped(stamp: Mapping[str, str], before: Known) -> bool:
    return stamp.items() <= before.validators.items()


def _name(path: str) -> str:
    return storable(path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
