"""What keeps the run list honest: runs whose worker is gone are reported failed.

A worker that is killed leaves its run STARTED. The run queue counts it, the sensor waits for it, and Dagster's run
monitoring does not see it with the launcher of a single machine. `twin up` sweeps before it starts anything.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
import psutil

UNSTARTED_GRACE = timedelta(minutes=3)
"""A run that no process has taken yet is given this long; the code server starts one within seconds."""

_UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]

_log = logging.getLogger("twin.maintenance")


def fail_abandoned_runs(
    instance: dg.DagsterInstance | None = None, *, now: datetime | None = None, grace: timedelta = UNSTARTED_GRACE
) -> list[str]:
    """Report every run that is under way and whose process is gone as failed; return their ids.

    For one machine: a run's worker is known by the process ids in its events, and looked for in this machine's
    process table. Without an instance, that of DAGSTER_HOME. The alert sensor tells of each.
    """
    if instance is None:
        with dg.DagsterInstance.get() as found:
            return fail_abandoned_runs(found, now=now, grace=grace)
    swept = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=_UNDER_WAY)):
        run = record.dagster_run
        workers = _workers(instance, run.run_id)
        age = (now or datetime.now(UTC)) - record.create_timestamp
        if (not workers and age < grace) or any(_lives(pid, seen) for pid, seen in workers):
            continue
        message = "The process of this run is gone: it was killed, or the machine was restarted."
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message=message)
        else:
            instance.report_run_failed(run, message=message)
        _log.warning("Run %s was abandoned and is now reported failed", run.run_id)
        swept.append(run.run_id)
    return swept


def _workers(instance: dg.DagsterInstance, run_id: str) -> Sequence[tuple[int, float]]:
    """The processes that worked on the run and when (epoch seconds), as its engine events name them."""
    found = []
    for event in instance.all_logs(run_id, of_type={dg.DagsterEventType.ENGINE_EVENT}):
        data = event.dagster_event.event_specific_data if event.dagster_event is not None else None
        pid = getattr(data, "metadata", {}).get("pid")
        if pid is not None:
            found.append((int(pid.value), event.timestamp))
    return found


def _lives(pid: int, seen: float) -> bool:
    """Whether the process that had this number at that time lives, and not a later one that was given the number."""
    try:
        process = psutil.Process(pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.create_time() < seen + 1)
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # denied: somebody else's, so the number was given away
        return False
