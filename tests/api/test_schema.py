"""Schemathesis over the whole schema: what it makes up is answered as documented, and nothing breaks.

A few examples for each route and each chain of routes; `TWIN_FUZZ_EXAMPLES=200 pytest -s tests/api/test_schema.py` runs long.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.api.conftest import Api
from twin_api.limits import Limits

EXAMPLES = int(os.environ.get("TWIN_FUZZ_EXAMPLES", "1"))
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"


@pytest.fixture
def limits() -> Limits:
    return Limits(
        requests_per_minute=1_000_000, failures_per_minute=1_000_000, streams=64, streams_per_key=64,
        watchers=64, watchers_per_key=64, watch_seconds=0.2, watch_interval_seconds=0.1,
    )  # fmt: skip


def schemathesis(api: Api, key: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("schemathesis")
    return subprocess.run(
        [
            str(program), "run", f"{api.url}/schema/openapi.json", "--checks", CHECKS, "--no-color", "--warnings", "off",
            "--generation-database", "none", "--suppress-health-check", "all",
            "--continue-on-failure", "-H", f"Authorization: Bearer {key}", *arguments,
        ],
        capture_output=True, text=True, check=False, cwd=folder, env={**os.environ, "NO_PROXY": "127.0.0.1"},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("phases", ["examples,fuzzing", "stateful", "coverage"])
def test_whatever_is_made_up_from_the_schema_is_answered_as_documented(phases: str, api: Api, tmp_path: Path) -> None:
    # Its own key must outlive the run: it may be revoked by it, and then everything is a 401 that is documented too.
    key = api.new_key(api.jane, "admin").secret
    if phases == "coverage" and EXAMPLES == 1:
        pytest.skip("a case for every border of every value takes minutes: TWIN_FUZZ_EXAMPLES=2 and more run it")
    most = max(EXAMPLES, 3) if phases == "stateful" else EXAMPLES
    ran = schemathesis(api, key, tmp_path, "--phases", phases, "--max-examples", str(most))
    print(ran.stdout[-6_000:])
    assert ran.returncode == 0, ran.stdout[-30_000:] + ran.stderr


HEADERS = st.sampled_from(
    ["Authorization", "Idempotency-Key", "Last-Event-ID", "Content-Type", "Accept", "Cookie", "Origin", "X-Twin-Page"]
)
# What a client may put on the wire at all: no control characters, no white space around it.
VALUES = st.lists(st.integers(0x20, 0xFF).filter(lambda one: one != 0x7F), max_size=300).map(bytes).map(bytes.strip)


@examples(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    asked=st.sampled_from(
        [("GET", "/v1/documents"), ("GET", "/v1/collect/events"), ("POST", "/v1/search"), ("POST", "/mcp"),
         ("POST", "/v1/imports"), ("PATCH", "/v1/authors/jane"), ("DELETE", "/v1/session"), ("GET", "/v1/keys")]
    ),
    headers=st.dictionaries(HEADERS, VALUES, max_size=4),
    cursor=st.none() | st.text(max_size=100),
    body=st.binary(max_size=200),
)  # fmt: skip
def test_no_header_cursor_or_body_breaks_a_route(
    api: Api, asked: tuple[str, str], headers: dict[str, bytes], cursor: str | None, body: bytes
) -> None:
    method, path = asked
    with api.client() as client:
        answer = client.request(
            method, path, params={} if cursor is None else {"cursor": cursor}, headers=headers, content=body or None
        )
    assert answer.status_code < 500, answer.text
