"""Where MLflow keeps things: the server that is named, or its own database, written to directly.

What is kept there of training is in `training/tracking.py`, of answers in `monitoring/mlflow_traces.py`; what is taken
away again when something is forgotten, here.
"""

from __future__ import annotations

from collections.abc import Iterable

import httpx2
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from twin_core.errors import ServiceUnavailable
from twin_core.runtime.folders import folders
from twin_core.runtime.urls import url_for
from twin_core.settings import Settings

OFF = "off"
WAIT_SECONDS = 5
"""For a server or a database to answer at all."""
BATCH = 100
"""Traces deleted by one request."""


def tracking_uri(settings: Settings) -> str | None:
    """Where runs are kept: the server that is named, else MLflow's own database; None when they are not."""
    if settings.mlflow_url == OFF:
        return None
    return settings.mlflow_url or url_for(settings, database="mlflow", dialect="psycopg2")


def experiment_id(settings: Settings, name: str) -> str:
    """The experiment of this name, made when it is not there, with its files beside MLflow's own.

    Raises mlflow's MlflowException when the store does not answer.
    """
    import mlflow

    uri = tracking_uri(settings) or ""
    mlflow.set_tracking_uri(uri)
    found = mlflow.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # A server knows where its files go; without one they would land in the folder that somebody happens to be in.
    place = None if uri.startswith("http") else (folders(settings).mlflow / "artifacts" / name).as_uri()
    return str(mlflow.create_experiment(name, artifact_location=place))


def require_mlflow(settings: Settings) -> str:
    """Where MLflow is, when it answers: its own clients try for up to an hour before they say that it does not.

    Raises ServiceUnavailable when it does not answer, or is `off`.
    """
    uri = tracking_uri(settings)
    if uri is None:
        raise ServiceUnavailable(
            "Copies of answers are in MLflow, and TWIN_MLFLOW_URL is `off`. Set it to where they are."
        )
    try:
        if uri.startswith("http"):
            httpx2.get(f"{uri.rstrip('/')}/health", timeout=WAIT_SECONDS).raise_for_status()
        elif uri.startswith("postgresql"):
            engine = create_engine(uri, connect_args={"connect_timeout": WAIT_SECONDS}, poolclass=NullPool)
            with engine.connect():
                pass
    except (httpx2.HTTPError, OSError, SQLAlchemyError) as error:
        raise ServiceUnavailable(
            "MLflow does not answer. Start it with `twin up`, or check TWIN_MLFLOW_URL."
        ) from error
    return uri


def delete_traces(settings: Settings, names: Iterable[str]) -> int:
    """Delete traces, each named `experiment/trace`; again is harmless. Returns how many there were.

    Raises ServiceUnavailable when MLflow does not answer, or is `off` by now.
    """
    by_experiment: dict[str, list[str]] = {}
    for name in names:
        experiment, _, trace = name.partition("/")
        by_experiment.setdefault(experiment, []).append(trace)
    if not by_experiment:
        return 0
    uri = require_mlflow(settings)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=uri)
    gone = 0
    try:
        for experiment, traces in by_experiment.items():
            for at in range(0, len(traces), BATCH):
                gone += client.delete_traces(experiment, trace_ids=traces[at : at + BATCH])
    except (MlflowException, SQLAlchemyError) as error:
        raise ServiceUnavailable("MLflow did not delete copies of answers. Check TWIN_MLFLOW_URL.") from error
    return gone
