"""`twin demo`: build a twin of the demo author and ask it three questions. Run again, it does no work twice.

The demo is the product on the texts of `demo/`: the same sources, the same assets, the same answers. Its own are only
the stage (a blog served on loopback while it is read, a repository made from a folder) and the order of events.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import yaml

import twin_core
from twin_cli import output
from twin_core.errors import InvalidInput
from twin_core.records import Author, Consent
from twin_core.settings import Settings, settings

SLUG, NAME = "mara", "Mara Lindqvist"
BLOG_PORT = 8899
"""The port that the links in the demo's feed and sitemap name."""
BLOG = f"127.0.0.1:{BLOG_PORT}"
_MAIL = "mara@tidewater.example"
STAND_IN_SECONDS = 45
"""Training time of the demo's stand-in: long enough to learn spelling, short enough for a demo of minutes."""
LLM_START_SECONDS = 300


def demo(
    model: Annotated[
        str | None, typer.Option("--model", help="A real model instead of the stand-in: a Hugging Face id or a folder.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option("--corpus", help="The folder of the demo's texts.")] = None,
) -> None:
    """Build a twin of the demo author and ask it three questions."""
    started = time.monotonic()
    if model:
        os.environ["TWIN_BASE_MODEL"] = model
    os.environ["TWIN_CRAWL_ALLOW_HOSTS"] = f'["{BLOG}"]'  # the demo's blog is served on this machine
    settings.cache_clear()
    chosen = settings()
    folder = corpus or Path(twin_core.__file__).parents[1] / "demo"
    if not (folder / "questions.yaml").is_file():
        raise InvalidInput(f"The demo's texts are not at {folder}. Run it from a checkout, or name them with --corpus.")

    output.say(f"The demo author, {NAME}, is fictional; her texts were written for this project.")
    author = _introduce(chosen, folder)
    with _blog(folder / "blog"):
        failed = _sync(chosen, author)
    with _llm(chosen, author):
        for question in _questions(folder)[:3]:
            _ask(chosen, author, question)
    _next_steps(time.monotonic() - started)
    output.finish(output.PARTLY if failed else output.DONE)


def _introduce(chosen: Settings, folder: Path) -> Author:
    """The author, her exports and her four live sources; what is there already stays as it is."""
    from twin_core.collect import formats
    from twin_core.collect.registry import collector_for
    from twin_core.runtime.stores import stores
    from twin_core.store import authors

    repository = _repository(folder / "code" / "tidewater", chosen.home.absolute() / "demo" / "tidewater")
    sources: list[tuple[str, str, dict[str, str | list[str]]]] = [
        ("folder", str(folder / "articles"), {}),
        ("folder", str(folder / "posts"), {"category": "post"}),
        ("web", f"http://{BLOG}/", {}),
        ("git", str(repository), {"identities": [_MAIL]}),
    ]
    consent = Consent(claimed_by=NAME, proof="part of the project's demo", claimed_at=datetime.now(UTC))
    with stores(chosen) as opened, opened.database.transaction() as connection:
        author = authors.add_author(connection, slug=SLUG, name=NAME)
        known = authors.list_sources(connection, author.id)
        there = {(source.platform, source.locator) for source in known}
        for one in formats.recognise((folder / "exports").absolute(), {}, chosen):
            found = one.source(author.id, [], known)
            sources.append((found.platform, found.locator, dict(found.options)))
        for platform, locator, options in sources:
            canonical = collector_for(platform).check(locator, options, chosen)
            if (platform, canonical) not in there:
                authors.add_source(
                    connection,
                    author_id=author.id,
                    platform=platform,
                    locator=canonical,
                    options=options,
                    consent=consent,
                )
    return author


def _repository(files: Path, target: Path) -> Path:
    """The demo's code as a git repository, made once: a clone of this project would show other people's commits."""
    if (target / ".git").is_dir():
        return target
    target.mkdir(parents=True, exist_ok=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        **{f"GIT_{who}_NAME": NAME for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": _MAIL for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_DATE": "2026-05-17T09:30:00Z" for who in ("AUTHOR", "COMMITTER")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
    git = functools.partial(subprocess.run, cwd=target, env=environment, check=True, capture_output=True)
    git(["git", "init", "--quiet", "--initial-branch=main"])
    git(["cp", "-R", f"{files}/.", "."])
    git(["git", "add", "--all"])
    git(["git", "commit", "--quiet", "--message", "Tidewater: tides, backoff and budgets"])
    return target


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Nothing: the ledger says what was fetched."""


@contextmanager
def _blog(folder: Path) -> Iterator[None]:
    """The demo's blog, on loopback, while it is read."""
    handler = functools.partial(_Quiet, directory=str(folder))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", BLOG_PORT), handler)
    except OSError as error:
        raise InvalidInput(
            f"Port {BLOG_PORT} is taken, and the links in the demo's blog name it. Stop what listens there "
            f"(`ss -ltnp | grep {BLOG_PORT}`), then run the demo again."
        ) from error
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _sync(chosen: Settings, author: Author) -> bool:
    """Collect and build the features by the graph's own job; True when something failed."""
    from twin_cli import sync

    done = sync.run(chosen, [(author, [])])
    for one in done:
        sync.show(one)
    return not all(one.complete for one in done)


@contextmanager
def _llm(chosen: Settings, author: Author) -> Iterator[None]:
    """The local LLM server for as long as the questions take; one that already answers is used as it is."""
    from twin_core.models import local_server
    from twin_core.runtime.health import http_answers
    from twin_core.runtime.services import child_environment

    address = f"http://{chosen.host}:{chosen.llm_port}/health"
    if chosen.llm_url is None and chosen.base_model == local_server.STAND_IN:
        _make_stand_in(chosen, author)
    command = local_server.command(chosen)
    if command is None or http_answers(address):
        output.say(f"No LLM server is started here ({local_server.missing(chosen) or 'one is running'}).")
        yield
        return
    log = chosen.home.absolute() / "logs" / "demo-llm.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as lines, output.words().status("Starting the LLM server"):
        process = subprocess.Popen(command, stdout=lines, stderr=lines, env=child_environment(chosen))
    try:
        _wait_until(lambda: http_answers(address), process, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _make_stand_in(chosen: Settings, author: Author) -> None:
    """Train the stand-in in a process of its own, so that its memory goes with it."""
    from twin_core.models import local_server
    from twin_core.runtime.services import child_environment
    from twin_core.runtime.stores import stores
    from twin_core.store.cleaned import live_texts

    with stores(chosen) as opened, opened.database.transaction() as connection:
        texts = live_texts(connection, author.id)
    folder = local_server.models_folder(chosen).absolute()
    output.say(
        "The stand-in model: a tiny Llama, trained on this text for a few seconds. It proves the wiring, not the writing; "
        "its sentences mean nothing. A real one: make demo MODEL=HuggingFaceTB/SmolLM2-360M-Instruct"
    )
    with output.words().status("Training the stand-in"):
        made = subprocess.run(
            [sys.executable, "-m", "twin_core.models.stand_in", str(folder), str(STAND_IN_SECONDS)],
            input=json.dumps(texts),
            text=True,
            capture_output=True,
            env=child_environment(chosen),
            check=False,
        )
    if made.returncode != 0:
        raise InvalidInput(f"The stand-in could not be made: {made.stderr.strip().splitlines()[-1]}")


def _wait_until(answers: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the server. One that does not come is no end of the demo: the passages are the answer then."""
    end = time.monotonic() + LLM_START_SECONDS
    with output.words().status("Waiting for the LLM server"):
        while time.monotonic() < end and process.poll() is None:
            if answers():
                return
            time.sleep(0.5)
    output.warn(f"The LLM server did not start; {log} says why. The passages themselves are the answers below.")


def _ask(chosen: Settings, author: Author, question: str) -> None:
    from twin_cli.ask import Screen
    from twin_core.runtime.stores import stores
    from twin_core.writing.answer import answer

    output.show(f"\nQ: {question}")
    with stores(chosen) as opened:
        final = answer(opened.database, author, question, settings=chosen, on_event=Screen())
    if final.error is not None:
        output.warn(f"Retrieval only: {final.error}")


def _questions(folder: Path) -> list[str]:
    return [str(entry["question"]) for entry in yaml.safe_load((folder / "questions.yaml").read_text("utf-8"))]


def _next_steps(seconds: float) -> None:
    output.say(f"\nDone in {seconds:.0f} s. What to open next:")
    output.say(f'  twin search --author {SLUG} "restoring a backup"      the passages behind an answer')
    output.say(f'  twin ask --author {SLUG} "Which alerts may wake me?"   ask something else')
    output.say(f"  twin sql --author {SLUG} 'SELECT title, words FROM analytics.documents LIMIT 5'")  # noqa: S608  shown, not run
    output.say("  twin up                                               the Dagster UI, the API and its page")
