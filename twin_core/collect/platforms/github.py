"""GitHub: every repository of a person or organisation, listed by the REST API and read by git.

Forks are somebody else's. The list is asked for with the ETags of the last run (a 304 is free of the rate limit), and
a repository that nobody pushed to since is not fetched at all. What becomes of the files of one repository is decided
in `git.py`: own files only, code as code, READMEs and docs as articles.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from twin_core.collect.answers import next_page, read_json, records_in
from twin_core.collect.guarded import FetchFailed, GuardedClient
from twin_core.collect.platforms import git
from twin_core.collect.polite import PoliteClient
from twin_core.collect.registry import Options
from twin_core.collect.rules import Rules, read_rules, values
from twin_core.collect.stated import short
from twin_core.errors import InvalidInput, Refused, SourceUnavailable
from twin_core.identity import sha256
from twin_core.records import Failed, Found, Gone, Item, Known, Listed, Skipped, Source, Unchanged
from twin_core.settings import Settings

# Raise when the same repository would be read differently: every one is then fetched once more.
_READ_AS = "1"
_OWN_OPTIONS = ("identities", "repositories", "archived")
_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})")
_PAGE = 100
_MOST_PAGES = 100
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


class GitHubCollector:
    """One account's repositories."""

    platform = "github"

    def check(self, locator: str, options: Options, settings: Settings) -> str:
        """The account's address, from it or from the login. Raises InvalidInput for a single repository's."""
        del settings
        read_rules(options, own=_OWN_OPTIONS)
        return f"https://github.com/{_login(locator)}"

    def collect(self, source: Source, known: Mapping[str, Known], settings: Settings) -> Iterator[Item]:
        """The files of every repository, then `Listed` if every one could be read."""
        with GuardedClient(settings) as client:
            yield from collect_with(PoliteClient(client, settings), source, known, settings)

    def prove(self, locator: str, settings: Settings) -> str:
        """That TWIN_GITHUB_TOKEN belongs to the account. Raises Refused when it is another's."""
        if settings.github_token is None or not settings.github_token.get_secret_value():
            raise Refused("There is no token: set TWIN_GITHUB_TOKEN.")
        headers = {**_HEADERS, "Authorization": f"Bearer {settings.github_token.get_secret_value()}"}
        with GuardedClient(settings) as client:
            answer = PoliteClient(client, settings).ask(f"{settings.github_api_url.rstrip('/')}/user", headers=headers)
        (person,) = records_in([read_json(answer, "The owner of the token")], "The owner of the token") or [{}]
        login = str(person.get("login") or "").lower()
        if login != _login(locator):
            raise Refused(f"The token in TWIN_GITHUB_TOKEN is of `{login}`, not of `{_login(locator)}`.")
        return f"GitHub says that the token in use belongs to {login}"


COLLECTOR = GitHubCollector()


def collect_with(
    client: PoliteClient, source: Source, known: Mapping[str, Known], settings: Settings
) -> Iterator[Item]:
    """As `GitHubCollector.collect`, through a client of the caller's making."""
    account = _Account(client, source, known, settings)
    repositories = account.repositories()
    guessed = account.guessed_identities()
    complete, own_count = True, 0
    for repository in repositories:
        native_id = f"{repository.name}/"
        location = f"https://github.com/{account.login}/{repository.name}"
        if repository.why_not is not None:
            yield Skipped(native_id=native_id, location=location, reason=repository.why_not)
            continue
        try:
            for item in account.files(repository, guessed):
                if isinstance(item, Listed):
                    own_count += item.own_count or 0
                else:
                    yield item
        except git.NoIdentity:
            yield Skipped(native_id=native_id, location=location, reason=_NOBODY)
        except SourceUnavailable as error:
            complete = False
            yield Failed(native_id=native_id, location=location, reason=str(error))
    account.kept.save()
    if complete:
        yield Listed(own_count=own_count)


_NOBODY = (
    "none of its authors is known to be this one: if one is, name the address of the commits with the option identities"
)


def _login(locator: str) -> str:
    text = locator.strip().rstrip("/")
    if "github.com" in text:
        parts = urlsplit(text if "://" in text else f"https://{text}").path.strip("/").split("/")
        text = parts[0] if len(parts) == 1 else ""
    if not _LOGIN.fullmatch(text):
        raise InvalidInput(
            f"`{locator}` is no account on GitHub. Give its address, https://github.com/name; add one repository as `git`."
        )
    return text.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repository:
    name: str
    pushed_at: str
    licence: str | None
    why_not: str | None


class _Account:
    """One run over one account."""

    def __init__(self, client: PoliteClient, source: Source, known: Mapping[str, Known], settings: Settings) -> None:
        self.client = client
        self.source = source
        self.login = _login(source.locator)
        self.settings = settings
        self.rules: Rules = read_rules(source.options, own=_OWN_OPTIONS)
        self.api = settings.github_api_url.rstrip("/")
        self.folder = settings.home.absolute() / "clones" / str(source.id)
        self.headers = dict(_HEADERS)
        if settings.github_token is not None and settings.github_token.get_secret_value():
            self.headers["Authorization"] = f"Bearer {settings.github_token.get_secret_value()}"
        self.kept = _Kept(self.folder / "answers.json")
        self.known: dict[str, dict[str, Known]] = {}
        for native_id, one in known.items():
            repository, _, path = native_id.partition("/")
            self.known.setdefault(repository, {})[path] = replace(one, native_id=path)

    def repositories(self) -> list[_Repository]:
        """What the account has. Raises SourceUnavailable unless the whole list was read."""
        found: dict[str, _Repository] = {}
        what = f"The repositories of {self.login}"
        url: str | None = f"{self.api}/users/{quote(self.login)}/repos?per_page={_PAGE}&type=owner&sort=full_name"
        for _ in range(_MOST_PAGES):
            if url is None:
                return list(found.values())
            page, url = self._ask(url, what)
            for stated in page:
                if (name := short(stated.get("name"))) and "/" not in name and name not in {".", ".."}:
                    found[name] = self._repository(name, stated)
        raise SourceUnavailable(f"{what} are more than {_MOST_PAGES * _PAGE:,}. Nothing was deleted.")

    def guessed_identities(self) -> list[str]:
        """Under which names and addresses the person commits, as far as GitHub says."""
        (person,), _ = self._ask(f"{self.api}/users/{quote(self.login)}", f"The account {self.login}")
        known = [self.login, short(person.get("email")), short(person.get("name"))]
        known += [f"{self.login}@users.noreply.github.com", f"{person.get('id')}+{self.login}@users.noreply.github.com"]
        return [one for one in known if one]

    def files(self, repository: _Repository, guessed: list[str]) -> Iterator[Item]:
        """The files of one repository as items of this source, then its `Listed`."""
        before = self.known.get(repository.name, {})
        stamp = f"{_READ_AS}-{self.rules.fingerprint}-{repository.pushed_at}"
        if self.kept.read.get(repository.name) == [stamp, _digest(before)]:
            for path, one in before.items():
                yield Unchanged(native_id=f"{repository.name}/{path}", validators=one.validators)
            yield Listed(own_count=len(before))
            return
        self.kept.read.pop(repository.name, None)
        inner = replace(
            self.source,
            locator=f"{self.settings.github_url.rstrip('/')}/{self.login}/{repository.name}",
            options={
                name: value
                for name, value in self.source.options.items()
                if name == "identities" or name not in _OWN_OPTIONS
            },
        )
        taken: list[str] = []
        failed = False
        for item in git.collect_into(self.folder / repository.name, inner, before, self.settings, guessed=guessed):
            if isinstance(item, Listed):
                yield item
                continue
            failed = failed or isinstance(item, Failed)
            if isinstance(item, Found | Unchanged):
                taken.append(item.native_id)
            yield self._of_account(repository, item)
        if not failed:
            # Names and not only the push: a run that was killed before all of it was stored reads it again.
            self.kept.read[repository.name] = [stamp, _digest(taken)]

    def _of_account(self, repository: _Repository, item: _FileItem) -> Item:
        outer = replace(item, native_id=f"{repository.name}/{item.native_id}")
        if isinstance(outer, Found) and repository.licence and "licence" not in outer.metadata:
            return replace(outer, metadata={**outer.metadata, "licence": repository.licence})
        return outer

    def _repository(self, name: str, stated: Mapping[str, Any]) -> _Repository:
        licence = stated.get("license")
        spdx = short(licence.get("spdx_id")) if isinstance(licence, Mapping) else None
        wanted = values(self.source.options, "repositories")
        why_not = None
        if stated.get("fork"):
            why_not = "a fork: somebody else's repository"
        elif wanted and name not in wanted:
            why_not = "not among the repositories that this source's options name"
        elif stated.get("archived") and self.source.options.get("archived") == "no":
            why_not = "archived, and this source's options leave those out"
        elif stated.get("size") == 0 and not stated.get("pushed_at"):
            why_not = "it has no commits yet"
        return _Repository(
            name=name,
            pushed_at=short(stated.get("pushed_at")) or "",
            licence=None if spdx in {None, "NOASSERTION"} else spdx,
            why_not=why_not,
        )

    def _ask(self, url: str, what: str) -> tuple[list[Mapping[str, Any]], str | None]:
        """One answer, from the last run where it is the same still, and the address of the next page."""
        before = self.kept.answers.get(url)
        validators = None if before is None else {"etag": str(before["etag"])}
        try:
            answer = self.client.ask(url, validators, headers=self.headers)
        except FetchFailed as error:
            raise SourceUnavailable(f"{what}: {error} Nothing was deleted.") from error
        if answer.status == 304 and before is not None:
            return before["records"], before["next"]
        stated = read_json(answer, what)
        records = [_needed(one) for one in records_in(stated if isinstance(stated, list) else [stated], what)]
        following = next_page(answer)
        self.kept.answers[url] = {"etag": answer.headers.get("etag", ""), "records": records, "next": following}
        return records, following


_FileItem = Found | Unchanged | Skipped | Failed | Gone
_NEEDED = ("name", "fork", "archived", "pushed_at", "size", "license", "id", "email")


def _digest(paths: Iterable[str]) -> str:
    return sha256("\0".join(sorted(paths)))


def _needed(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What this module reads of an answer, and no more: the rest (descriptions, counts) is not ours to keep."""
    return {name: record[name] for name in _NEEDED if name in record}


class _Kept:
    """The last answers of the API, beside the clones: with a 304 no body comes. Goes when the source is forgotten."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.answers: dict[str, dict[str, Any]] = {}
        """Address -> etag, records, next."""
        self.read: dict[str, list[str]] = {}
        """Repository -> its last push and its files when it was last read without a failure."""
        try:
            stored = json.loads(file.read_bytes())
            self.answers, self.read = dict(stored["answers"]), dict(stored["read"])
        except (OSError, ValueError, TypeError, KeyError):
            return  # none yet, or damaged: everything is asked for again

    def save(self) -> None:
        """Write them in one step: a killed run leaves the old ones."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps({"answers": self.answers, "read": self.read}), "utf-8")
        fresh.replace(self.file)
