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
        age = (now or datetime.now(UTC)) - record.create_timestamp.astimezone(UTC)
        if (not workers and age < grace) or any(_lives(pid, record.create_timestamp) for pid in workers):
            continue
        message = "The process of this run is gone: it was killed, or the machine was restarted."
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message=message)
        else:
            instance.report_run_failed(run, message=message)
        _log.warning("Run %s was abandoned and is now reported failed", run.run_id)
        swept.append(run.run_id)
    return swept


def _workers(instance: dg.DagsterInstance, run_id: str) -> Sequence[int]:
    """The processes that worked on the run, as its engine events name them; empty when none has taken it yet."""
    pids = []
    for event in instance.all_logs(run_id, of_type={dg.DagsterEventType.ENGINE_EVENT}):
        data = event.dagster_event.event_specific_data if event.dagster_event is not None else None
        pid = getattr(data, "metadata", {}).get("pid")
        if pid is not None:
            pids.append(int(pid.value))
    return pids


def _lives(pid: int, run_created: datetime) -> bool:
    """Whether this process lives and is not a later one with the same number.

    A worker exists before its first event and may be older than its run (`twin sync` runs in its own process). So a
    reused number is told by its start: after the run was taken, which is at most the grace after it was made.
    """
    try:
        process = psutil.Process(pid)
        started = datetime.fromtimestamp(process.create_time(), UTC)
        return process.status() != psutil.STATUS_ZOMBIE and started < run_created.astimezone(UTC) + UNSTARTED_GRACE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # somebody else's process: the number was given away
        return False
