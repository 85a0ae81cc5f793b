"""The job that carries out requests to forget: those that the API wrote, and those that were interrupted.

No asset: forgetting publishes nothing. It is started by the `forget_requests` sensor (`sensors.py`); the saga itself, with its
receipt, is `twin_core.forgetting`.

Annotations are evaluated: Dagster does not understand the ones that `from __future__` leaves as text.
"""

import dagster as dg

from twin_assets.automation import transient_errors
from twin_assets.failing import permanent_errors_are_final
from twin_assets.partitions import authors
from twin_assets.resources import Twin
from twin_core import forgetting
from twin_core.store import authors as store

FORGET = "forget"


@dg.op(
    description="Purge every store of what the author's open requests name.",
    retry_policy=transient_errors,
    out=dg.Out(dg.Nothing),
)
def forget_documents(context: dg.OpExecutionContext, twin: Twin) -> None:
    """Carry out the author's open requests. Counts go into the log, names never."""
    with permanent_errors_are_final():
        stores = twin.stores
        with stores.database.transaction() as conn:
            author = store.author_by_slug(conn, context.partition_key)
        receipts = forgetting.resume(stores.database, stores.warehouse, author, settings=twin.settings())
    for receipt in receipts:
        gone = sum(counted.before for counted in receipt.stores.values())
        context.log.info(
            "Request %s: %d documents, %d rows and files are gone.", receipt.request_id, len(receipt.document_ids), gone
        )


@dg.job(
    name=FORGET,
    partitions_def=authors,
    executor_def=dg.in_process_executor,
    description="Forget what was asked to be forgotten: started by the `forget_requests` sensor.",
)
def forget() -> None:
    """One step: the saga resumes by itself wherever it stopped."""
    forget_documents()
