"""Chunks per second of the embed path beside the named alternative, in one run and on the same passages.

    python benchmarks/features.py [--documents N] [--rounds N]

The alternative is how such systems are commonly built: batches of ten within one document, float32, in the order of
the text. The passages are those of ../shared/corpora/simonw_til where it lies beside the checkout, else of
demo/articles. Goal: at least 2.5 times. Each round runs both; the ratio is of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
from rich.console import Console
from rich.table import Table

from twin_core.features.chunk import chunk_document, embedded_text
from twin_core.features.clean import clean_revision
from twin_core.models.embedder import embedder, processor_has_bfloat16
from twin_core.models.tokenizer import token_counter
from twin_core.records import Category, RawRevision
from twin_core.settings import Settings

ROOT = Path(__file__).parents[1]
GOAL = 2.5
_NONE = UUID(int=0)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", type=int, default=150, help="Documents at most, spread over the collection.")
    arguments.add_argument("--rounds", type=int, default=3)
    chosen = arguments.parse_args()
    console = Console()
    files, where = _files(chosen.documents)
    settings = Settings(_env_file=None)
    counter = token_counter(settings)

    started = time.perf_counter()
    cleaned = [clean_revision(_raw(file), "en") for file in files]
    cleaning = time.perf_counter() - started
    started = time.perf_counter()
    by_document = [[embedded_text(c.context, c.text) for c in chunk_document(one, counter)] for one in cleaned]
    chunking = time.perf_counter() - started
    passages = [text for texts in by_document for text in texts]

    ours = embedder(settings)
    plain = embedder(settings.model_copy(update={"embedding_dtype": "float32"}))
    network = plain._network()  # noqa: SLF001 - the same weights, called the other way

    def batches_of_ten() -> np.ndarray:
        return np.concatenate(
            [
                network.encode(texts[at : at + 10], batch_size=10, normalize_embeddings=True, show_progress_bar=False)
                for texts in by_document
                for at in range(0, len(texts), 10)
            ]
        )

    legs: dict[str, Callable[[], np.ndarray]] = {
        "batches of ten within a document, float32": batches_of_ten,
        "sorted, token budget across documents, float32": lambda: plain.encode(passages),
        f"ours (as set: {'bfloat16' if processor_has_bfloat16() else 'float32'})": lambda: ours.encode(passages),
    }
    ours.encode(passages[:16])  # first calls allocate and choose kernels
    plain.encode(passages[:16])
    seconds: dict[str, list[float]] = {name: [] for name in legs}
    vectors: dict[str, np.ndarray] = {}
    for _ in range(chosen.rounds):
        for name, leg in legs.items():
            started = time.perf_counter()
            vectors[name] = leg()
            seconds[name].append(time.perf_counter() - started)

    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    first, *_, last = legs
    table = Table(
        title=f"Embedding {len(passages)} passages of {len(files)} documents ({where}), median of {chosen.rounds}"
    )
    for column in ("path", "chunks/s", "seconds", "ratio", "least cosine"):
        table.add_column(column, justify="left" if column == "path" else "right")
    for name, taken in median.items():
        cosine = float((vectors[name] * vectors[first]).sum(axis=1).min())
        table.add_row(
            name, f"{len(passages) / taken:.1f}", f"{taken:.2f}", f"{median[first] / taken:.2f}", f"{cosine:.4f}"
        )
    console.print(table)
    console.print(
        f"Before it: cleaned {len(files) / cleaning:.0f} documents/s, cut {len(passages) / chunking:.0f} passages/s."
    )
    ratio = median[first] / median[last]
    console.print(f"Ratio {ratio:.2f}, goal {GOAL}: {'reached' if ratio >= GOAL else 'not reached'}.")


def _files(most: int) -> tuple[list[Path], str]:
    collection = ROOT.parent / "shared" / "corpora" / "simonw_til"
    if not collection.is_dir():
        print("No ../shared/corpora/simonw_til beside the checkout: measuring on demo/articles instead.")
        collection = ROOT / "demo" / "articles"
    found = sorted(collection.rglob("*.md"))
    return found[:: max(len(found) // most, 1)][:most], collection.name


def _raw(file: Path) -> RawRevision:
    document = uuid5(_NONE, str(file))
    return RawRevision(
        id=document, document_id=document, author_id=_NONE, source_id=_NONE, native_id=file.name, location=str(file),
        category=Category.ARTICLE, media_type="text/markdown", body=file.read_bytes(), content_hash="", title=None,
        written_at=None, modified_at=None, metadata={}, fetched_at=datetime.now(UTC),
    )  # fmt: skip


if __name__ == "__main__":
    main()
