"""The maintenance job that gives an author with many chunks a vector index of their own.

Below `search_exact_below` rows an exact scan is as fast and never wrong, so that most authors need none. Everything
else about the schema is in the migrations; what is done here is written to `features.maintenance`.
"""

from __future__ import annotations

import time
from uuid import UUID

from twin_core.settings import Settings
from twin_core.store import vectors as store
from twin_core.store.database import Database


def ensure_vector_index(database: Database, author_id: UUID, model_id: str, *, settings: Settings) -> bool:
    """Build the author's partial HNSW index (m 16, ef_construction 64, cosine) when it is due. True when it was built.

    Nobody is blocked meanwhile. An index that an interrupted build left invalid is built anew.
    """
    with database.transaction() as conn:
        rows = store.count_vectors(conn, author_id, model_id)
        name = store.index_name(author_id, model_id)
        valid = store.index_state(conn, name)
        if rows < settings.search_exact_below or valid:
            return False
        dimension = store.dimension_of(conn, model_id)
        if valid is False:
            store.drop_index(conn, name)
    started = time.perf_counter()
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        store.build_index(conn, author_id, model_id, dimension)
    with database.transaction() as conn:
        store.record_maintenance(
            conn, author_id, "vector index", f"{name}: HNSW over {rows} rows", time.perf_counter() - started
        )
    return True
