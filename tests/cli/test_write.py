"""`twin write` as a person runs it: drafts with their sources, a revision, and what each exit code means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from tests.api.scenario import two_authors
from tests.models.chat_server import ChatServer
from twin_cli import app
from twin_core.settings import Settings
from twin_core.settings import settings as process_settings
from twin_core.store.database import Database

Twin = Callable[..., tuple[int, str, str]]
POST = ("--author", "jane", "--kind", "post", "Why I restore a backup")


@pytest.fixture
def engine() -> Iterator[ChatServer]:
    served = ChatServer()
    served.start()
    yield served
    served.stop()


@pytest.fixture
def twin(
    database: Database,
    database_url: str,
    settings: Settings,
    engine: ChatServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Twin]:
    """Run `twin write` in this process: exit code, stdout, stderr."""
    two_authors(database, settings)
    named = {"DATABASE_URL": database_url, "HOME": str(settings.home), "LLM_URL": engine.url, "LLM_ENGINE": "vllm"}
    for name, value in {**named, "LLM_MODEL": "jane-v1"}.items():
        monkeypatch.setenv(f"TWIN_{name}", value)
    process_settings.cache_clear()

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = app.run(("write", *arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    yield run
    process_settings.cache_clear()


def test_drafts_are_shown_with_their_sources_and_one_is_revised(twin: Twin, engine: ChatServer) -> None:
    code, out, err = twin(*POST, "--drafts", "2")
    assert code == 0, err
    assert out.count("Restore is the feature [1].\n") == 2
    assert "\n[1] Restore is the feature, 2025-01-01\n    https://jane.example/0\n" in out
    assert "(not cited)" in out
    assert "heliotrope" not in out
    code, out, _ = twin(*POST, "--json")
    (draft,) = json.loads(out)["drafts"]
    engine.words = ("Shorter [1].",)
    code, out, _ = twin(
        "--author", "jane", "--revise", draft["trace_id"], "shorter,", "drop the second example", "--json"
    )
    revised = json.loads(out)
    assert (code, revised["drafts"][0]["text"], revised["kind"]) == (0, "Shorter [1].", "post")
    assert engine.requests[-1]["messages"][-1]["content"].endswith("Instruction: shorter, drop the second example")


def test_without_a_language_model_the_code_is_3_and_with_half_of_the_drafts_1(twin: Twin, engine: ChatServer) -> None:
    engine.faults = ["500", None, "error mid-stream"]
    code, out, err = twin(*POST)
    assert code == 3
    assert out.startswith("**Retrieval only: no language model answered, and nothing was written.**")
    assert "HTTP 500" in err
    code, out, err = twin(*POST, "--drafts", "2")
    assert code == 1
    assert "Not everything was written." in err


def test_what_cannot_be_done_is_said_before_the_model_is_asked(twin: Twin, engine: ChatServer) -> None:
    for wrong, said in (
        (("--author", "jane", "about ropes"), "--kind"),
        (("--author", "jane", "--revise", str(uuid4()), "--drafts", "2", "shorter"), "revision keeps"),
        (("--author", "jane", "--revise", str(uuid4()), "shorter"), "no such draft"),
        ((*POST, "--link", "http://127.0.0.1:1/admin"), "loopback"),
        ((*POST, "--words", "4000"), "20 to 450 words"),
    ):
        code, _, err = twin(*wrong)
        assert (code, said in err) == (2, True), err
    assert engine.requests == []
