"""What the API adds to the language model's own time, how many searches it answers, and what it holds in memory.

    python benchmarks/serve.py [--chunks 11429] [--vectors FOLDER] [--questions 60] [--seconds 8] [--callers 1 8 32]

Beside it, in the same run and over the same database, the same two routes written plainly (`serve_plain.py`): FastAPI, one query embedded
at a time in float32 by sentence-transformers, dense search alone, no keys, no row-level security, no traces. The engine is a server on
loopback that writes its first token after 30 ms and then one every 5 ms, so that everything beyond is the route's own.
The texts are those of the NPL collection where it lies beside the checkout, else made of demo/articles. Callers, both
routes, the engine and Postgres share this machine: ratios mean more than figures.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))


from benchmarks.retrieval import NPL, Collection, free_port, grown, load, read_npl, scratch
from twin_core.models.embedder import embedder
from twin_core.records import Author
from twin_core.runtime.urls import role_password, url_for
from twin_core.settings import Settings
from twin_core.store import keys
from twin_core.store.database import Database
from twin_core.store.people import API_ROLE, ensure_api_role

QUANTILES = (50, 95, 99)
WARM = 5
STREAM = {"stream": True, "max_tokens": 64}


@dataclass(frozen=True)
class Route:
    """One server under test, and how it is asked."""

    name: str
    url: str
    headers: dict[str, str]
    pid: int


def main() -> None:
    options = arguments()
    if options.serve:
        return serve(options.serve, options.port, options.author)
    console = Console(width=110)
    with scratch() as settings, ExitStack() as stack:
        questions, author, key = prepare(settings, options)
        engine = stack.enter_context(server("engine", settings, author))
        at = settings.model_copy(update={"llm_url": engine.url})
        routes = [
            stack.enter_context(server("ours", at, author, {"Authorization": f"Bearer {key}"})),
            stack.enter_context(server("plain", at, author)),
        ]
        asked = list(itertools.islice(itertools.cycle(questions), options.questions))
        console.print(f"{options.chunks:,} chunks, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        console.print(added(engine, routes, author, asked))
        console.print(searches(routes, asked, options.callers, options.seconds))
        console.print(memory(routes))
    return None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=11_429)
    parser.add_argument("--questions", type=int, default=60, help="answers asked for, one after the other")
    parser.add_argument("--seconds", type=float, default=8, help="of searching, per number of callers")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--npl", type=Path, default=NPL, help="folder of the NPL collection in TREC format")
    parser.add_argument("--vectors", type=Path, help="folder to keep the embedded collection in between runs")
    parser.add_argument("--serve", choices=["engine", "ours", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--author", help=argparse.SUPPRESS)
    return parser.parse_args()


# The measurements


def added(engine: Route, routes: Sequence[Route], author: Author, asked: Sequence[str]) -> Table:
    """First token and whole answer, one caller: what each route adds to the engine's own, quantile by quantile."""
    took = {route.name: asyncio.run(answers(route, author, asked)) for route in (engine, *routes)}
    table = Table(title="Milliseconds, one caller; in brackets what is added to the engine's own")
    for column in ("route", *(f"{what} p{q}" for what in ("first token", "whole") for q in QUANTILES)):
        table.add_column(column, justify="left" if column == "route" else "right")
    base = np.percentile(took[engine.name], QUANTILES, axis=0) * 1000
    for name, rows in took.items():
        found = np.percentile(rows, QUANTILES, axis=0) * 1000
        cells = [
            f"{found[q, part]:.0f}" + ("" if name == engine.name else f" (+{found[q, part] - base[q, part]:.0f})")
            for part in (0, 1)
            for q in range(len(QUANTILES))
        ]
        table.add_row(name, *cells)
    return table


async def answers(route: Route, author: Author, asked: Sequence[str]) -> list[tuple[float, float]]:
    """Seconds to the first token with a word in it and to the end, per question."""
    took = []
    async with httpx2.AsyncClient(base_url=route.url, headers=route.headers, timeout=60, trust_env=False) as client:
        for number, question in enumerate([*asked[:WARM], *asked]):
            messages = [{"role": "user", "content": question}]
            began, first = time.perf_counter(), 0.0
            body = {"model": author.slug, "messages": messages, **STREAM}
            async with client.stream("POST", "/v1/chat/completions", json=body) as response:
                response.raise_for_status()
                async for line in response.aiter_lines():
                    if not first and '"content":"word' in line.replace(" ", ""):
                        first = time.perf_counter() - began
            if number >= WARM:
                took.append((first, time.perf_counter() - began))
    return took


def searches(routes: Sequence[Route], asked: Sequence[str], callers: Sequence[int], seconds: float) -> Table:
    """Searches a second and their p50 and p99, by how many ask at once."""
    table = Table(title="Searches, ten passages each")
    for column in ("callers", *(f"{route.name}: {what}" for route in routes for what in ("per s", "p50 ms", "p99 ms"))):
        table.add_column(column, justify="right")
    table.add_column("ratio per s", justify="right")
    for count in callers:
        cells, rates = [], []
        for route in routes:
            took = asyncio.run(searched(route, asked, count, seconds))
            rates.append(len(took) / seconds)
            p50, p99 = np.percentile(took, (50, 99)) * 1000
            cells += [f"{rates[-1]:.1f}", f"{p50:.0f}", f"{p99:.0f}"]
        table.add_row(str(count), *cells, f"{rates[0] / rates[1]:.2f}")
    return table


async def searched(route: Route, asked: Sequence[str], callers: int, seconds: float) -> list[float]:
    """Seconds of each search that so many callers got answered in the time, each asking again at once."""
    took: list[float] = []
    limits = httpx2.Limits(max_connections=callers)
    async with httpx2.AsyncClient(
        base_url=route.url, headers=route.headers, timeout=60, trust_env=False, limits=limits
    ) as client:

        async def ask(question: str) -> float:
            began = time.perf_counter()
            response = await client.post("/v1/search", json={"query": question, "k": 10})
            response.raise_for_status()
            return time.perf_counter() - began

        async def caller(number: int) -> None:
            for question in itertools.cycle([*asked[number:], *asked[:number]]):
                seconds_of_one = await ask(question)
                if time.perf_counter() > end:
                    return
                took.append(seconds_of_one)

        await asyncio.gather(*(ask(question) for question in asked[:WARM]))
        end = time.perf_counter() + seconds
        await asyncio.gather(*(caller(number % len(asked)) for number in range(callers)))
    return took


def memory(routes: Sequence[Route]) -> Table:
    """Resident memory of each server after all of it."""
    table = Table(title="Resident memory")
    table.add_column("route")
    table.add_column("MB", justify="right")
    for route in routes:
        table.add_row(route.name, f"{psutil.Process(route.pid).memory_info().rss / 1e6:.0f}")
    return table


# What is measured


def prepare(settings: Settings, options: argparse.Namespace) -> tuple[list[str], Author, str]:
    """An author with so many chunks, the questions to ask, and a key."""
    there = (options.npl / "doc-text.trec").is_file()
    collection = read_npl(options.npl, settings, options.vectors) if there else made_of_the_demo(settings)
    texts, rows = grown(collection, options.chunks)
    database = Database(url_for(settings))
    author = load(database, settings, "speed", texts, rows, model=embedder(settings).model_id)
    with database.transaction() as conn:
        ensure_api_role(conn, role_password(settings, API_ROLE))
        key = keys.create_key(conn, author_id=author.id, name="benchmark", scopes=["read"]).secret
    database.close()
    return collection.questions, author, key


def made_of_the_demo(settings: Settings) -> Collection:
    """Paragraphs of the demo author's articles, and their titles as questions."""
    files = sorted((Path(__file__).parents[1] / "demo" / "articles").glob("*.md"))
    texts = [part for file in files for part in file.read_text().split("\n\n") if len(part) > 80]
    questions = [file.stem.replace("-", " ") for file in files]
    model = embedder(settings)
    return Collection(
        texts=texts,
        vectors=model.encode(texts),
        questions=questions,
        question_vectors=model.encode_query(questions),
        relevant=[set() for _ in questions],
    )


@contextmanager
def server(what: str, settings: Settings, author: Author, headers: dict[str, str] | None = None) -> Iterator[Route]:
    """One of the three in a process of its own, until the block ends."""
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "TWIN_HOME": str(settings.home),
        "TWIN_POSTGRES_PORT": str(settings.postgres_port),
        "TWIN_LLM_URL": settings.llm_url or "http://127.0.0.1:1",
        "TWIN_LLM_ENGINE": "openai",
        "TWIN_LLM_MODEL": "word",
    }
    command = [sys.executable, __file__, "--serve", what, "--port", str(port), "--author", str(author.id)]
    process = subprocess.Popen(command, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, process)
        yield Route(what, url, headers or {}, process.pid)
    finally:
        process.terminate()
        process.wait(20)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"A server ended before it answered: exit {process.returncode}.")
        try:
            httpx2.get(f"{url}/healthz", trust_env=False).raise_for_status()
        except httpx2.HTTPError:
            time.sleep(0.2)
        else:
            return
    sys.exit(f"{url} did not answer within two minutes.")


# The servers


def serve(what: str, port: int, author: str) -> None:
    import uvicorn

    from benchmarks.serve_plain import engine_app, plain_app

    app = {"engine": engine_app, "ours": our_app, "plain": lambda: plain_app(author)}[what]()
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def our_app() -> object:
    """The product, with limits that no benchmark reaches."""
    from twin_api.app import create_app
    from twin_api.limits import Limits

    return create_app(limits=Limits(requests_per_minute=10_000_000, streams=64, streams_per_key=64))


if __name__ == "__main__":
    main()
