"""What becomes of an answer when the way to the language model is broken: `pytest -s` prints it as a table.

Whatever happens there, a caller gets an answer that says what it is, the trace says why, and the place among the
streams is given back: one place is all that there is here, so the next question would be refused if it were not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from tests.api.conftest import Api
from tests.api.fault_proxy import Fault, FaultProxy
from tests.api.test_keys_and_limits import QUESTION
from tests.models.chat_server import ChatServer
from twin_api.limits import Limits
from twin_core.settings import Settings

TOKENS = 20


@dataclass(frozen=True)
class Told:
    """What one fault comes to."""

    whole: str
    """Status and outcome of an answer that is asked for at once."""
    streamed: str
    """How the stream ends."""
    trace: str
    reason: str
    """What the trace says was wrong, or in part."""
    asked: int
    """How often the server was asked for one answer, where it can count that."""


WITHOUT = ("200 retrieval_only", "retrieval_only", "retrieval_only")
BROKEN = ("502", "error event, failed", "failed")

FAULTS: dict[Fault | None, Told] = {
    None: Told("200 answered (stop)", "answered (stop)", "answered", "", 1),
    "refused": Told(*WITHOUT, "does not answer", 0),
    "reset before": Told(*WITHOUT, "does not answer", 3),
    "slow first token": Told(*WITHOUT, "TWIN_LLM_FIRST_TOKEN_SECONDS", 1),
    "429": Told(*WITHOUT, "HTTP 429: Model is overloaded", 3),
    "500": Told(*WITHOUT, "HTTP 500: Request failed during generation", 1),
    "malformed from the start": Told(*WITHOUT, "does not speak the chat protocol", 1),
    "endless document": Told(*WITHOUT, "more than", 1),
    "malformed mid-stream": Told(*BROKEN, "does not speak the chat protocol", 1),
    "reset mid-stream": Told(*BROKEN, "broke off", 1),
    "endless stream": Told("200 answered (length)", "answered (length)", "answered", "", 1),
}


@pytest.fixture
def proxy(engine: ChatServer) -> Iterator[FaultProxy]:
    made = FaultProxy(engine.port)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def settings(settings: Settings, proxy: FaultProxy) -> Settings:
    changed = {"llm_url": f"http://127.0.0.1:{proxy.port}", "llm_first_token_seconds": 2, "llm_max_tokens": TOKENS}
    return settings.model_copy(update=changed)


@pytest.fixture
def limits() -> Limits:
    return Limits(streams=1, streams_per_key=1)


def whole(api: Api) -> str:
    with api.client() as client:
        answer = client.post("/v1/chat/completions", json=QUESTION)
    if answer.status_code != 200:
        return str(answer.status_code)
    body = answer.json()
    reason = body["choices"][0]["finish_reason"]
    assert body["citations"], "whatever happened, the passages are there"
    return f"200 {body['outcome']}" + (f" ({reason})" if body["outcome"] == "answered" else "")


def streamed(api: Api) -> str:
    with api.client() as client:
        answer = client.post("/v1/chat/completions", json={**QUESTION, "stream": True})
    data = [line[6:] for line in answer.text.split("\n\n") if line.startswith("data: ")]
    assert data[-1] == "[DONE]", "a stream always ends"
    chunks = [json.loads(one) for one in data[:-1]]
    (last,) = [chunk for chunk in chunks if "outcome" in chunk]
    assert last["citations"]
    error = "error event, " if any("error" in chunk for chunk in chunks) else ""
    reason = f" ({last['choices'][0]['finish_reason']})" if last["outcome"] == "answered" else ""
    return f"{error}{last['outcome']}{reason}"


def latest_trace(api: Api) -> tuple[str, str, str]:
    with api.database.transaction() as conn:
        row = conn.execute(text("SELECT outcome, error, answer FROM serving.traces ORDER BY at DESC LIMIT 1")).one()
    return row.outcome, row.error or "", row.answer


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_every_fault_on_the_way_to_the_model_ends_as_said(
    api: Api, proxy: FaultProxy, fault: Fault | None, capsys: pytest.CaptureFixture[str]
) -> None:
    told = FAULTS[fault]
    proxy.break_with(fault)
    began = time.monotonic()
    at_once = whole(api)
    seconds, asked = time.monotonic() - began, proxy.connections
    as_stream = streamed(api)
    outcome, reason, answer = latest_trace(api)
    proxy.break_with(None)
    assert whole(api) == "200 answered (stop)", "the place among the streams was not given back"
    with capsys.disabled():
        _print(fault, at_once, as_stream, outcome, asked, seconds, reason)
    assert (at_once, as_stream, outcome, asked) == (told.whole, told.streamed, told.trace, told.asked)
    assert told.reason in reason
    assert bool(told.reason) == bool(reason)
    if told.trace == "failed":
        assert answer.startswith("Restore"), "what came before it broke is kept"
    if fault == "endless stream":
        assert proxy.left.wait(10), "the generation was not cancelled"
        assert len(answer) < 10_000
    for _ in range(100):
        if not proxy.open:
            return
        time.sleep(0.05)
    raise AssertionError("a connection to the model was left open")


WRITTEN: dict[Fault | None, tuple[str, str]] = {
    # What a draft comes to (status, outcome, why it ended), and what its trace says.
    None: ("200 answered (stop)", "answered"),
    "refused": ("200 retrieval_only (stop)", "retrieval_only"),
    "slow first token": ("200 retrieval_only (stop)", "retrieval_only"),
    "500": ("200 retrieval_only (stop)", "retrieval_only"),
    "malformed mid-stream": ("502", "failed"),
    "reset mid-stream": ("502", "failed"),
    "endless stream": ("200 answered (length)", "answered"),
}


@pytest.mark.parametrize("fault", WRITTEN, ids=str)
def test_a_draft_ends_as_said_too(api: Api, proxy: FaultProxy, fault: Fault | None) -> None:
    def drafted() -> str:
        with api.client(key.secret) as client:
            answer = client.post("/v1/write", json={"kind": "reply", "brief": "Why do you restore backups?"})
        if answer.status_code != 200:
            return str(answer.status_code)
        (draft,) = answer.json()["drafts"]
        return f"200 {draft['outcome']} ({draft['finish_reason']})"

    key = api.new_key(api.jane, "write")
    proxy.break_with(fault)
    told, outcome = WRITTEN[fault]
    assert drafted() == told
    assert latest_trace(api)[0] == outcome
    proxy.break_with(None)
    assert drafted() == "200 answered (stop)", "the place among the streams was not given back"


def _print(
    fault: str | None, at_once: str, as_stream: str, outcome: str, asked: int, seconds: float, reason: str
) -> None:
    if fault is None:
        print(f"\n{'fault':<26}{'whole':<24}{'streamed':<22}{'trace':<16}{'asked':>5}{'s':>6}  why")
    why = reason if len(reason) < 90 else f"{reason[:87]}..."
    print(f"{fault or 'none':<26}{at_once:<24}{as_stream:<22}{outcome:<16}{asked:>5}{seconds:>6.1f}  {why}")
