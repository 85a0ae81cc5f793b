"""A steady stream of requests over a switch and a rollback, on a running API: nobody notices. benchmarks/switch.py prints the table."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.training.scenario import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["transformers", "vllm", "tgi"])
def test_no_request_fails_and_a_rollback_is_in_effect_within_two_seconds(engine: str) -> None:
    asked = [sys.executable, str(ROOT / "benchmarks" / "switch.py"), "--engine", engine, "--callers", "3", "--json"]
    ended = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode in {0, 1}, ended.stderr[-3000:]
    (found,) = json.loads(ended.stdout.splitlines()[-1])
    assert found["failed"] == 0, ended.stderr[-3000:]
    assert found["rollback in effect, s"] < 2, found
    assert min(found["by v1"], found["by v2"]) > 0
