"""Supervises stand-in services in a process of its own, so that a test can interrupt it, kill it, or ask it to end.

Usage: drive.py PLAN, a JSON object: settings, services (name, port, options of `stand_in.py`), pauses.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from twin_core.errors import TwinError
from twin_core.runtime import supervisor
from twin_core.runtime.services import Plan, Service
from twin_core.settings import Settings

STAND_IN = str(Path(__file__).with_name("stand_in.py"))


def service(name: str, port: int, options: list[str]) -> Service:
    return Service(
        name=name,
        title=name,
        command=(sys.executable, "-I", "-S", STAND_IN, str(port), *options),
        port=port,
        port_setting=f"TWIN_{name.upper()}_PORT",
        probe_target=f"http://127.0.0.1:{port}/",
        needs="first" if name == "second" else "",
    )


def main() -> int:
    given = json.loads(sys.argv[1])
    supervisor.BACKOFF_SECONDS = tuple(given["pauses"])
    supervisor.GRACE_SECONDS = 2.0
    settings = Settings(_env_file=None, **given["settings"])
    plan = Plan(tuple(service(*values) for values in given["services"]), {"llm": "nothing to serve"})
    try:
        supervisor.supervise(settings, plan, on_change=lambda _state: None, before=lambda: None)
    except TwinError as error:
        print(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
