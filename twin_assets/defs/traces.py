"""The job that tidies traces: what is older than the settings keep it loses its texts, or goes; MLflow gets its copies.

No asset: it publishes nothing. It is started by the `old_traces` sensor (`sensors.py`); what is done is decided in
`twin_core.monitoring.upkeep`.

Annotations are evaluated: Dagster does not understand the ones that `from __future__` leaves as text.
"""

import dagster as dg

from twin_assets.automation import transient_errors
from twin_assets.failing import permanent_errors_are_final
from twin_assets.resources import Twin
from twin_core.monitoring import upkeep

TIDY = "tidy_traces"


@dg.op(
    description="Take texts and rows away that are older than the settings keep them.",
    retry_policy=transient_errors,
    out=dg.Out(dg.Nothing),
)
def tidy_old_traces(context: dg.OpExecutionContext, twin: Twin) -> None:
    """Counts go into the log, texts never."""
    with permanent_errors_are_final():
        done = upkeep.tidy(twin.database, twin.settings(), twin.now())
    context.log.info("%d traces lost their texts, %d are gone.", done.texts_dropped, done.deleted)
    if done.copied.traces or done.copied.words:
        context.log.info("%d traces and %d verdicts were copied to MLflow.", done.copied.traces, done.copied.words)


@dg.job(
    name=TIDY,
    executor_def=dg.in_process_executor,
    description="Tidy traces by age: started by the `old_traces` sensor.",
)
def tidy_traces() -> None:
    """One step, over all authors."""
    tidy_old_traces()
