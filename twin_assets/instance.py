"""The one Dagster instance of a home: where it lives and how any process opens it.

Services started by `twin up` and short commands like `twin sync` open the same one, so that every run is in the UI. What is
in its configuration is in `dagster.yaml`; who writes that into the home, in `twin_core.runtime.services`.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
from dagster._core.instance import InstanceRef

from twin_core.runtime import postgres
from twin_core.runtime.folders import folders
from twin_core.runtime.services import QUIET, dagster_environment, dagster_template, write_dagster_home
from twin_core.settings import Settings

_NO_CAPTURE = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}


def dagster_home(settings: Settings) -> Path:
    """Make Dagster's home current and point this process and its children at it; return the folder.

    Written only when something changed: services that run may be reading it.
    """
    home, template = folders(settings).dagster, dagster_template()
    written = home / "dagster.yaml"
    if template is None or not written.is_file() or written.read_bytes() != template.read_bytes():
        home = write_dagster_home(settings)
    os.environ.update(QUIET | dagster_environment(settings))
    return home


def instance(settings: Settings) -> dg.DagsterInstance:
    """The instance, opened for a short command; use it in a `with` block. Starts the embedded Postgres when it is down.

    What the command prints stays on its terminal: capturing it into files would start two processes per step and
    take the progress display away. Runs of the services are captured as `dagster.yaml` says.
    """
    postgres.ensure_running(settings)
    postgres.create_databases(settings)
    home = str(dagster_home(settings))
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(home, overrides={"compute_logs": _NO_CAPTURE}))
