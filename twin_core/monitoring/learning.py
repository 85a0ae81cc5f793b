"""The facts that `retraining.py` judges, read from the stores."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
from sqlalchemy import Connection

from twin_core.monitoring.drift import Drift, drift
from twin_core.monitoring.retraining import Facts, Votes
from twin_core.store import retraining as store

LATELY = timedelta(days=30)
MOST_DOCUMENTS = 300
"""Compared on either side, the newest: a matrix of six hundred is compared in a second."""


def facts(conn: Connection, author_id: UUID, now: datetime) -> tuple[Facts, str | None]:
    """What is known of the author, and the dataset version that would be learnt; None when there is none."""
    version, learnt = store.versions(conn, author_id)
    new, known = store.example_counts(conn, version, learnt)
    before, lately = store.votes(conn, author_id, since=now - LATELY)
    found = Facts(
        now=now,
        new_examples=new,
        learnt_examples=known,
        last_at=store.last_tried(conn, author_id),
        drift=_drift(conn, author_id, learnt) if learnt is not None else None,
        before=Votes(up=before[0], down=before[1]),
        lately=Votes(up=lately[0], down=lately[1]),
    )
    return found, version


def _drift(conn: Connection, author_id: UUID, learnt: str) -> Drift | None:
    old = store.document_vectors(conn, author_id, learnt, inside=True, limit=MOST_DOCUMENTS)
    new = store.document_vectors(conn, author_id, learnt, inside=False, limit=MOST_DOCUMENTS)
    if not old or not new:
        return None
    return drift(
        np.array([one.vector for one in old]),
        np.array([one.vector for one in new]),
        learnt_lengths=np.array([float(one.words) for one in old]),
        new_lengths=np.array([float(one.words) for one in new]),
    )
