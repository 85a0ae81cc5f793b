"""A GitHub on loopback: the REST API with ETags, pages and limits, and a forge that serves the repositories themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.collect.conftest import source_of
from tests.collect.git_server import forge
from tests.collect.runs import by_id, known_after, listed, until_it_breaks
from tests.collect.site import Answer, Site
from tests.collect.test_git import CODE, JOHN, Repo
from twin_core.collect.registry import collector_for
from twin_core.errors import InvalidInput, SourceUnavailable
from twin_core.records import Category, Failed, Found, Item, Known, Skipped, Source, Unchanged
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]
NOREPLY = ("Jane D.", "4711+jane@users.noreply.github.com")
SOURCE = source_of("github", "https://github.com/jane")


@dataclass
class Account:
    """jane's account: an API that says what there is, and a forge that serves it."""

    site: Site
    forge: str
    git_requests: list[str]
    folder: Path
    settings: Settings
    repositories: list[dict[str, Any]] = field(default_factory=list)
    size: int = 100

    def repository(self, name: str, **stated: Any) -> Repo:
        self.repositories.append({
            "name": name, "fork": False, "archived": False, "size": 9, "pushed_at": "2024-03-01T00:00:00Z",
            "license": {"spdx_id": "MIT"}, "description": "not kept", **stated,
        })  # fmt: skip
        made = Repo(self.folder / "jane" / name)
        self.publish()
        return made

    def pushed(self, name: str, at: str) -> None:
        next(one for one in self.repositories if one["name"] == name)["pushed_at"] = at
        self.publish()

    def publish(self) -> None:
        self.site.answers["/users/jane"] = as_json({"login": "jane", "id": 4711, "name": "Jane Doe", "email": None})
        path = "/users/jane/repos?per_page=100&type=owner&sort=full_name"
        for at in range(0, max(1, len(self.repositories)), self.size):
            following = f"{path.split('&page=', maxsplit=1)[0]}&page={at // self.size + 2}"
            more = at + self.size < len(self.repositories)
            headers = {"Link": f'<{self.site.url}{following}>; rel="next"'} if more else {}
            self.site.answers[path] = as_json(self.repositories[at : at + self.size], **headers)
            path = following

    def collect(self, known: dict[str, Known] | None = None, source: Source = SOURCE) -> list[Item]:
        self.site.seen.clear()
        self.git_requests.clear()
        return list(collector_for("github").collect(source, known or {}, self.settings))


def as_json(value: object, **headers: str) -> Answer:
    return Answer(json.dumps(value).encode(), media_type="application/json; charset=utf-8", headers=headers)


@pytest.fixture
def account(site: Site, tmp_path: Path, make_settings: MakeSettings) -> Iterator[Account]:
    with forge(tmp_path / "forge") as (url, seen):
        settings = make_settings(
            crawl_allow_hosts=[site.host, url.removeprefix("http://")], github_api_url=site.url, github_url=url,
        )  # fmt: skip
        made = Account(site, url, seen, tmp_path / "forge", settings)
        made.publish()
        yield made


def test_every_repository_that_is_no_fork_is_read_own_files_only(account: Account) -> None:
    tides = account.repository("tides", license={"spdx_id": "Apache-2.0"})
    tides.commit({"src/tide.py": CODE, "README.md": "# Tides\n\nHow to tell them.\n"}, who=NOREPLY)
    tides.commit({"his.py": "x = 1\n"}, who=JOHN)
    account.repository("ropes", license=None).commit({"rope.py": CODE + "# rope\n"})
    account.repository("theirs", fork=True).commit({"a.py": CODE})
    account.repository("empty", size=0, pushed_at=None)
    items = account.collect()
    found = by_id(items)
    assert {name: type(item) for name, item in found.items()} == {
        "tides/src/tide.py": Found, "tides/README.md": Found, "tides/his.py": Skipped, "ropes/rope.py": Found,
        "theirs/": Skipped, "empty/": Skipped,
    }  # fmt: skip
    code, readme = found["tides/src/tide.py"], found["tides/README.md"]
    assert isinstance(code, Found)
    assert isinstance(readme, Found)
    assert (code.body, code.category, code.metadata["licence"]) == (CODE.encode(), Category.CODE, "Apache-2.0")
    assert readme.category is Category.ARTICLE
    assert found["theirs/"].reason.startswith("a fork")  # type: ignore[union-attr]
    end = listed(items)
    assert end is not None
    assert end.own_count == 3


def test_the_list_is_read_over_all_its_pages(account: Account) -> None:
    account.size = 2
    for number in range(5):
        account.repository(f"r{number}").commit({"a.py": f"x = {number}\n"})
    assert {name.split("/")[0] for name in by_id(account.collect())} == {f"r{number}" for number in range(5)}


def test_a_second_run_is_304s_and_fetches_only_what_was_pushed_to(account: Account) -> None:
    tides, ropes = account.repository("tides"), account.repository("ropes")
    tides.commit({"a.py": CODE, "b.py": CODE + "# b\n"})
    ropes.commit({"c.py": CODE + "# c\n"})
    known = known_after(account.collect())
    again = account.collect(known)
    assert {type(item) for item in by_id(again).values()} == {Unchanged}
    assert listed(again) is not None
    assert all("If-None-Match" in seen.headers for seen in account.site.seen)
    assert account.git_requests == []

    tides.commit({"a.py": CODE + "# more\n", "b.py": None})
    account.pushed("tides", "2024-04-01T00:00:00Z")
    items = account.collect(known)
    assert {name: type(item) for name, item in by_id(items).items()} == {"tides/a.py": Found, "ropes/c.py": Unchanged}
    assert set(known_after(items, known)) == {"tides/a.py", "ropes/c.py"}
    assert account.git_requests
    assert all("/jane/tides/" in request for request in account.git_requests)


def test_a_run_that_was_killed_reads_a_repository_again(account: Account) -> None:
    account.repository("tides").commit({"a.py": CODE, "b.py": CODE + "# b\n"})
    known = known_after(account.collect())
    del known["tides/b.py"]  # its batch was never stored
    assert {name: type(item) for name, item in by_id(account.collect(known)).items()} == {
        "tides/a.py": Unchanged,
        "tides/b.py": Found,
    }


def test_a_repository_that_cannot_be_read_fails_alone_and_nothing_is_taken_for_gone(account: Account) -> None:
    account.repository("tides").commit({"a.py": CODE})
    account.repositories.append({**account.repositories[0], "name": "vanished"})
    account.publish()
    items = account.collect()
    assert {name: type(item) for name, item in by_id(items).items()} == {"tides/a.py": Found, "vanished/": Failed}
    assert listed(items) is None


def test_nobody_known_among_several_authors_is_a_question(account: Account) -> None:
    repo = account.repository("tides")
    repo.commit({"a.py": CODE}, who=("J", "j@work.example"))
    repo.commit({"b.py": CODE + "# b\n"}, who=JOHN)
    (asked,) = by_id(account.collect()).values()
    assert isinstance(asked, Skipped)
    assert "option identities" in asked.reason
    told = source_of("github", "https://github.com/jane", identities="j@work.example")
    assert isinstance(by_id(account.collect(source=told))["tides/a.py"], Found)


@pytest.mark.parametrize("status", [403, 429])
def test_a_used_up_allowance_ends_the_run_and_is_respected_by_the_next(status: int, account: Account) -> None:
    reset = str(int(time.time()) + 1800)
    headers = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    path = "/users/jane/repos?per_page=100&type=owner&sort=full_name"
    account.site.answers[path] = Answer(b'{"message": "API rate limit exceeded"}', status=status, headers=headers)
    _, error = until_it_breaks(collector_for("github").collect(SOURCE, {}, account.settings))
    assert "asks for 1" in str(error)
    assert account.site.asked() == [path]
    account.publish()
    until_it_breaks(collector_for("github").collect(SOURCE, {}, account.settings))
    assert account.site.asked() == [path], "the host was asked before its time was over"


def test_a_secondary_limit_is_waited_out(account: Account) -> None:
    account.repository("tides").commit({"a.py": CODE})
    path = "/users/jane/repos?per_page=100&type=owner&sort=full_name"
    good = account.site.answers[path]
    assert isinstance(good, Answer)
    busy = Answer(b'{"message": "You have exceeded a secondary rate limit."}', status=403, headers={"Retry-After": "1"})
    answers = iter([busy, good])
    account.site.answers[path] = lambda: next(answers)
    assert set(by_id(account.collect())) == {"tides/a.py"}
    first, second = (seen.at for seen in account.site.seen if seen.path == path)
    assert second - first >= 1.0


def test_the_token_goes_to_the_api_and_nowhere_else(account: Account) -> None:
    account.repository("tides").commit({"a.py": CODE})
    account.settings = account.settings.model_copy(
        update={"github_token": Settings(github_token="ghp_secret", _env_file=None).github_token}
    )
    assert "ghp_secret" not in repr(account.collect())
    assert {seen.headers.get("Authorization") for seen in account.site.seen} == {"Bearer ghp_secret"}
    kept = (account.settings.home / "clones" / str(SOURCE.id) / "answers.json").read_text()
    assert "ghp_secret" not in kept
    assert "not kept" not in kept


def test_an_account_that_is_not_there_deletes_nothing(account: Account) -> None:
    account.site.answers.clear()
    with pytest.raises(SourceUnavailable, match="404"):
        account.collect()


@pytest.mark.parametrize("locator", ["jane", "https://github.com/Jane/", "github.com/jane"])
def test_an_account_has_one_address(locator: str, make_settings: MakeSettings) -> None:
    assert collector_for("github").check(locator, {}, make_settings()) == "https://github.com/jane"


@pytest.mark.parametrize("locator", ["https://github.com/jane/tides", "jane doe", "-jane", ""])
def test_what_is_no_account_is_refused_in_words(locator: str, make_settings: MakeSettings) -> None:
    with pytest.raises(InvalidInput, match="no account"):
        collector_for("github").check(locator, {}, make_settings())
