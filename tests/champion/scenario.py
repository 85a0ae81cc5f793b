"""An author with a dataset and adapters whose weights are a word: what the registry, the gate and the engines are told of."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from tests.training.scenario import publish
from twin_core.promotion import GUARDRAILS
from twin_core.records import Author, Difference
from twin_core.settings import Settings
from twin_core.store import adapters, registry
from twin_core.store.adapters import Adapter
from twin_core.store.database import Database
from twin_core.store.files import file_store

LEVEL = Difference(0.0, -0.01, 0.01)
ABOVE = Difference(0.4, 0.2, 0.6)
BELOW = Difference(-0.9, -1.2, -0.6)
TEXTS = [(f"note {number}", f"I wrote note {number} on a day when the tide was {number} feet.") for number in range(12)]


@dataclass(slots=True)
class Bench:
    """One author and their adapters."""

    database: Database
    settings: Settings
    slug: str = "ann"
    texts: Sequence[tuple[str, str]] = tuple(TEXTS)
    """Title of a document and a passage of it; of an author who is there already, documents that they have."""
    held_out: int = 4
    author: Author = field(init=False)
    version_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.author, self.version_id = publish(self.database, self.slug, self.texts, held_out=self.held_out)
        with self.database.transaction() as conn:  # no vectors: what is found is found by its words
            conn.exec_driver_sql("UPDATE features.embedding_models SET serving = false")

    def adapter(self, word: str, *, version_id: str | None = None) -> Adapter:
        """Register one."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            entry = tarfile.TarInfo("adapter_config.json")
            entry.size = len(word)
            archive.addfile(entry, io.BytesIO(word.encode()))
        key = file_store(self.settings).put(self.author.id, packed.getvalue(), ending="tar")
        with self.database.transaction() as conn:
            attempt = adapters.open_attempt(
                conn,
                author_id=self.author.id,
                kind="sft",
                job_hash=word,
                version_id=version_id or self.version_id,
                job={},
            )
            return adapters.register_adapter(
                conn,
                attempt,
                adapter_id=f"{self.slug}-{word}",
                base_model="base",
                base_hash="b",
                fraction=1.0,
                parent_id=None,
                file_key=key,
                config={},
                metrics={"loss": 1.0},
                code_revision="1",
            )

    def evaluate(
        self,
        adapter: Adapter,
        *,
        split: str = "spring",
        documents: int = 60,
        champion: Adapter | None = None,
        against: Mapping[str, Mapping[str, Difference]] | None = None,
        figures: Mapping[str, float | None] | None = None,
        **axes: Difference,
    ) -> None:
        """Figures above all rivals, except on the axes that are named."""
        won = {"style": ABOVE, **dict.fromkeys(GUARDRAILS, LEVEL), "fit": ABOVE, **axes}
        rivals = ["base", "other author", *(["champion"] if champion is not None else [])]
        with self.database.transaction() as conn:
            registry.add_evaluation(
                conn,
                author_id=self.author.id,
                adapter_id=adapter.id,
                version_id=self.version_id,
                split_id=split,
                documents=documents,
                champion_id=champion.id if champion is not None else None,
                against=against if against is not None else dict.fromkeys(rivals, won),
                figures={"base": figures or {"style": -1.0}},
                report_key=None,
            )

    def approve(self, adapter: Adapter, reason: str | None = None) -> UUID:
        return self.decide(adapter, "approve", reason)

    def decide(self, adapter: Adapter, verdict: registry.Verdict, reason: str | None = None) -> UUID:
        with self.database.transaction() as conn:
            return registry.decide(
                conn, author_id=self.author.id, adapter_id=adapter.id, verdict=verdict, by="ann", reason=reason
            )

    def serving(self) -> str | None:
        with self.database.transaction() as conn:
            found = registry.serving(conn, self.author.id)
        return found.served_name if found is not None else None

    def taint(self) -> None:
        """As forgetting does."""
        with self.database.transaction() as conn:
            conn.exec_driver_sql("UPDATE training.dataset_versions SET tainted_at = now()")
