"""A module of ours run in a process of its own, which may hold models that this one must not; what it prints last is what it found."""

from __future__ import annotations

import subprocess
import sys

from twin_core.errors import TwinError
from twin_core.runtime.services import child_environment
from twin_core.settings import Settings


def run_apart(module: str, *arguments: str, settings: Settings, failed: str, given: str | None = None) -> str:
    """Run `python -m MODULE` to its end and return the last line of its output, empty where it has none. `given` is its standard input.

    Raises TwinError when it ends otherwise than with 0: `failed`, and the last line that it had to say of it.
    """
    ended = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        input=given,
        env=child_environment(settings) | {"TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        said = [line for line in ended.stderr.splitlines() if line.strip()]
        raise TwinError(f"{failed}: {said[-1] if said else f'exit code {ended.returncode}'}")
    return (ended.stdout.strip().splitlines() or [""])[-1]
