"""What Dagster holds of an author, taken away: the partition, the runs with their events, and their logs.

Runs hold ids, counts and locations, never passages; of an author who is forgotten as a whole they go all the same.
"""

from __future__ import annotations

import shutil

import dagster as dg

from twin_assets.partitions import AUTHORS
from twin_core.records import Author
from twin_core.runtime.folders import folders
from twin_core.settings import Settings


def forget_author_in_dagster(instance: dg.DagsterInstance, settings: Settings, author: Author) -> int:
    """Take the author's partition and runs out of the instance. Returns how many runs there were. Again is harmless."""
    runs = instance.get_run_records(dg.RunsFilter(tags={"dagster/partition": author.slug}))
    for record in runs:
        run_id = record.dagster_run.run_id
        instance.delete_run(run_id)
        shutil.rmtree(folders(settings).dagster / "storage" / run_id, ignore_errors=True)  # captured logs, if any
    if instance.has_dynamic_partition(AUTHORS, author.slug):
        instance.delete_dynamic_partition(AUTHORS, author.slug)
    return len(runs)
