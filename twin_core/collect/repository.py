"""A git repository, read through git itself: fetched without blobs, listed, attributed, and read file by file.

Nothing of a repository is ever executed: it is a bare clone of ours, without hooks and without the remote's
configuration, reached over a short list of protocols and never with a prompt. Which files are worth reading is
decided in `platforms/git.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from twin_core.collect.stated import moment
from twin_core.errors import InvalidInput, ServiceUnavailable, SourceUnavailable

_PROTOCOLS = "file:https:http:ssh"
# A clone of a large history over a slow line takes its time; a stalled one is cut by git's own low-speed limit.
_LONGEST_SECONDS = 3_600
_ALWAYS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "credential.interactive=false",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "log.showSignature=false",
    "submodule.recurse=false",
)

# How this user's git finds its programs, keys and certificates; everything else could point it at another repository.
_KEPT = frozenset({
    "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM", "GIT_EXEC_PATH", "GIT_SSH", "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO", "GIT_SSL_CAPATH",
})  # fmt: skip


class GitFailed(SourceUnavailable):
    """Git could not do it; the text ends with git's own last line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """One file of HEAD."""

    path: str
    sha: str
    mode: str
    """As git writes it: 100644 and 100755 are files, 120000 a symbolic link, 160000 a submodule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Who wrote a file, and when it was touched last."""

    authors: frozenset[str]
    """Names and mail addresses, lower case, of everyone who changed it, as the mailmap and as the commit have them."""
    commit: str
    """The last commit that touched it."""
    written_at: datetime | None
    """That commit's author date."""


class Repository:
    """A bare clone kept in `folder`, of the repository at `url`."""

    def __init__(self, url: str, folder: Path, *, configuration: Sequence[str] = (), local: bool = False) -> None:
        if url.startswith("-"):
            raise InvalidInput(f"`{url}` is no repository: it starts with a hyphen.")
        self.url = url
        self.folder = folder
        self._configuration = tuple(configuration)
        self._local = local

    def update(self, branch: str | None = None) -> str:
        """Clone, or fetch what is new; returns the branch that is read. Raises GitFailed with git's last line.

        The clone leaves file contents out where the remote can do that; they come with `read`.
        """
        head = branch or self._remote_head()
        if not self._is_clone():
            self._clone(head)
        else:
            self._git("fetch", "--no-tags", "--force", "--quiet", "origin", f"+refs/heads/{head}:refs/heads/{head}")
        self._git("symbolic-ref", "HEAD", f"refs/heads/{head}")
        return head

    def files(self) -> list[Blob]:
        """Every entry of HEAD, in git's order."""
        out: list[Blob] = []
        for line in self._git("ls-tree", "-r", "-z", "--full-tree", "HEAD").split(b"\0"):
            if line:
                about, _, path = line.partition(b"\t")
                mode, _, sha = about.decode("ascii").split(" ")
                out.append(Blob(path=_text(path), sha=sha, mode=mode))
        return out

    def histories(self, paths: Collection[str]) -> dict[str, History]:
        """For each path of HEAD, its authors and last commit, from one walk over the log.

        A file that was only moved (the same content under another name) keeps the authors it had under the old one;
        the move itself is nobody's writing.
        """
        current = {path: path for path in paths}
        authors: dict[str, set[str]] = {}
        last: dict[str, tuple[str, datetime | None]] = {}
        tokens = iter(
            self._git(
                "log", "--use-mailmap", "-M100%", "--diff-merges=off", "--name-status", "-z",
                "--format=%x00commit%x00%H%x00%aI%x00%aE%x00%aN%x00%ae%x00%an", "HEAD",
            ).split(b"\0")
        )  # fmt: skip
        # NUL is the one byte that no name and no path can hold: what follows a status is a path, whatever it says.
        people: set[str] = set()
        commit, written_at = "", None
        for token in tokens:
            kind = token.strip()[:1]
            if token == b"commit":
                commit, written_at = _text(next(tokens)), moment(_text(next(tokens)))
                people = {_text(next(tokens, b"")).strip().lower() for _ in range(4)} - {""}
                continue
            if not kind:
                continue
            path = _text(next(tokens, b""))
            moved_to = _text(next(tokens, b"")) if kind in {b"R", b"C"} else None
            target = current.get(moved_to or path)
            if target is None:
                continue
            last.setdefault(target, (commit, written_at))
            if moved_to is not None:
                current.setdefault(path, target)
                continue
            authors.setdefault(target, set()).update(people)
            if kind == b"A":
                current.pop(path, None)  # what had this name before was another file
        return {
            path: History(authors=frozenset(authors.get(path, ())), commit=last[path][0], written_at=last[path][1])
            for path in last
        }

    def everyone(self, what: Literal["%aE", "%aN"] = "%aE") -> list[str]:
        """Mail addresses (or, with `%aN`, names) of all authors, lower case, by number of commits, most first."""
        out = self._git("log", "--use-mailmap", f"--format={what}", "HEAD").decode("utf-8", "replace")
        count: dict[str, int] = {}
        for line in out.lower().split("\n"):
            if line:
                count[line] = count.get(line, 0) + 1
        return sorted(count, key=lambda address: (-count[address], address))

    def marked(self, paths: Sequence[str], attributes: Sequence[str]) -> dict[str, dict[str, str]]:
        """What `.gitattributes` of HEAD states: path -> attribute -> "set", "unset" or a value."""
        if not paths:
            return {}
        found: dict[str, dict[str, str]] = {}
        with TemporaryDirectory(prefix="twin-index-") as scratch:
            index = {"GIT_INDEX_FILE": str(Path(scratch, "index"))}
            self._git("read-tree", "HEAD", extra=index)
            stdin = b"\0".join(os.fsencode(path) for path in paths) + b"\0"
            out = self._git("check-attr", "--cached", "--stdin", "-z", *attributes, stdin=stdin, extra=index)
        fields = out.split(b"\0")
        for path, name, value in zip(fields[0::3], fields[1::3], fields[2::3], strict=False):
            if value != b"unspecified":
                found.setdefault(_text(path), {})[name.decode("ascii")] = value.decode("utf-8", "replace")
        return found

    def read(self, shas: Sequence[str], limit: int) -> Iterator[tuple[str, bytes | int]]:
        """The contents of blobs, in order; instead of one larger than `limit` bytes, its size.

        A blobless clone gets them in one request first: left to itself, git would ask for them one by one.
        """
        wanted = list(dict.fromkeys(shas))
        if not wanted:
            return
        self._fetch(wanted)
        with subprocess.Popen(
            self._command("cat-file", "--batch"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self._environment(),
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                for sha in wanted:
                    process.stdin.write(f"{sha}\n".encode("ascii"))
                    process.stdin.flush()
                    header = process.stdout.readline().split()
                    if len(header) != 3:
                        raise GitFailed(f"The content of {sha[:12]} cannot be read from {self.url}. Run it again.")
                    size = int(header[2])
                    if size > limit:
                        _pass_over(process, size + 1)
                        yield sha, size
                    else:
                        body = process.stdout.read(size + 1)
                        if len(body) != size + 1:
                            raise GitFailed(f"The content of {sha[:12]} broke off. Run it again.")
                        yield sha, body[:-1]
            finally:
                process.kill()

    def _fetch(self, shas: Sequence[str]) -> None:
        if not self._git("config", "--default", "", "--get", "remote.origin.promisor").strip():
            return
        self._git(
            "-c", "fetch.negotiationAlgorithm=noop", "fetch", "origin", "--no-tags", "--no-write-fetch-head",
            "--recurse-submodules=no", "--filter=blob:none", "--quiet", "--stdin",
            stdin="\n".join(shas).encode("ascii"),
        )  # fmt: skip

    def _remote_head(self) -> str:
        out = self._git("ls-remote", "--symref", "--", self.url, "HEAD", anywhere=True).decode("utf-8", "replace")
        for line in out.split("\n"):
            if line.startswith("ref: refs/heads/") and line.endswith("\tHEAD"):
                return line.removeprefix("ref: refs/heads/").removesuffix("\tHEAD")
        raise SourceUnavailable(
            f"{self.url} has no commits on a default branch yet. Nothing was deleted. Commit something, or name a "
            f"branch with the option branch=NAME."
        )

    def _is_clone(self) -> bool:
        try:
            same = self._git("config", "--get", "remote.origin.url").decode("utf-8", "replace").strip() == self.url
            return same and self._git("rev-parse", "--is-bare-repository").strip() == b"true"
        except GitFailed:
            return False

    def _clone(self, branch: str) -> None:
        """Clone beside the place and move it there whole, so that a killed run leaves nothing half made."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".clone-", dir=self.folder.parent) as scratch:
            fresh = Path(scratch, "clone")
            # A remote that cannot leave the contents out ignores the filter and sends everything; a folder is linked.
            lean = () if self._local else ("--filter=blob:none",)
            self._git(
                "clone", "--bare", *lean, "--single-branch", "--no-tags", "--quiet", "--template=", "--branch", branch,
                "--", self.url, str(fresh), anywhere=True,
            )  # fmt: skip
            if self.folder.exists():
                shutil.rmtree(self.folder)
            fresh.rename(self.folder)

    def _git(
        self, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None, anywhere: bool = False
    ) -> bytes:
        try:
            done = subprocess.run(
                self._command(*arguments, anywhere=anywhere),
                input=stdin, capture_output=True, check=False, timeout=_LONGEST_SECONDS,
                env=self._environment() | dict(extra or {}),
            )  # fmt: skip
        except FileNotFoundError as error:
            raise ServiceUnavailable("git is not installed: install it to collect repositories.") from error
        except subprocess.TimeoutExpired as error:
            raise GitFailed(f"git did not finish within {_LONGEST_SECONDS} s for {self.url}.") from error
        if done.returncode != 0:
            said = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
            # Below its first "fatal:" line git often adds general advice.
            fatal = [line for line in said if line.startswith(("fatal:", "error:"))]
            last = (fatal[:1] or said[-1:] or [f"exit code {done.returncode}"])[0].strip()
            raise GitFailed(f"{self.url} cannot be read with git. Nothing was deleted. Git says: {last}")
        return done.stdout

    def _command(self, *arguments: str, anywhere: bool = False) -> list[str]:
        settings = [part for setting in (*_ALWAYS, *self._configuration) for part in ("-c", setting)]
        return ["git", *settings, *([] if anywhere else ["--git-dir", str(self.folder)]), *arguments]

    def _environment(self) -> dict[str, str]:
        """Ours without what would point git elsewhere; no prompts, English messages, four protocols."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
        kept |= {
            "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never",
            "GIT_ALLOW_PROTOCOL": _PROTOCOLS, "GIT_OPTIONAL_LOCKS": "0", "GIT_PROTOCOL_FROM_USER": "0", "LC_ALL": "C",
        }  # fmt: skip
        kept.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
        if self._local:
            # A clone on this machine often belongs to another user (a container's root): reading is safe all the same.
            kept |= {"GIT_CONFIG_GLOBAL": str(_trusting_configuration(self.folder.parent))}
        return kept


def _trusting_configuration(folder: Path) -> Path:
    file = folder / "local.gitconfig"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text("[safe]\n\tdirectory = *\n", "utf-8")
    return file


def _pass_over(process: subprocess.Popen[bytes], size: int) -> None:
    assert process.stdout is not None
    while size > 0:
        part = process.stdout.read(min(size, 1 << 20))
        if not part:
            return
        size -= len(part)


def _text(path: bytes) -> str:
    return os.fsdecode(path)
