"""How well and how fast search finds: prints tables, checks nothing.

    python benchmarks/retrieval.py                       # quality on NPL, then speed at 10k and 100k chunks
    python benchmarks/retrieval.py --only quality --vectors FOLDER
    python benchmarks/retrieval.py --only speed --chunks 5000 --queries 20

Quality: the NPL (Vaswani) test collection, read from ../shared/ir/npl (it is not part of this project; where it is
absent there is nothing to measure), through the real feature tables and the real embedding model. Speed: the same
abstracts made into as many chunks as asked, each with a text of its own. Everything happens in a scratch Postgres
under a temporary folder, which is removed at the end.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parents[1]))

from twin_core import identity
from twin_core.features.indexes import ensure_vector_index
from twin_core.models.embedder import embedder
from twin_core.records import Author, Category, Chunk, SearchFilters
from twin_core.retrieval.legs import Plan, dense_leg, lexical_leg
from twin_core.retrieval.query import parse
from twin_core.retrieval.search import fused, search
from twin_core.runtime import postgres
from twin_core.runtime.urls import role_password, url_for
from twin_core.settings import Settings
from twin_core.store import authors, chunks, migrate, vectors
from twin_core.store.bulk import stage
from twin_core.store.database import Database
from twin_core.store.people import API_ROLE, ensure_api_role
from twin_core.store.search import corpus_of, tune
from twin_core.text.lexical import indexed_text, search_config

NPL = Path(__file__).parents[2] / "shared" / "ir" / "npl"
GOAL_NDCG = 0.50
GOAL_P95_MS = 25.0
RESAMPLES = 10_000
WORDS_OF_ITS_OWN = 70
"""Words added to each copied abstract, drawn as often as they occur: chunks are longer than abstracts, and distinct."""
JITTER = 0.035
"""Standard deviation added to each coordinate of a copied vector: cosine of about 0.82 to its original."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Texts with vectors, questions with vectors, and which texts answer which question."""

    texts: list[str]
    vectors: Vectors
    questions: list[str]
    question_vectors: Vectors
    relevant: list[set[int]]


def main() -> None:
    options = arguments()
    if not (options.npl / "doc-text.trec").is_file():
        print(f"Skipped: no test collection at {options.npl}. Name its folder with --npl to measure.")
        return
    with scratch() as settings:
        npl = read_npl(options.npl, settings, options.vectors)
        if options.only != "speed":
            quality(settings, npl)
        if options.only != "quality":
            for count in options.chunks:
                speed(settings, npl, count, options.queries)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["quality", "speed"])
    parser.add_argument("--chunks", type=int, nargs="+", default=[10_000, 100_000], help="sizes for the speed part")
    parser.add_argument("--queries", type=int, default=93, help="queries timed, each once after one warm round")
    parser.add_argument("--npl", type=Path, default=NPL, help="folder of the NPL collection in TREC format")
    parser.add_argument("--vectors", type=Path, help="folder to keep the embedded collection in between runs")
    return parser.parse_args()


# The collection


def read_npl(folder: Path, settings: Settings, keep: Path | None) -> Collection:
    """The collection with its vectors, embedded now or taken from the folder where an earlier run kept them."""
    raw = (folder / "doc-text.trec").read_text()
    found = re.findall(r"<DOCNO>(\d+)</DOCNO>(.*?)</DOC>", raw, flags=re.DOTALL)
    position = {number: index for index, (number, _) in enumerate(found)}
    texts = [" ".join(body.split()) for _, body in found]
    raw = (folder / "query-text.trec").read_text()
    asked = re.findall(r"<num>(\d+)</num><title>(.*?)</title>", raw, flags=re.DOTALL)
    judged: dict[str, set[int]] = {}
    for line in (folder / "qrels").read_text().splitlines():
        query, _, document, grade = line.split()
        if int(grade) > 0:
            judged.setdefault(query, set()).add(position[document])
    questions = [" ".join(body.split()) for number, body in asked if number in judged]
    return Collection(
        texts=texts,
        vectors=embedded(texts, "documents", settings, keep),
        questions=questions,
        question_vectors=embedded(questions, "questions", settings, keep),
        relevant=[judged[number] for number, _ in asked if number in judged],
    )


def embedded(texts: Sequence[str], what: str, settings: Settings, keep: Path | None) -> Vectors:
    path = keep / f"npl-{what}.npy" if keep else None
    if path and path.is_file():
        return np.asarray(np.load(path), dtype=np.float32)
    started = time.perf_counter()
    model = embedder(settings)
    made = model.encode(texts) if what == "documents" else model.encode_query(texts)
    print(f"Embedded {len(texts)} {what} in {time.perf_counter() - started:.0f} s.", flush=True)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, made)
    return made


# Loading


@contextmanager
def scratch(**changes: Any) -> Iterator[Settings]:
    """Settings with a Postgres of their own, migrated, and these changes; gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="twin-bench-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server goes too
    values = {"postgres_shared_buffers": "2GB", **changes}
    settings = Settings(home=home / "home", postgres_port=free_port(), _env_file=None, **values)
    try:
        postgres.ensure_running(settings)
        postgres.create_databases(settings)
        migrate.upgrade(url_for(settings))
        yield settings
    finally:
        postgres.stop(settings)
        shutil.rmtree(home, ignore_errors=True)


def free_port() -> int:
    """A port of loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def load(
    database: Database,
    settings: Settings,
    slug: str,
    texts: Sequence[str],
    rows: Vectors,
    *,
    model: str = "npl",
    every: int = 5_000,
) -> Author:
    """Put texts into the feature tables of a new author, one document with one chunk each, as the stages would."""
    with database.transaction() as conn:
        author = authors.add_author(conn, slug=slug, name=slug)
        vectors.register_model(conn, model, rows.shape[1])
    for start in range(0, len(texts), every):
        numbered = list(enumerate(texts[start : start + every], start=start))
        made = [indexed(author, number, body) for number, body in numbered]
        with database.transaction() as conn:
            write_documents(conn, author, made)
            pending = [
                chunks.Pending(document_id=one.chunk.document_id, revision_id=one.chunk.revision_id, input_hash="")
                for one in made
            ]
            chunks.publish_chunks(conn, author.id, pending, made, "benchmark")
            vectors.write_vectors(
                conn,
                author.id,
                model,
                [(one.chunk.id, one.chunk.embed_hash, rows[n]) for n, one in enumerate(made, start)],
            )
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("VACUUM ANALYZE features.chunks, features.postings, features.embeddings"))
        conn.execute(text("VACUUM ANALYZE features.cleaned_documents, features.chunked_documents"))
    ensure_vector_index(database, author.id, model, settings=settings)
    return author


def chunk_id(author: Author, number: int) -> UUID:
    return uuid5(author.id, f"chunk {number}")


def indexed(author: Author, number: int, body: str) -> chunks.Indexed:
    document = uuid5(author.id, f"document {number}")
    return chunks.Indexed(
        chunk=Chunk(
            id=chunk_id(author, number),
            document_id=document,
            revision_id=uuid5(document, "revision"),
            author_id=author.id,
            category=Category.ARTICLE,
            ordinal=0,
            text=body or "-",
            context="",
            start=0,
            end=len(body) or 1,
            tokens=len(body.split()),
            embed_hash=identity.sha256(f"{number}"),
        ),
        search_config=search_config("en", Category.ARTICLE),
        indexed=indexed_text("", body, Category.ARTICLE),
    )


def write_documents(conn: object, author: Author, made: Sequence[chunks.Indexed]) -> None:
    """What the chunks refer to: a source, documents, and cleaned documents without a title."""
    source = identity.source_id(author.id, "folder", "npl")
    conn.execute(  # type: ignore[attr-defined]
        text("""INSERT INTO warehouse.sources (id, author_id, platform, locator, consent_claimed_by, consent_proof, consent_at)
                VALUES (:source, :author, 'folder', 'npl', 'benchmark', 'none', now()) ON CONFLICT DO NOTHING"""),
        {"source": source, "author": author.id},
    )
    stage(
        conn,  # type: ignore[arg-type]
        "given",
        {"document": "uuid", "revision": "uuid", "body": "text"},
        ((one.chunk.document_id, one.chunk.revision_id, one.chunk.text) for one in made),
    )
    for statement in (
        """INSERT INTO warehouse.documents (id, author_id, source_id, category, head_revision_id, content_hash)
           SELECT document, :author, :source, 'article', revision, document::text FROM given""",
        """INSERT INTO features.cleaned_documents (revision_id, author_id, document_id, source_id, category, title, text,
               text_hash, language, words, location, cluster_id, stage_version)
           SELECT revision, :author, document, :source, 'article', '', body, '', 'en', 1, document::text, document, '1'
           FROM given""",
        "DROP TABLE given",
    ):
        conn.execute(text(statement), {"author": author.id, "source": source})  # type: ignore[attr-defined]


# Quality


def quality(settings: Settings, npl: Collection) -> None:
    """nDCG@10 and recall@100 of each leg and of their fusion, with paired bootstrap intervals of the differences."""
    database = Database(url_for(settings))
    author = load(database, settings, "npl", npl.texts, npl.vectors)
    number = {chunk_id(author, index): index for index in range(len(npl.texts))}
    runs: dict[str, list[list[int]]] = {"lexical (BM25)": [], "dense": [], "fusion": []}
    for question, vector in zip(npl.questions, npl.question_vectors, strict=True):
        with database.transaction() as conn:
            tune(conn)
            plan = Plan(corpus_of(conn, author.id), SearchFilters(), 100, None, settings)
            rankings = plan.rankings("dense", dense_leg(conn, author.id, [vector], plan)[0])
            rankings |= plan.rankings("lexical", lexical_leg(conn, author.id, [parse(question).text], plan)[0])
        runs["lexical (BM25)"].append([number[one.chunk_id] for one in rankings["lexical"]])
        runs["dense"].append([number[one.chunk_id] for one in rankings["dense"]])
        runs["fusion"].append([number[found] for found in fused(rankings, 100)])
    database.close()
    print(f"\nQuality on NPL: {len(npl.texts):,} abstracts, {len(npl.questions)} questions")
    print(f"{'':24}{'nDCG@10':>9}{'R@100':>8}   fusion minus this, 95 % interval")
    per_query = {name: np.array([ndcg(run, rel) for run, rel in zip(rows, npl.relevant, strict=True)])
                 for name, rows in runs.items()}  # fmt: skip
    for name, rows in runs.items():
        recall = np.mean([len(set(run[:100]) & rel) / len(rel) for run, rel in zip(rows, npl.relevant, strict=True)])
        low, high = interval(per_query["fusion"] - per_query[name])
        beside = "" if name.startswith("fusion") else f"   {low:+.3f} to {high:+.3f}"
        print(f"{name:24}{per_query[name].mean():9.3f}{recall:8.3f}{beside}")
    reached = per_query["fusion"].mean()
    print(f"goal {GOAL_NDCG:.2f} for the fusion: {'reached' if reached >= GOAL_NDCG else 'NOT reached'}", flush=True)


def ndcg(run: Sequence[Hashable], relevant: AbstractSet[Hashable], depth: int = 10) -> float:
    """Normalised discounted cumulative gain with grades 0 and 1 and log2 discounts (Järvelin and Kekäläinen 2002)."""
    gain = sum(1 / np.log2(rank + 2) for rank, found in enumerate(run[:depth]) if found in relevant)
    return float(gain / sum(1 / np.log2(rank + 2) for rank in range(min(depth, len(relevant)))))


def interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of the mean of paired differences, by bootstrap over queries."""
    random = np.random.default_rng(0)
    means = random.choice(differences, size=(RESAMPLES, len(differences))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


# Speed


def speed(settings: Settings, npl: Collection, count: int, queries: int) -> None:
    """p50 and p95 of each leg and of the whole search, beside an exact scan in numpy."""
    texts, rows = grown(npl, count)
    database = Database(url_for(settings))
    started = time.perf_counter()
    author = load(database, settings, f"speed-{count}", texts, rows)
    built = time.perf_counter() - started
    with database.transaction() as conn:
        ensure_api_role(conn, role_password(settings, API_ROLE))
        postings = conn.execute(
            text("SELECT count(*) FROM features.postings WHERE author_id = :author"), {"author": author.id}
        ).scalar_one()
        tune(conn)
        plan = Plan(corpus_of(conn, author.id), SearchFilters(), 10, None, settings)
    api = Database(url_for(settings, role=API_ROLE))
    asked = list(zip(npl.questions, npl.question_vectors, strict=True))[:queries]

    def in_transaction(leg: Callable[..., object]) -> Callable[[str, Vectors], float]:
        def timed(question: str, vector: Vectors) -> float:
            with database.transaction() as conn:
                tune(conn)
                start = time.perf_counter()
                leg(conn, question, vector)
                return time.perf_counter() - start

        return timed

    def whole(where: Database, *, as_author: bool) -> Callable[[str, Vectors], float]:
        def timed(question: str, vector: Vectors) -> float:
            start = time.perf_counter()
            search(where, author.id, question, settings=settings, vector=vector, as_author=as_author)
            return time.perf_counter() - start

        return timed

    def numpy_scan(_: str, vector: Vectors) -> float:
        start = time.perf_counter()
        scores = rows @ vector
        best = np.argpartition(-scores, 100)[:100]
        best[np.argsort(-scores[best])]
        return time.perf_counter() - start

    measured: Mapping[str, Callable[[str, Vectors], float]] = {
        "lexical leg": in_transaction(
            lambda conn, question, _: lexical_leg(conn, author.id, [parse(question).text], plan)
        ),
        "dense leg": in_transaction(lambda conn, _, vector: dense_leg(conn, author.id, [vector], plan)),
        "whole search": whole(database, as_author=False),
        "whole search, API login": whole(api, as_author=True),
        "exact scan in numpy": numpy_scan,
    }
    dense = "HNSW" if count >= settings.search_exact_below else "exact"
    print(f"\nSpeed at {count:,} chunks, {postings:,} postings, dense leg {dense}; loaded and indexed in {built:.0f} s")
    print(f"{'milliseconds':26}{'p50':>8}{'p95':>8}")
    for name, timed in measured.items():
        for question, vector in asked:
            timed(question, vector)
        times = np.array([timed(question, vector) for question, vector in asked]) * 1000
        print(f"{name:26}{np.quantile(times, 0.5):8.1f}{np.quantile(times, 0.95):8.1f}", flush=True)
    print(f"goal at 100k: p95 of the whole search at most {GOAL_P95_MS:.0f} ms, the query's embedding not counted")
    recall = overlap(database, author, asked, rows, plan)
    print(f"the dense leg finds {recall:.1%} of the exact 100 nearest", flush=True)
    api.close()
    database.close()


def overlap(
    database: Database, author: Author, asked: Sequence[tuple[str, Vectors]], rows: Vectors, plan: Plan
) -> float:
    """Share of the true 100 nearest that the dense leg returns."""
    number = {chunk_id(author, index): index for index in range(len(rows))}
    shares = []
    for _, vector in asked:
        with database.transaction() as conn:
            tune(conn)
            found = {number[one.chunk_id] for one in dense_leg(conn, author.id, [vector], plan)[0]}
        true = np.argpartition(-(rows @ vector), 100)[:100]
        shares.append(len(found & set(true.tolist())) / 100)
    return float(np.mean(shares))


def grown(npl: Collection, count: int) -> tuple[list[str], Vectors]:
    """So many texts and vectors made from the collection: its own first, then copies that differ from their original.

    A copy is the abstract with words of its own, drawn with the frequencies of the collection and a long tail of
    made-up rare words (Zipf), so that document frequencies are as uneven as in real text.
    """
    random = np.random.default_rng(1)
    words, counts = np.unique(np.array(" ".join(npl.texts).split()), return_counts=True)
    rare = np.array([f"w{number}x" for number in range(40_000)])
    weights = np.concatenate([counts.astype(float), counts.sum() * 0.05 / (np.arange(len(rare)) + 10) / np.log(4000)])
    vocabulary, share = np.concatenate([words, rare]), np.cumsum(weights / weights.sum())
    originals = np.arange(count) % len(npl.texts)
    drawn = vocabulary[np.searchsorted(share, random.random((count, WORDS_OF_ITS_OWN))).clip(max=len(share) - 1)]
    texts = [f"{npl.texts[original]} {' '.join(own)}" for original, own in zip(originals, drawn, strict=True)]
    noise = random.normal(scale=JITTER, size=(count, npl.vectors.shape[1])).astype(np.float32)
    rows = npl.vectors[originals] + noise
    return texts, rows / np.linalg.norm(rows, axis=1, keepdims=True)


if __name__ == "__main__":
    try:
        main()
    except psycopg.Error as error:
        sys.exit(f"Postgres: {error}")
