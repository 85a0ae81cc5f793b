"""Memory does not grow with an export: measured in a process of its own, on exports made up for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from imports import measure

MARGIN_MB = 25
MOST_MB = 400


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("platform", ["linkedin", "mbox"])
def test_200_megabytes_take_the_memory_of_20(platform: str, tmp_path: Path) -> None:
    small = measure(platform, 20, "read", tmp_path)
    large = measure(platform, 200, "read", tmp_path)
    assert large["items"] > 9 * small["items"] > 1000
    assert large["peak_mb"] < small["peak_mb"] + MARGIN_MB
    assert large["peak_mb"] < MOST_MB
