"""What the graph reads and feeds but does not make: platforms in front, stores and servers behind.

They are here so that the picture in the UI is the whole product, from the places an author writes to the answers.
Nothing runs for them; nothing is ever stored under their keys.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from twin_core.collect.registry import platforms
from twin_core.settings import Settings

_KINDS = {"folder": "file", "git": "git", "web": "rss"}

WAREHOUSE = dg.AssetKey("warehouse")
RETRIEVAL = dg.AssetKey("retrieval")
LLM_SERVER = dg.AssetKey("llm_server")
ANSWERS = dg.AssetKey("answers")


def platform_key(platform: str) -> dg.AssetKey:
    """The asset that stands for everything authors have on one platform."""
    return dg.AssetKey(["platforms", platform])


def external_assets(settings: Settings) -> Sequence[dg.AssetSpec]:
    """The external systems of these settings. Names of kinds only: no URL, which may hold a password."""
    warehouse = "mongodb" if settings.mongo_url is not None else "postgres"
    return [
        *(
            dg.AssetSpec(
                platform_key(platform),
                group_name="platforms",
                kinds={_KINDS.get(platform, "source")},
                description=f"What authors claim as theirs on `{platform}`: see `twin source list`.",
            )
            for platform in platforms()
        ),
        dg.AssetSpec(
            WAREHOUSE,
            deps=["raw_documents"],
            group_name="stores",
            kinds={warehouse},
            description="Raw revisions, unaltered. MongoDB when TWIN_MONGO_URL is set, else Postgres.",
        ),
        dg.AssetSpec(
            RETRIEVAL,
            deps=["chunks", "embeddings"],
            group_name="stores",
            kinds={"postgres", "pgvector"},
            description="Hybrid search over passages: vectors and postings, read by the API and by `twin search`.",
        ),
        dg.AssetSpec(
            LLM_SERVER,
            deps=["champion"],
            group_name="serving",
            kinds={settings.llm_engine},
            description="Answers at the chat API: the local server, or the one that TWIN_LLM_URL names.",
        ),
        dg.AssetSpec(
            ANSWERS,
            deps=[RETRIEVAL, LLM_SERVER],
            group_name="serving",
            kinds={"litestar"},
            description="Answers with citations, each with a trace: `twin ask`, POST /v1/chat/completions.",
        ),
    ]
