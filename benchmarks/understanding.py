"""What each step beyond the plain search is worth, in quality and in time: prints tables, checks nothing.

    python benchmarks/understanding.py                       # both collections
    python benchmarks/understanding.py --only til --keep FOLDER
    python benchmarks/understanding.py --reranker FOLDER     # a cross-encoder that is on this machine

Two collections, neither part of this project, both skipped where they are absent: the notes of ../shared/corpora/simonw_til
with the questions of benchmarks/questions/simonw_til.jsonl (written by hand; the notes that answer each are named by
path), and the NPL abstracts of ../shared/ir/npl. Every folder of the notes is a source and the day of its first commit is
the day a note was written. Right answers are counted by note: the first passage of each counts.

Measured are the rules for dates, kinds and sources, pseudo-relevance feedback as an expansion without a language model,
and ranking anew where a cross-encoder can be loaded. What a language model reads or rewrites is not: none is at hand.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.retrieval import NPL, chunk_id, interval, load, ndcg, read_npl, scratch
from twin_core.collect.run import collect_source
from twin_core.features.chunk import chunk_author
from twin_core.features.clean import clean_author
from twin_core.features.embed import embed_author
from twin_core.models.embedder import embedder
from twin_core.records import Author, Consent, Passage, SearchFilters, Source
from twin_core.retrieval.legs import Plan, dense_leg, lexical_leg
from twin_core.retrieval.lexical import idf
from twin_core.retrieval.query import Query, parse
from twin_core.retrieval.rerank import rerank
from twin_core.retrieval.search import fused, search
from twin_core.retrieval.stated import stated
from twin_core.retrieval.understanding import Understanding, by_rule
from twin_core.runtime import postgres
from twin_core.runtime.stores import Stores, stores
from twin_core.runtime.urls import url_for
from twin_core.settings import Settings
from twin_core.store import authors, bm25
from twin_core.store.database import Database
from twin_core.store.search import Candidate, corpus_of, passages, tune
from twin_core.text.lexical import query_text

TIL = Path(__file__).parents[2] / "shared" / "corpora" / "simonw_til"
QUESTIONS = Path(__file__).parent / "questions" / "simonw_til.jsonl"
NOW = datetime(2026, 7, 20, tzinfo=UTC)
TODAY = NOW.date()
"""What the rules take for today: shortly after the last note."""
PASSAGES = 40
"""Of a search: enough for ten notes."""
FEEDBACK_PASSAGES, FEEDBACK_TERMS, FEEDBACK_SHARE = 10, 10, 0.5
"""RM3's customary settings: terms of the best ten, the ten most telling, as much weight as the question."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question with the notes that answer it."""

    question: str
    kind: str
    right: set[str]


def main() -> None:
    options = arguments()
    if options.only != "npl":
        if TIL.is_dir():
            with kept(options.keep) as (settings, opened):
                notes(settings, opened, options)
        else:
            print(f"Skipped: no notes at {TIL}.")
    if options.only != "til":
        if (NPL / "doc-text.trec").is_file():
            with scratch() as settings:
                abstracts(settings, options.keep)
        else:
            print(f"Skipped: no test collection at {NPL}.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["til", "npl"])
    parser.add_argument("--keep", type=Path, help="folder to keep the collections and their vectors in between runs")
    parser.add_argument("--reranker", help="cross-encoder to rank anew with: id or folder; default: not measured")
    parser.add_argument("--rounds", type=int, default=3, help="times that each question is asked for the latencies")
    return parser.parse_args()


# The notes


@contextmanager
def kept(folder: Path | None) -> Iterator[tuple[Settings, Stores]]:
    """The stores of a scratch Postgres, or of one that lies in the folder."""
    if folder is None:
        with scratch() as settings, stores(settings) as opened:
            yield settings, opened
        return
    settings = Settings(home=folder / "home", postgres_port=5499, _env_file=None)
    with stores(settings) as opened:
        yield settings, opened
    postgres.stop(settings)


def notes(settings: Settings, opened: Stores, options: argparse.Namespace) -> None:
    """Each step on the questions over the notes."""
    author, path_of = collected(settings, opened)
    asked = [
        Asked(question=row["question"], kind=row["kind"], right=set(row["paths"]))
        for row in map(json.loads, QUESTIONS.read_text(encoding="utf-8").splitlines())
    ]
    with opened.database.transaction() as conn:
        there = authors.list_sources(conn, author.id)
        count = corpus_of(conn, author.id).chunks
    searching = Searching(opened.database, author, settings, there)
    ways: dict[str, Callable[[str], list[Passage]]] = {
        "plain search": searching.plain,
        "rules as filters": searching.filtered,
        "rules, words kept": lambda question: searching.filtered(question, strip=False),
        "rules as preferences": searching.preferred,
        "feedback (RM3)": searching.with_feedback,
        "feedback (dense)": lambda question: searching.with_feedback(question, dense=True),
    }
    if options.reranker:
        chosen = settings.model_copy(update={"rerank_model": options.reranker, "rerank_seconds": 60.0})
        ways["ranked anew"] = lambda question: rerank(question, searching.plain(question), chosen).passages
    runs: dict[str, list[list[str]]] = {}
    seconds: dict[str, list[float]] = {}
    for name, way in ways.items():
        timed: list[list[float]] = []
        for _ in range(options.rounds + 1):  # the first one is warm-up
            timed.append([])
            runs[name] = []
            for one in asked:
                started = time.perf_counter()
                found = way(one.question)
                timed[-1].append(time.perf_counter() - started)
                runs[name].append(list(dict.fromkeys(path_of[passage.document_id] for passage in found)))
        seconds[name] = [min(times) for times in zip(*timed[1:], strict=True)]
    print(f"\nNotes: {len(set(path_of.values()))} in {count} passages, {len(asked)} questions; load {load_now()}")
    table(runs, [one.right for one in asked], seconds)
    for kind in dict.fromkeys(one.kind for one in asked):
        of_kind = [index for index, one in enumerate(asked) if one.kind == kind]
        print(f"\nof kind {kind}: {len(of_kind)}")
        some = {name: [rows[index] for index in of_kind] for name, rows in runs.items()}
        table(some, [asked[index].right for index in of_kind], None)


def collected(settings: Settings, opened: Stores) -> tuple[Author, dict[UUID, str]]:
    """The author of the notes, all of them searchable, and the path of each document."""
    with opened.database.transaction() as conn:
        author = authors.add_author(conn, slug="til", name="til")
        done = conn.execute(text("SELECT count(*) FROM features.embeddings")).scalar_one()
    if not done:
        consent = Consent(claimed_by="benchmark", proof="published under a licence that allows it", claimed_at=NOW)
        for folder in sorted(path for path in TIL.iterdir() if any(path.glob("*.md"))):
            with opened.database.transaction() as conn:
                source = authors.add_source(
                    conn, author_id=author.id, platform="folder", locator=str(folder), consent=consent
                )
            collect_source(opened.database, opened.warehouse, source, settings=settings)
        clean_author(opened.database, opened.warehouse, author, settings=settings)
        chunk_author(opened.database, author, settings=settings)
        embed_author(opened.database, author, settings=settings)
    with opened.database.transaction() as conn:
        rows = conn.execute(text("SELECT document_id, location FROM features.cleaned_documents")).all()
        path_of = {row.document_id: str(Path(row.location).relative_to(TIL)) for row in rows}
        with (TIL / "index.csv").open(encoding="utf-8") as index:
            days = {row["path"]: row["first_commit"] for row in csv.DictReader(index)}
        dated = [{"id": document, "at": days[path]} for document, path in path_of.items() if path in days]
        conn.execute(
            text("UPDATE features.cleaned_documents SET written_at = CAST(:at AS timestamptz) WHERE document_id = :id"),
            dated,
        )
    return author, path_of


@dataclass(frozen=True, slots=True)
class Searching:
    """The ways to search that are compared."""

    database: Database
    author: Author
    settings: Settings
    there: Sequence[Source]

    def plain(self, question: str, filters: SearchFilters | None = None, words: str | None = None) -> list[Passage]:
        """Without any step, or within filters, or for other words than the question's."""
        query = parse(question)
        query = Query(text=words or query.text, phrases=query.phrases)
        return search(self.database, self.author.id, query, settings=self.settings, filters=filters, limit=PASSAGES)

    def filtered(self, question: str, *, strip: bool = True) -> list[Passage]:
        """What the rules read as filters; everything where nothing passes them."""
        read = self.read(question)
        found = self.plain(question, read.filters, read.text if strip else None)
        return found or self.plain(question)

    def preferred(self, question: str) -> list[Passage]:
        """What the rules read as a preference: the search within it is fused with the search of everything."""
        read = self.read(question)
        everything = self.plain(question)
        if read.filters == SearchFilters():
            return self.plain(question, None, read.text)
        within = self.plain(question, read.filters, read.text)
        scores: dict[UUID, float] = {}
        by_id = {one.chunk_id: one for one in (*everything, *within)}
        for one in (*everything, *within):
            scores[one.chunk_id] = scores.get(one.chunk_id, 0.0) + one.score
        return [by_id[one] for one in sorted(scores, key=lambda one: -scores[one])][:PASSAGES]

    def with_feedback(self, question: str, *, dense: bool = False) -> list[Passage]:
        """A second search with what the best passages of the first have in common."""
        query = parse(question)
        vector = embedder(self.settings).encode_query([query.text])[0]
        with self.database.transaction() as conn:
            tune(conn)
            plan = Plan(corpus_of(conn, self.author.id), SearchFilters(), PASSAGES, None, self.settings)
            rankings = feedback(conn, self.author, query.text, vector, plan, dense=dense)
            return passages(conn, self.author.id, fused(rankings, PASSAGES))

    def read(self, question: str) -> Understanding:
        """What the rules read."""
        return by_rule(stated(parse(question).text, TODAY), self.there)


def feedback(
    conn: Connection, author: Author, words: str, vector: Vectors, plan: Plan, *, dense: bool
) -> dict[str, list[Candidate]]:
    """Both legs once more, one of them widened by the first ones' best: by terms (RM3), or by vectors (Rocchio)."""
    near, telling = dense_leg(conn, author.id, [vector], plan)[0], lexical_leg(conn, author.id, [words], plan)[0]
    rankings = plan.rankings("dense", near) | plan.rankings("lexical", telling)
    best = {found: score for found, (score, _) in fused(rankings, FEEDBACK_PASSAGES).items()}
    if not best:
        return rankings
    if dense:
        rows = conn.execute(
            text("SELECT embedding::text FROM features.embeddings WHERE author_id = :author AND chunk_id = ANY(:ids)"),
            {"author": author.id, "ids": list(best)},
        ).scalars()
        mean = np.mean([np.fromstring(row.strip("[]"), sep=",") for row in rows], axis=0)
        wider = (1 - FEEDBACK_SHARE) * vector + FEEDBACK_SHARE * mean / np.linalg.norm(mean)
        wider = (wider / np.linalg.norm(wider)).astype(np.float32)
        return rankings | plan.rankings("dense", dense_leg(conn, author.id, [wider], plan)[0])
    whole = sum(best.values())
    rows_ = conn.execute(
        text("""
            SELECT p.lexeme, sum(b.share * p.tf / p.len) AS share,
                   (SELECT count(*) FROM features.postings q WHERE q.author_id = :author AND q.lexeme = p.lexeme) AS n
            FROM unnest(CAST(:ids AS uuid[]), CAST(:shares AS float8[])) AS b(id, share)
            JOIN features.chunks c ON c.id = b.id AND c.author_id = :author
            JOIN features.postings p ON p.chunk_key = c.key AND p.author_id = :author
            GROUP BY p.lexeme
        """),
        {"author": author.id, "ids": list(best), "shares": [score / whole for score in best.values()]},
    ).all()
    chunks = plan.corpus.chunks
    worth = {row.lexeme: float(row.share) * idf(row.n, chunks) for row in rows_ if 1 < row.n < chunks / 10}
    chosen = sorted(worth, key=lambda lexeme: -worth[lexeme])[:FEEDBACK_TERMS]
    terms = bm25.terms(conn, author.id, [query_text(words)], plan.corpus.configs, count_to=None)[0]
    own = {term.lexeme: idf(term.frequency, chunks) for term in terms if not term.stop}
    scale = sum(own.values()) / (sum(worth[lexeme] for lexeme in chosen) or 1)
    weights = {lexeme: (1 - FEEDBACK_SHARE) * weight for lexeme, weight in own.items()}
    for lexeme in chosen:
        weights[lexeme] = weights.get(lexeme, 0) + FEEDBACK_SHARE * worth[lexeme] * scale
    found = bm25.ranked(
        conn,
        author.id,
        [weights],
        mean_length=plan.corpus.mean_length,
        filters=plan.filters,
        limit=plan.depth("lexical"),
    )[0]
    return rankings | plan.rankings("lexical", found)


# The abstracts


def abstracts(settings: Settings, keep: Path | None) -> None:
    """Feedback on NPL, whose questions name no dates, kinds or sources: the rules must change nothing there."""
    npl = read_npl(NPL, settings, keep)
    database = Database(url_for(settings))
    author = load(database, settings, "npl", npl.texts, npl.vectors)
    number = {chunk_id(author, index): str(index) for index in range(len(npl.texts))}
    runs: dict[str, list[list[str]]] = {"plain search": [], "feedback (RM3)": [], "feedback (dense)": []}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for question, vector in zip(npl.questions, npl.question_vectors, strict=True):
        for name, rows in runs.items():
            with database.transaction() as conn:
                tune(conn)
                plan = Plan(corpus_of(conn, author.id), SearchFilters(), 100, None, settings)
                started = time.perf_counter()
                if name == "plain search":
                    rankings = plan.rankings("dense", dense_leg(conn, author.id, [vector], plan)[0])
                    rankings |= plan.rankings("lexical", lexical_leg(conn, author.id, [question], plan)[0])
                else:
                    rankings = feedback(conn, author, question, vector, plan, dense="dense" in name)
                found = fused(rankings, 100)
                seconds[name].append(time.perf_counter() - started)
            rows.append([number[chunk] for chunk in found])
    database.close()
    read = sum(by_rule(stated(question, TODAY), []).filters != SearchFilters() for question in npl.questions)
    print(
        f"\nNPL: {len(npl.texts):,} abstracts, {len(npl.questions)} questions, rules read filters in {read}; load {load_now()}"
    )
    table(runs, [{str(index) for index in right} for right in npl.relevant], seconds)


# The figures


def table(
    runs: Mapping[str, Sequence[Sequence[str]]],
    right: Sequence[set[str]],
    seconds: Mapping[str, Sequence[float]] | None,
) -> None:
    """nDCG@10 with the paired interval of the difference to the first run, recall@10, MRR, and latencies."""
    print(f"{'':22}{'nDCG@10':>9}{'R@10':>7}{'MRR':>7}{'p50 ms':>8}{'p95 ms':>8}   minus the first, 95 % interval")
    first: NDArray[np.float64] | None = None
    for name, rows in runs.items():
        gains = np.array([ndcg(run, of) for run, of in zip(rows, right, strict=True)])
        recall = np.mean([len(set(run[:10]) & of) / min(len(of), 10) for run, of in zip(rows, right, strict=True)])
        mrr = np.mean([reciprocal(run, of) for run, of in zip(rows, right, strict=True)])
        times = f"{'':16}"
        if seconds is not None:
            taken = np.array(seconds[name]) * 1000
            times = f"{np.quantile(taken, 0.5):8.1f}{np.quantile(taken, 0.95):8.1f}"
        beside = ""
        if first is None:
            first = gains
        elif np.any(gains != first):
            low, high = interval(gains - first)
            beside = f"   {np.mean(gains - first):+.3f} ({low:+.3f} to {high:+.3f})"
        print(f"{name:22}{gains.mean():9.3f}{recall:7.3f}{mrr:7.3f}{times}{beside}", flush=True)


def reciprocal(run: Sequence[str], right: set[str]) -> float:
    """One divided by the rank of the first right one; 0 where there is none."""
    return next((1 / rank for rank, found in enumerate(run, start=1) if found in right), 0.0)


def load_now() -> str:
    """The machine's load over the last minute, beside its cores: latencies mean little where it is high."""
    return f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
