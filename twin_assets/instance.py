"""The one Dagster instance of a home: where it lives and how any process opens it.

Services started by `twin up` and short commands like `twin sync` open the same one, so that every run is in the UI. What is
in its configuration is in `dagster.yaml`; who writes that into the home, in `twin_core.runtime.services`.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from twin_core.runtime import postgres
from twin_core.runtime.services import QUIET, dagster_environment, write_dagster_home
from twin_core.settings import Settings


def dagster_home(settings: Settings) -> Path:
    """Make Dagster's home current and point this process and its children at it; return the folder."""
    home = write_dagster_home(settings)
    os.environ.update(QUIET | dagster_environment(settings))
    return home


def instance(settings: Settings) -> dg.DagsterInstance:
    """The open instance; use it in a `with` block. Starts the embedded Postgres when it is down."""
    postgres.ensure_running(settings)
    postgres.create_databases(settings)
    return dg.DagsterInstance.from_config(str(dagster_home(settings)))
