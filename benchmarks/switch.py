"""Does anybody notice when another adapter comes to serve, and when it is gone back from? (docs/approve.md)

    python benchmarks/switch.py [--engine transformers|vllm|tgi] [--callers 4] [--steady 6] [--json]

A steady stream of requests to `/v1/chat/completions` of a running API, while one adapter is approved after another and then rolled back.
`transformers` is the real local engine: two adapters trained on the spot on a tiny base, merged, each in a `transformers serve` of its own
that the champion's fleet starts. `vllm` and `tgi` are the contract server of the tests. Printed: how many requests failed (anything but a whole answer
counts), and how long after the rollback was asked for the last request began that the adapter still answered which was gone back from. Ends
with 1 when a request failed or that took 2 s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.champion.lora_server import LoraServer  # noqa: E402
from tests.champion.scenario import Bench  # noqa: E402
from tests.conftest import free_port  # noqa: E402
from tests.training.scenario import quick  # noqa: E402
from twin_core.champion import fleet  # noqa: E402
from twin_core.champion.promoting import carry_out  # noqa: E402
from twin_core.models.stand_in import make_llama  # noqa: E402
from twin_core.models.tiny_base import reference_texts  # noqa: E402
from twin_core.runtime import embedded  # noqa: E402
from twin_core.runtime.services import child_environment  # noqa: E402
from twin_core.runtime.stores import stores  # noqa: E402
from twin_core.settings import Settings  # noqa: E402
from twin_core.store import keys  # noqa: E402
from twin_core.store.adapters import Adapter  # noqa: E402
from twin_core.training import launch  # noqa: E402

ENGINES = ("transformers", "vllm", "tgi")
IN_EFFECT_SECONDS = 2.0
WAIT_SECONDS = 300
QUESTIONS = ("What about note 3?", "And the tide on the day of note 7?", "Which note is about the lamp?")


@dataclass(slots=True)
class Request:
    began: float
    seconds: float
    status: int
    outcome: str
    trace: str | None

    @property
    def failed(self) -> bool:
        """Anything but a whole answer."""
        return self.status != httpx2.codes.OK or self.outcome != "answered"


@dataclass
class Callers:
    """Threads that ask one question after another until they are ended."""

    url: str
    keys: list[str]
    ending: threading.Event = field(default_factory=threading.Event)
    asked: list[Request] = field(default_factory=list)

    def start(self) -> None:
        self.threads = [threading.Thread(target=self._ask, args=one) for one in enumerate(self.keys)]
        for thread in self.threads:
            thread.start()

    def go_on(self, seconds: float) -> None:
        """Let them ask for so long, and until each has had answers to questions that began now."""
        began, before = time.time(), len(self.asked)
        time.sleep(seconds)
        wait_for(lambda: sum(one.began > began for one in self.asked[before:]) >= 2 * len(self.keys))

    def stop(self) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def _ask(self, number: int, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx2.Client(base_url=self.url, headers=headers, timeout=120, trust_env=False) as client:
            while not self.ending.is_set():
                question = QUESTIONS[(number + len(self.asked)) % len(QUESTIONS)]
                body = {"model": "ann", "messages": [{"role": "user", "content": question}], "max_tokens": 6}
                began = time.time()
                try:
                    response = client.post("/v1/chat/completions", json=body)
                    said = response.json() if response.status_code == httpx2.codes.OK else {}
                    one = (response.status_code, str(said.get("outcome", response.text[:200])), said.get("trace_id"))
                except httpx2.HTTPError as error:
                    one = (0, type(error).__name__, None)
                self.asked.append(Request(began, time.time() - began, *one))


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--engine", choices=ENGINES, action="append")
    arguments.add_argument("--callers", type=int, default=4)
    arguments.add_argument("--steady", type=float, default=6.0, help="Seconds before, between and after the switches.")
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args()
    found = [measured(engine, asked.callers, asked.steady) for engine in asked.engine or ENGINES]
    if asked.json:
        print(json.dumps(found))
    else:
        names = list(found[0])
        print(" | ".join(names))
        for one in found:
            print(" | ".join(f"{value:.2f}" if isinstance(value, float) else str(value) for value in one.values()))
    return int(any(one["failed"] or one["rollback in effect, s"] >= IN_EFFECT_SECONDS for one in found))


def measured(engine: str, callers: int, steady: float) -> dict[str, Any]:
    """One engine's row."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sw-", dir="/tmp")))
        settings = settings_for(engine, home, stack)
        opened = stack.enter_context(stores(settings))
        stack.callback(embedded.stop, settings)
        bench = Bench(opened.database, settings)
        first, second = adapters(bench, engine)
        with opened.database.transaction() as conn:
            asking = [
                keys.create_key(conn, author_id=bench.author.id, name=f"caller {number}", scopes=["read"]).secret
                for number in range(callers)
            ]
            deciding = keys.create_key(conn, author_id=bench.author.id, name="decides", scopes=["read", "admin"])
        if engine == "transformers":
            stack.enter_context(running([sys.executable, "-m", "twin_core.champion.fleet"], settings, "fleet"))
            wait_for(lambda: fleet.runs(settings))
        promote(bench, first, None)
        api = [
            sys.executable,
            "-m",
            "uvicorn",
            "twin_api.app:create_app",
            "--factory",
            "--port",
            str(settings.api_port),
        ]
        stack.enter_context(running([*api, "--log-level", "warning"], settings, "api"))
        url = f"http://127.0.0.1:{settings.api_port}"
        wait_for(lambda: answers(f"{url}/healthz"))
        stream = Callers(url, asking)
        stream.start()
        try:
            stream.go_on(steady)
            began = time.time()
            promote(bench, second, first)
            switched = time.time()
            stream.go_on(steady)
            back = time.time()
            said = httpx2.post(
                f"{url}/v1/adapters/rollback",
                headers={"Authorization": f"Bearer {deciding.secret}"},
                timeout=60,
                trust_env=False,
            )
            called = time.time()
            assert said.json()["served_name"] == "ann-v1", said.text
            stream.go_on(steady)
        finally:
            stream.stop()
        with opened.database.transaction() as conn:
            rows = conn.exec_driver_sql("SELECT id::text, model, error FROM serving.traces").all()
        models = {str(trace): str(model) for trace, model, _ in rows}
        errors = {str(trace): str(error) for trace, _, error in rows}
        for one in stream.asked:
            if one.failed:
                why = errors.get(str(one.trace), "no trace")
                print(
                    f"{engine}: {one.began - began:+.1f} s after the approval, {one.began - back:+.1f} s after the rollback, for "
                    f"{one.seconds:.1f} s: {one.status} {one.outcome}: {why}",
                    file=sys.stderr,
                )
        return row(engine, stream.asked, models, began=began, switched=switched, back=back, called=called)


def row(
    engine: str,
    asked: list[Request],
    models: dict[str, str],
    *,
    began: float,
    switched: float,
    back: float,
    called: float,
) -> dict[str, Any]:
    failed = [one for one in asked if one.failed]
    by = {name: [one for one in asked if models.get(str(one.trace)) == name] for name in ("ann-v1", "ann-v2")}
    assert by["ann-v1"], "the first adapter answered nothing"
    assert by["ann-v2"], "the second adapter answered nothing"
    bringing = [one.seconds for one in asked if began <= one.began < switched]
    steadily = [one.seconds for one in asked if one.began < began]
    return {
        "engine": engine,
        "requests": len(asked),
        "failed": len(failed),
        "by v1": len(by["ann-v1"]),
        "by v2": len(by["ann-v2"]),
        "approve, s": switched - began,
        "median before, s": statistics.median(steadily),
        "median while it came up, s": statistics.median(bringing) if bringing else float("nan"),
        "rollback call, s": called - back,
        "rollback in effect, s": max(0.0, max(one.began for one in by["ann-v2"]) - back),
    }


def settings_for(engine: str, home: Path, stack: ExitStack) -> Settings:
    """The engine's settings, with its server running where it is none of ours."""
    for name in [name for name in os.environ if name.startswith("TWIN_")]:
        del os.environ[name]
    given: dict[str, Any] = {
        "home": home,
        "postgres_port": free_port(),
        "api_port": free_port(),
        "llm_port": free_port(),
        "llm_connect_seconds": 20,
        "llm_first_token_seconds": 120,
        "mlflow_url": "off",
        "_env_file": None,
    }
    if engine == "transformers":
        base = home / "base"
        make_llama(reference_texts()[:25], base, card="{texts} {parameters}", seconds=None, steps=8)
        # Barely trained, it would now and then end before its first word, which the switch is not to blame for.
        said = json.loads((base / "generation_config.json").read_text())
        (base / "generation_config.json").write_text(json.dumps({**said, "min_new_tokens": 2}))
        return Settings(**given, base_model=str(base))
    server = LoraServer()
    server.start()
    stack.callback(server.stop)
    folder = home / "lora"
    folder.mkdir()
    given |= {"llm_url": server.url, "llm_engine": engine, "llm_model": "base", "llm_adapters": folder}
    if engine == "tgi":
        server.env = folder / "live.env"
        restart = (
            f"import shutil, time; time.sleep(2); shutil.copy({str(folder / 'adapters.env')!r}, {str(server.env)!r})"
        )
        given["llm_restart"] = [sys.executable, "-c", restart]
    return Settings(**given)


def adapters(bench: Bench, engine: str) -> tuple[Adapter, Adapter]:
    """Two adapters: trained for the local engine, two words for the contract server."""
    if engine != "transformers":
        return bench.adapter("one"), bench.adapter("two")
    return trained(bench, 1), trained(bench, 2)


def trained(bench: Bench, seed: int) -> Adapter:
    config = quick(max_steps=2, seed=seed, base=bench.settings.base_model)
    return launch.run(
        bench.database,
        launch.open_job(bench.database, bench.author, "sft", config, settings=bench.settings),
        settings=bench.settings,
    )


def promote(bench: Bench, adapter: Adapter, champion: Adapter | None) -> None:
    """Approve by figures that are written by hand: what is measured here is the switch."""
    bench.evaluate(adapter, champion=champion)
    done = carry_out(bench.database, bench.author, bench.approve(adapter), settings=bench.settings)
    assert done.state == "done", done.problem


@contextmanager
def running(command: list[str], settings: Settings, name: str) -> Iterator[None]:
    with (settings.home / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=child_environment(settings))
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2, trust_env=False).status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False


def wait_for(there: Any) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not there():
        assert time.monotonic() < deadline, "a service did not come up"
        time.sleep(0.2)


if __name__ == "__main__":
    raise SystemExit(main())
