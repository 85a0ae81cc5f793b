"""The jobs: one, `refresh`, which brings an author's twin up to date.

In one process: four assets in the default executor start four processes of seconds each, where most refreshes have
nothing to do. Training, which needs a process of its own, is launched by its asset.
"""

from __future__ import annotations

import dagster as dg

from twin_assets.defs.collect import raw_documents
from twin_assets.defs.features import chunks, cleaned_documents, embeddings, refresh_outcome
from twin_assets.partitions import authors

REFRESH = "refresh"

refresh = dg.define_asset_job(
    REFRESH,
    selection=[raw_documents, cleaned_documents, chunks, embeddings, refresh_outcome],
    partitions_def=authors,
    executor_def=dg.in_process_executor,
    description="Collect an author's sources, then clean, chunk and embed what changed. Ends red if anything failed.",
)
