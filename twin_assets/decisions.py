"""What persons decided on adapters, and what came of it, as the graph is told: by whichever door they decided.

A decision that `twin approve` carried out by itself, or a rollback, started no run. It is reported all the same, and `champion` is made
to show what serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from twin_core.store.registry import NOTHING, Approval, Standing

LATE = timedelta(minutes=10)
"""Longest time that a decision may take to be committed once it has its date."""


class Reported(BaseModel):
    """The sensor's cursor: which decisions were told already."""

    model_config = ConfigDict(frozen=True)

    newest: AwareDatetime | None = None
    lately: tuple[str, ...] = ()
    """Ids of those within LATE of the newest: one that was dated before it may still be committed after it."""

    @classmethod
    def read(cls, cursor: str | None) -> Reported:
        """The cursor; a new one where there is none, or one of another version."""
        try:
            return cls.model_validate_json(cursor or "{}")
        except ValidationError:
            return cls()

    def new(self, decided: Sequence[Approval]) -> list[Approval]:
        """Those that were not told yet."""
        return [one for one in decided if str(one.id) not in self.lately]

    def after(self, decided: Sequence[Approval]) -> Reported:
        """The cursor once these were told."""
        if not decided:
            return self
        newest = max(one.at for one in decided)
        return Reported(newest=newest, lately=tuple(str(one.id) for one in decided if one.at >= newest - LATE))


def report(slug: str, decision: Approval) -> dg.AssetMaterialization:
    """The event of `adapter_approval`."""
    return dg.AssetMaterialization(
        "adapter_approval",
        partition=slug,
        metadata={
            "decision": str(decision.id),
            "adapter": decision.adapter_id,
            "verdict": decision.verdict,
            "by": decision.by,
            "decided": dg.MetadataValue.timestamp(decision.at),
        },
        tags={"dagster/data_version": str(decision.id)},
    )


def is_shown(instance: dg.DagsterInstance, slug: str, now: Standing) -> bool:
    """Whether the asset `champion` says of this author what serves."""
    shown = instance.get_latest_data_version_record(dg.AssetKey("champion"), partition_key=slug)
    made = shown.asset_materialization if shown is not None else None
    return now.version == ((made.tags or {}).get("dagster/data_version") if made is not None else NOTHING)
