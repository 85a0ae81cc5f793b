"""Real repositories made on the spot: whose files they are, what is left out, and what a second run reads."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.collect.conftest import source_of
from tests.collect.runs import by_id, known_after, listed
from tests.collect.site import Answer, Site
from twin_core.collect.platforms.git import canonical
from twin_core.collect.registry import collector_for
from twin_core.errors import InvalidInput, Refused, SourceUnavailable
from twin_core.records import Category, Found, Item, Known, Skipped, Unchanged
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]
JANE = ("Jane Doe", "jane@example.org")
JOHN = ("John Roe", "john@example.org")
CODE = "def tide(hour: int) -> float:\n    return  1.5\n"


class Repo:
    """A repository in a folder, written by whom the test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.day = 1
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str, who: tuple[str, str] = JANE) -> str:
        stamp = f"2024-03-{self.day:02d}T10:00:00+00:00"
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": who[0],
            "GIT_AUTHOR_EMAIL": who[1], "GIT_COMMITTER_NAME": who[0], "GIT_COMMITTER_EMAIL": who[1],
            "GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp,
        }  # fmt: skip
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, files: dict[str, str | bytes | None], who: tuple[str, str] = JANE) -> str:
        for path, body in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if body is None:
                target.unlink()
            else:
                target.write_bytes(body.encode() if isinstance(body, str) else body)
        self.git("add", "-A", "--force", who=who)
        self.git("commit", "-q", "-m", "change", who=who)
        self.day += 1
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "repo")


def collect(place: str | Path, settings: Settings, known: dict[str, Known] | None = None, **options: str) -> list[Item]:
    return list(collector_for("git").collect(source_of("git", str(place), **options), known or {}, settings))


def reasons(items: list[Item]) -> dict[str, str]:
    return {name: getattr(item, "reason", type(item).__name__) for name, item in by_id(items).items()}


def test_code_keeps_its_bytes_and_docs_are_articles(repo: Repo, make_settings: MakeSettings) -> None:
    repo.commit(
        {"README.md": "# Tides\n\nHow to tell them.\n", "LICENSE": "Apache License\nVersion 2.0, January 2004\n"}
    )
    commit = repo.commit({"src/tide.py": CODE, "docs/notes.rst": "Notes\n=====\n\nText.\n"})
    items = collect(repo.folder, make_settings())
    found = by_id(items)
    code, readme, notes = found["src/tide.py"], found["README.md"], found["docs/notes.rst"]
    assert isinstance(code, Found)
    assert isinstance(readme, Found)
    assert isinstance(notes, Found)
    assert (code.body, code.category, code.title) == (CODE.encode(), Category.CODE, "src/tide.py")
    assert code.metadata == {
        "repository": str(repo.folder), "path": "src/tide.py", "commit": commit, "language": "python", "licence": "Apache-2.0",
    }  # fmt: skip
    assert code.written_at == datetime(2024, 3, 2, 10, tzinfo=UTC)
    assert readme.written_at == datetime(2024, 3, 1, 10, tzinfo=UTC)
    assert (readme.category, readme.title) == (Category.ARTICLE, "Tides")
    assert (notes.category, notes.title) == (Category.ARTICLE, "Notes")
    end = listed(items)
    assert end is not None
    assert end.own_count == 3


def test_only_files_that_the_author_changed_are_taken(repo: Repo, make_settings: MakeSettings) -> None:
    repo.commit({"hers.py": CODE, "shared.py": CODE})
    repo.commit({"his.py": CODE + "# his\n", "shared.py": CODE + "# both\n"}, who=JOHN)
    items = by_id(collect(repo.folder, make_settings(), identities="JANE@example.org"))
    assert {name: type(item) for name, item in items.items()} == {
        "hers.py": Found,
        "shared.py": Found,
        "his.py": Skipped,
    }


def test_a_mailmap_joins_old_addresses(repo: Repo, make_settings: MakeSettings) -> None:
    repo.commit({"old.py": CODE}, who=("jd", "jd@old.example"))
    repo.commit({".mailmap": "Jane Doe <jane@example.org> <jd@old.example>\n"}, who=JOHN)
    items = by_id(collect(repo.folder, make_settings(), identities="jane@example.org"))
    assert isinstance(items["old.py"], Found)


def test_a_file_moved_by_someone_else_stays_its_authors(repo: Repo, make_settings: MakeSettings) -> None:
    repo.commit({"a.py": CODE, "his.py": "x = 1\n" * 5}, who=JANE)
    repo.commit({"his.py": "y = 2\n" * 9}, who=JOHN)
    repo.git("mv", "a.py", "b.py", who=JOHN)
    repo.commit({}, who=JOHN)
    assert isinstance(by_id(collect(repo.folder, make_settings(), identities="Jane Doe"))["b.py"], Found)


def test_moving_another_persons_file_does_not_make_it_ones_own(repo: Repo, make_settings: MakeSettings) -> None:
    repo.commit({"a.py": CODE}, who=JOHN)
    repo.git("mv", "a.py", "b.py")
    repo.commit({}, who=JANE)
    assert isinstance(by_id(collect(repo.folder, make_settings(), identities="jane@example.org"))["b.py"], Skipped)


def test_several_authors_and_no_identity_is_a_question_and_not_a_guess(repo: Repo, make_settings: MakeSettings) -> None:
    repo.commit({"a.py": CODE})
    repo.commit({"b.py": CODE}, who=JOHN)
    with pytest.raises(SourceUnavailable, match="identities=MAIL"):
        collect(repo.folder, make_settings())
    with pytest.raises(InvalidInput, match=r"2 authors \(jane@example.org, john@example.org\)"):
        collector_for("git").check(str(repo.folder), {}, make_settings())


def test_what_is_not_anybodys_own_writing_is_left_out_and_says_why(repo: Repo, make_settings: MakeSettings) -> None:
    repo.commit({
        "good.py": CODE,
        "vendor/lib.py": CODE,
        "node_modules/x/index.js": "x()\n",
        "package-lock.json": "{}\n",
        "app.min.js": "x()\n",
        "packed.js": "var a=1;" * 500,
        "made.py": "# Code generated by a tool. DO NOT EDIT.\n",
        "big.py": "x = 1\n" * 2_000,
        "nul.py": b"x = 1\0\n",
        "lfs.py": "version https://git-lfs.github.com/spec/v1\noid sha256:abc\n",
        "empty.py": "",
        "photo.png": b"\x89PNG\r\n",
        "data.json": "{}\n",
        "marked.py": CODE,
        "third_party/mine.py": CODE,
        ".gitattributes": "marked.py linguist-generated\nthird_party/mine.py -linguist-vendored\n",
    })  # fmt: skip
    os.symlink("good.py", repo.folder / "link.py")
    repo.commit({})
    said = reasons(collect(repo.folder, make_settings(max_file_bytes=10_000)))
    assert said["good.py"] == "Found"
    assert said["third_party/mine.py"] == "Found"
    assert said["vendor/lib.py"].startswith("vendored")
    assert said["node_modules/x/index.js"].startswith("vendored")
    assert said["package-lock.json"] == "a lockfile"
    assert said["app.min.js"] == "generated, by its name"
    assert said["packed.js"].startswith("minified")
    assert said["made.py"] == "generated, by its first lines"
    assert "TWIN_MAX_FILE_BYTES" in said["big.py"]
    assert "NUL" in said["nul.py"]
    assert "LFS" in said["lfs.py"]
    assert said["empty.py"] == "the file is empty"
    assert said["photo.png"] == said["data.json"] == "neither code nor prose by its name"
    assert "linguist-generated" in said["marked.py"]
    assert said["link.py"] == "a symbolic link"


def test_a_second_run_reads_only_what_changed_and_notices_what_went(repo: Repo, make_settings: MakeSettings) -> None:
    repo.commit({"a.py": CODE, "b.py": CODE + "# b\n", "c.py": CODE + "# c\n"})
    known = known_after(collect(repo.folder, make_settings()))
    repo.commit({"a.py": CODE + "\n\nx = 2\n", "b.py": None, "d.py": "y = 3\n"})
    items = collect(repo.folder, make_settings(), known)
    assert {name: type(item) for name, item in by_id(items).items()} == {
        "a.py": Found,
        "c.py": Unchanged,
        "d.py": Found,
    }
    assert set(known_after(items, known)) == {"a.py", "c.py", "d.py"}


def test_another_branch_can_be_named(repo: Repo, make_settings: MakeSettings) -> None:
    repo.commit({"a.py": CODE})
    repo.git("checkout", "-q", "-b", "next")
    repo.commit({"b.py": CODE})
    repo.git("checkout", "-q", "main")
    assert set(by_id(collect(repo.folder, make_settings()))) == {"a.py"}
    assert set(by_id(collect(repo.folder, make_settings(), branch="next"))) == {"a.py", "b.py"}
    with pytest.raises(SourceUnavailable, match="Git says: "):
        collect(repo.folder, make_settings(), branch="nowhere")


def test_a_remote_is_cloned_without_contents_and_they_come_in_one_request(
    repo: Repo, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path that a URL takes: over the file transport, which filters as a server does."""
    from twin_core.collect.repository import Repository

    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("config", "uploadpack.allowAnySHA1InWant", "true")
    repo.commit({f"f{number}.py": f"x = {number}\n" for number in range(20)})
    settings = make_settings()
    clone = Repository(f"file://{repo.folder}", settings.home / "clones" / "one")
    assert clone.update() == "main"
    absent = subprocess.run(
        ["git", "--git-dir", str(clone.folder), "rev-list", "--objects", "--all", "--missing=print"],
        capture_output=True, text=True, check=True,
    ).stdout.count("\n?")  # fmt: skip
    assert absent == 20
    blobs = clone.files()
    assert len(clone.histories([blob.path for blob in blobs])) == 20
    contents = dict(clone.read([blob.sha for blob in blobs], 1_000))
    assert sorted(body for body in contents.values() if isinstance(body, bytes))[0] == b"x = 0\n"
    repo.commit({"f0.py": "x = 100\n"})
    clone.update()
    fresh = {blob.path: blob.sha for blob in clone.files()}
    assert dict(clone.read([fresh["f0.py"]], 1_000)) == {fresh["f0.py"]: b"x = 100\n"}
    assert dict(clone.read([fresh["f0.py"]], 3)) == {fresh["f0.py"]: 8}


def test_nothing_in_a_repository_is_executed(repo: Repo, tmp_path: Path, make_settings: MakeSettings) -> None:
    repo.commit({"a.py": CODE, ".gitattributes": "*.py filter=evil diff=evil\n"})
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for name in ("core.fsmonitor", "core.sshCommand", "core.pager", "filter.evil.smudge", "diff.evil.textconv",
                 "diff.external", "gpg.program", "uploadpack.packObjectsHook", "credential.helper"):  # fmt: skip
        repo.git("config", name, str(trap))
    repo.git("config", "log.showSignature", "true")
    for hook in ("post-checkout", "post-update", "reference-transaction", "pre-auto-gc"):
        (repo.folder / ".git/hooks").mkdir(exist_ok=True)
        (repo.folder / ".git/hooks" / hook).write_text(trap.read_text())
        (repo.folder / ".git/hooks" / hook).chmod(0o755)
    assert isinstance(by_id(collect(repo.folder, make_settings()))["a.py"], Found)
    assert not (tmp_path / "sprung").exists()


def test_a_repository_that_is_not_there_is_told_with_gits_own_words(
    site: Site, tmp_path: Path, make_settings: MakeSettings
) -> None:
    settings = make_settings(crawl_allow_hosts=[site.host])
    with pytest.raises(SourceUnavailable, match=r"Git says: fatal: repository .* not found"):
        collect(f"{site.url}/jane/none", settings)
    (tmp_path / "bare folder").mkdir()
    with pytest.raises(SourceUnavailable, match=r"Git says: fatal: .*bare folder"):
        collect(tmp_path / "bare folder", settings)
    with pytest.raises(SourceUnavailable, match="no repository at"):
        collect(tmp_path / "gone", settings)


def test_a_repository_that_wants_a_password_fails_instead_of_asking(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/jane/private/info/refs?service=git-upload-pack"] = Answer(
        status=401, headers={"WWW-Authenticate": 'Basic realm="x"'}
    )
    with pytest.raises(SourceUnavailable, match=r"terminal prompts disabled|Authentication failed"):
        collect(f"{site.url}/jane/private", make_settings(crawl_allow_hosts=[site.host]))


def test_a_repository_inside_the_network_is_refused_and_so_is_a_redirect_there(
    site: Site, make_settings: MakeSettings
) -> None:
    with pytest.raises(Refused, match="loopback"):
        collector_for("git").check(f"{site.url}/jane/x", {}, make_settings())
    with pytest.raises(SourceUnavailable, match="loopback"):
        collect(f"{site.url}/jane/x", make_settings())
    assert site.seen == []
    site.answers["/jane/x/info/refs?service=git-upload-pack"] = Answer(
        status=302, headers={"Location": "http://localhost:1/info/refs?service=git-upload-pack"}
    )
    with pytest.raises(SourceUnavailable, match="302"):
        collect(f"{site.url}/jane/x", make_settings(crawl_allow_hosts=[site.host]))


def test_an_empty_repository_deletes_nothing(repo: Repo, make_settings: MakeSettings) -> None:
    with pytest.raises(SourceUnavailable, match="no commits"):
        collect(repo.folder, make_settings())
    assert collector_for("git").check(str(repo.folder), {}, make_settings()) == str(repo.folder)


@pytest.mark.parametrize(
    ("locator", "address"),
    [
        ("https://github.com/jane/tides.git", "https://github.com/jane/tides"),
        ("https://GitHub.com/jane/tides/", "https://github.com/jane/tides"),
        ("https://github.com/jane/tides/tree/main/docs", "https://github.com/jane/tides"),
        ("git@github.com:jane/tides.git", "ssh://git@github.com/jane/tides"),
        ("https://git.example.org/jane/tides.git", "https://git.example.org/jane/tides.git"),
    ],
)
def test_a_repository_has_one_address(locator: str, address: str) -> None:
    assert canonical(locator) == address


@pytest.mark.parametrize(
    "locator",
    ["", "-oProxyCommand=x", "--upload-pack=x", "ext::sh -c x", "https://jane:secret@github.com/a/b", "git://h/x",
     "ftp://example.org/x", "https://github.com", "/no/such/folder", "https://example.org/a\nb"],
)  # fmt: skip
def test_what_is_no_repository_is_refused_in_words(locator: str) -> None:
    with pytest.raises(InvalidInput):
        canonical(locator)
