"""The jobs: `refresh`, which brings an author's twin up to date; `datasets`, `sft`, `dpo` and `teach`, which a person starts by
hand; `learn` and `promote`, which sensors do.

In one process: four assets in the default executor start four processes of seconds each, where most refreshes have
nothing to do. Training, which needs a process of its own, is launched by its asset.
"""

from __future__ import annotations

import dagster as dg

from twin_assets.defs.collect import raw_documents
from twin_assets.defs.datasets import instruct_dataset, preference_dataset
from twin_assets.defs.features import chunks, cleaned_documents, embeddings, refresh_outcome
from twin_assets.defs.promotion import LEARN, PROMOTE, champion, evaluation
from twin_assets.defs.training import TEACH, dpo_adapter, sft_adapter
from twin_assets.partitions import authors

REFRESH = "refresh"
DATASETS = "datasets"
SFT, DPO = "sft", "dpo"

refresh = dg.define_asset_job(
    REFRESH,
    selection=[raw_documents, cleaned_documents, chunks, embeddings, refresh_outcome],
    partitions_def=authors,
    executor_def=dg.in_process_executor,
    description="Collect an author's sources, then clean, chunk and embed what changed. Ends red if anything failed.",
)

datasets = dg.define_asset_job(
    DATASETS,
    selection=[instruct_dataset, preference_dataset],
    partitions_def=authors,
    executor_def=dg.in_process_executor,
    description="Build an author's dataset versions from what is cleaned and embedded now.",
)

promote = dg.define_asset_job(
    PROMOTE,
    selection=[champion],
    partitions_def=authors,
    executor_def=dg.in_process_executor,
    description="Carry out what was decided on adapters: started by the `approvals` sensor.",
)

learn = dg.define_asset_job(
    LEARN,
    selection=[sft_adapter, evaluation],
    partitions_def=authors,
    executor_def=dg.in_process_executor,
    description="Train an adapter on the current dataset and evaluate it: started by the `retrain` sensor.",
)

teach = dg.define_asset_job(
    TEACH,
    selection=[instruct_dataset, preference_dataset, sft_adapter, dpo_adapter, evaluation, champion],
    partitions_def=authors,
    executor_def=dg.in_process_executor,
    description="All that makes a twin, in one run: datasets, SFT, DPO, scorecard, and the champion once a person approved. Set "
    "`wait_minutes` of `champion` to have the run wait for that.",
)

sft, dpo = (
    dg.define_asset_job(
        name,
        selection=[asset],
        partitions_def=authors,
        executor_def=dg.in_process_executor,
        description=f"Train one {name.upper()} adapter from the author's current dataset version.",
    )
    for name, asset in ((SFT, sft_adapter), (DPO, dpo_adapter))
)
