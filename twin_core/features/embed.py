"""The embed stage: every chunk gets a vector of the settings' embedding model (the dense half of snapshot 2).

A vector belongs to the text that was embedded, not to the run: what has one is left alone, equal texts share one.
The model itself is in `models/embedder.py`; which chunks there are is the chunk stage's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from twin_core.errors import ValidationFailed
from twin_core.features.chunk import embedded_text
from twin_core.features.clean import Progress, batched
from twin_core.features.indexes import ensure_vector_index
from twin_core.models.embedder import Embedder, embedder
from twin_core.models.embedding_model import embedding_model
from twin_core.records import Author, StageReport
from twin_core.settings import Settings
from twin_core.store import vectors as store
from twin_core.store.chunks import count_chunked
from twin_core.store.database import Database

COMMIT_TEXTS = 512
"""Texts per transaction: some ten seconds of work, which is what a killed run loses."""
NORM_TOLERANCE = 1e-3


def embed_author(
    database: Database, author: Author, *, settings: Settings, progress: Progress | None = None
) -> StageReport:
    """Embed the author's chunks that have no vector of the settings' model for their text.

    Holds the author's lock. Texts of all documents are sorted by length and batched together; each COMMIT_TEXTS are
    one transaction. `rows` counts vectors written, `reused` those among them that were not computed. `progress` counts
    chunks. Raises ValidationFailed, with nothing of the batch stored, when a vector is not of length 1.
    """
    started = time.perf_counter()
    model = embedding_model(settings)
    computed = shared = reused = 0
    with database.author_lock(author.id):
        with database.transaction() as conn:
            store.register_model(conn, model.id, model.dimension)
            pending = store.unembedded(conn, author.id, model.id)
            documents = {one.document_id for one in pending}
            if pending:
                reused = store.reuse_vectors(conn, author.id, model.id)
                pending = store.unembedded(conn, author.id, model.id) if reused else pending
        by_text: dict[str, list[store.Unembedded]] = {}
        for one in sorted(pending, key=lambda one: (-one.tokens, one.embed_hash)):
            by_text.setdefault(one.embed_hash, []).append(one)
        for batch in batched(list(by_text.values()), COMMIT_TEXTS):
            _embed_batch(database, author.id, embedder(settings), batch)
            computed += len(batch)
            shared += sum(len(same) - 1 for same in batch)
            if progress is not None:
                progress(computed + shared, len(pending))
        if pending or reused:
            ensure_vector_index(database, author.id, model.id, settings=settings)
        with database.transaction() as conn:
            chunked = count_chunked(conn, author.id)
    done = len(documents)
    return StageReport(
        done=done,
        unchanged=chunked - done,
        rows=computed + shared + reused,
        reused=shared + reused,
        seconds=time.perf_counter() - started,
    )


def validate(vectors: NDArray[np.float32], count: int, dimension: int) -> None:
    """Raise ValidationFailed unless these are `count` finite vectors of length 1 and of the model's dimension."""
    if vectors.shape != (count, dimension):
        raise ValidationFailed(f"{count} texts of {dimension} dimensions were expected, {vectors.shape} came.")
    if not np.isfinite(vectors).all():
        raise ValidationFailed("The embedding model gave a vector with values that are not finite; nothing was stored.")
    if np.abs(np.linalg.norm(vectors, axis=1) - 1).max(initial=0) > NORM_TOLERANCE:
        raise ValidationFailed("The embedding model gave a vector whose length is not 1; nothing was stored.")


def _embed_batch(
    database: Database, author_id: UUID, model: Embedder, batch: Sequence[Sequence[store.Unembedded]]
) -> None:
    with database.transaction() as conn:
        texts = store.texts_of(conn, [same[0].chunk_id for same in batch])
    vectors = model.encode([embedded_text(*texts[same[0].chunk_id]) for same in batch])
    validate(vectors, len(batch), model.dimension)
    with database.transaction() as conn:
        store.write_vectors(
            conn,
            author_id,
            model.model_id,
            (
                (one.chunk_id, one.embed_hash, vector)
                for same, vector in zip(batch, vectors, strict=True)
                for one in same
            ),
        )
