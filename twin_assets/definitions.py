"""Puts the code location together. What is in it is defined in the modules beside this one; here is only the list.

Assembled by hand: `load_from_defs_folder` imports the components of every installed integration, which doubles the
time that each process of Dagster takes to start.
"""

from __future__ import annotations

import warnings

import dagster as dg

from twin_assets.checks import feature_checks
from twin_assets.defs import collect, datasets, features, promotion, training
from twin_assets.defs.external import external_assets
from twin_assets.defs.forgetting import forget
from twin_assets.defs.traces import tidy_traces
from twin_assets.jobs import datasets as datasets_job
from twin_assets.jobs import dpo, learn, promote, refresh, sft, teach
from twin_assets.mlflow_parent import MlflowParent
from twin_assets.resources import Twin
from twin_assets.sensors import approvals, automation, due_sources, failure_alert, forget_requests, old_traces, retrain
from twin_core.settings import settings

# Dagster sets this parameter itself when it copies a sensor, and warns its users of it.
warnings.filterwarnings(
    "ignore", message="Parameter `owners` of initializer `SensorDefinition", category=dg.BetaWarning
)
# Nor are these anything to whoever trains: dagster-mlflow is pinned, and Pipes warns of a property that it reads itself.
warnings.filterwarnings("ignore", message=".*(mlflow|MlFlow)`? ?.*is currently in beta", category=dg.BetaWarning)
warnings.filterwarnings("ignore", message="Function `PipesMessageReader", category=dg.PreviewWarning)


def definitions(**resource_overrides: object) -> dg.Definitions:
    """Everything in the code location. `twin=` takes another `Twin`: tests and `twin sync` bring their own."""
    return dg.Definitions(
        assets=[
            collect.raw_documents,
            features.cleaned_documents,
            features.chunks,
            features.embeddings,
            features.refresh_outcome,
            datasets.instruct_dataset,
            datasets.preference_dataset,
            training.sft_adapter,
            training.dpo_adapter,
            promotion.evaluation,
            promotion.adapter_approval,
            promotion.champion,
            *external_assets(settings()),
        ],
        asset_checks=feature_checks,
        jobs=[refresh, datasets_job, sft, dpo, learn, promote, teach, forget, tidy_traces],
        sensors=[due_sources, forget_requests, approvals, retrain, old_traces, automation, failure_alert],
        resources={
            "twin": Twin(),
            "mlflow": MlflowParent(),
            "pipes": dg.PipesSubprocessClient(),
            **resource_overrides,
        },
        # Also for the runs of the automation and of a click in the UI: a process per step costs ten times the work.
        executor=dg.in_process_executor,
    )


defs = definitions()
