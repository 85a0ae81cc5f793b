"""From an approval to what serves and back again: what the rule refuses, what a broken server leaves alone."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.champion.lora_server import LoraServer
from tests.champion.scenario import ABOVE, BELOW, LEVEL, Bench
from twin_core.champion.judging import judge
from twin_core.champion.promoting import carry_out
from twin_core.errors import InvalidInput, NotFound, Refused, ServiceUnavailable
from twin_core.promotion import Verdict
from twin_core.settings import Settings
from twin_core.store import adapters, registry
from twin_core.store.adapters import Adapter
from twin_core.writing.answer import answer


def promote(bench: Bench, adapter: Adapter, reason: str | None = None) -> registry.Approval:
    return carry_out(bench.database, bench.author, bench.approve(adapter, reason), settings=bench.settings)


def judged(bench: Bench, adapter: Adapter) -> tuple[Verdict, str]:
    with bench.database.transaction() as conn:
        found = judge(conn, bench.author.id, adapters.adapter_by_id(conn, bench.author.id, adapter.id))
    return found.verdict, " ".join(found.reasons)


def go_back(bench: Bench) -> registry.Deployment | None:
    with bench.database.transaction() as conn:
        return registry.go_back(conn, bench.author.id, "test")


def test_an_approved_adapter_serves_and_the_one_before_stays_loaded(bench: Bench, engine: LoraServer) -> None:
    first, second = bench.adapter("one"), bench.adapter("two")
    bench.evaluate(first)
    done = promote(bench, first)
    assert (done.state, bench.serving()) == ("done", "ann-v1")
    assert done.decision is not None
    assert done.decision["verdict"] == "better"
    bench.evaluate(second, champion=first)
    promote(bench, second)
    assert bench.serving() == "ann-v2"
    assert set(engine.loaded) == {"ann-v1", "ann-v2"}
    assert engine.asked == ["ann-v1", "ann-v1", "ann-v2", "ann-v2"], "smoke prompts go to the new one"


def test_answers_come_from_the_deployed_adapter_at_once_and_after_going_back_from_the_one_before(
    bench: Bench, engine: LoraServer
) -> None:
    def answered_by() -> str:
        return answer(bench.database, bench.author, "note", settings=bench.settings).text.split()[0]

    assert answered_by() == "base"
    first, second = bench.adapter("one"), bench.adapter("two")
    bench.evaluate(first)
    promote(bench, first)
    assert answered_by() == "ann-v1"
    bench.evaluate(second, champion=first)
    promote(bench, second)
    assert answered_by() == "ann-v2"
    began = time.perf_counter()
    go_back(bench)
    assert answered_by() == "ann-v1"
    assert time.perf_counter() - began < 2


def test_going_back_from_the_first_is_going_back_to_the_base(bench: Bench) -> None:
    with pytest.raises(NotFound, match="base model answers already"):
        go_back(bench)
    first = bench.adapter("one")
    bench.evaluate(first)
    promote(bench, first)
    assert go_back(bench) is None
    assert bench.serving() is None


def test_no_request_fails_while_adapters_are_switched_and_taken_back(bench: Bench) -> None:
    first, second = bench.adapter("one"), bench.adapter("two")
    bench.evaluate(first)
    promote(bench, first)
    ending, said, wrong = threading.Event(), set(), []

    def ask() -> None:
        while not ending.is_set():
            found = answer(bench.database, bench.author, "note", settings=bench.settings)
            said.add(found.text.split()[0])
            if found.outcome != "answered":
                wrong.append(found.error)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    until = time.monotonic() + 30  # the first answer of a process takes seconds
    while "ann-v1" not in said and time.monotonic() < until:
        time.sleep(0.1)
    bench.evaluate(second, champion=first)
    promote(bench, second)
    until = time.monotonic() + 30
    while "ann-v2" not in said and time.monotonic() < until:
        time.sleep(0.1)
    go_back(bench)
    time.sleep(0.5)
    ending.set()
    for thread in asking:
        thread.join(30)
    assert wrong == []
    assert said == {"ann-v1", "ann-v2"}


def test_two_who_carry_out_one_approval_bring_the_adapter_up_once(bench: Bench, engine: LoraServer) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    asked = bench.approve(adapter)
    with ThreadPoolExecutor() as both:  # `twin approve`, and Dagster's sensor meanwhile
        done = both.map(
            lambda _: carry_out(bench.database, bench.author, asked, settings=bench.settings).state, range(2)
        )
    assert list(done) == ["done", "done"]
    with bench.database.transaction() as conn:
        assert [one.state for one in registry.deployments(conn, bench.author.id)] == ["serving"]
    assert engine.asked == ["ann-v1", "ann-v1"], "two smoke prompts, once"


def test_an_adapter_that_answers_with_nothing_never_serves_and_the_approval_stays_open(
    bench: Bench, engine: LoraServer
) -> None:
    first, second = bench.adapter("one"), bench.adapter("two")
    bench.evaluate(first)
    promote(bench, first)
    engine.mute.add("ann-v2")
    bench.evaluate(second, champion=first)
    with pytest.raises(ServiceUnavailable, match="answered .* with nothing"):
        promote(bench, second)
    assert bench.serving() == "ann-v1"
    with bench.database.transaction() as conn:
        (open_one,) = registry.open_decisions(conn, bench.author.id)
        states = {one.served_name: one.state for one in registry.deployments(conn, bench.author.id)}
    assert (open_one.attempts, "with nothing" in (open_one.problem or "")) == (1, True)
    assert states == {"ann-v1": "serving", "ann-v2": "failed"}
    engine.mute.clear()
    assert carry_out(bench.database, bench.author, open_one.id, settings=bench.settings).state == "done"
    assert bench.serving() == "ann-v2"


def test_what_the_rule_refuses_is_refused_with_its_reasons_and_nothing_is_loaded(
    bench: Bench, engine: LoraServer
) -> None:
    adapter = bench.adapter("one")
    refused = promote(bench, adapter)
    assert (refused.state, "never evaluated" in (refused.problem or "")) == ("refused", True)
    bench.evaluate(adapter, safety=BELOW)
    assert "guardrail of safety" in (promote(bench, adapter).problem or "")
    bench.evaluate(adapter, against={"base": {"style": ABOVE, "fit": ABOVE}})
    assert "no figures against the other author" in (promote(bench, adapter).problem or "")
    bench.evaluate(adapter, style=LEVEL)
    assert "not above 0" in (promote(bench, adapter).problem or "")
    assert engine.loaded == {}


def test_figures_from_when_content_was_measured_otherwise_do_not_count(bench: Bench) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter, figures={"style": -1.0, "chrf": 0.2})
    verdict, why = judged(bench, adapter)
    assert (verdict, "no figures against the base on content. Evaluate again." in why) == (Verdict.REFUSED, True)


def test_too_little_evidence_needs_a_reason(bench: Bench) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter, documents=12)
    refused = promote(bench, adapter)
    assert (refused.state, "--reason" in (refused.problem or "")) == ("refused", True)
    assert promote(bench, adapter, "I read all twelve").state == "done"


def test_what_saw_a_forgotten_document_is_neither_promoted_nor_gone_back_to(bench: Bench) -> None:
    first, second = bench.adapter("one"), bench.adapter("two")
    bench.evaluate(first)
    promote(bench, first)
    bench.evaluate(second, champion=first)
    promote(bench, second)
    with bench.database.transaction() as conn:  # a version of its own, which nobody forgets anything of
        conn.exec_driver_sql(
            "INSERT INTO training.dataset_versions (id, author_id, kind, input_hash, examples, manifest) "
            "SELECT 'clean', author_id, kind, 'clean', examples, manifest FROM training.dataset_versions"
        )
        conn.exec_driver_sql("UPDATE training.adapters SET version_id = 'clean' WHERE id = %s", (second.id,))
        conn.exec_driver_sql("UPDATE training.dataset_versions SET tainted_at = now() WHERE id <> 'clean'")
    with pytest.raises(Refused, match="forgotten"):
        go_back(bench)
    assert bench.serving() == "ann-v2"
    third = bench.adapter("three")
    bench.evaluate(third, champion=second)
    assert judged(bench, third)[0] is Verdict.REFUSED
    assert "forgotten on" in judged(bench, third)[1]


def test_from_what_saw_a_forgotten_document_there_is_a_way_back_to_the_base(bench: Bench) -> None:
    first, second = bench.adapter("one"), bench.adapter("two")
    bench.evaluate(first)
    promote(bench, first)
    bench.evaluate(second, champion=first)
    promote(bench, second)
    bench.taint()
    assert go_back(bench) is None
    assert bench.serving() is None


def test_evidence_against_an_earlier_champion_or_on_another_split_counts_for_nothing(bench: Bench) -> None:
    first, second, third = (bench.adapter(word) for word in ("one", "two", "three"))
    bench.evaluate(first)
    promote(bench, first)
    bench.evaluate(third, champion=first)
    bench.evaluate(second, champion=first, split="summer")
    assert "another test split (spring)" in judged(bench, third)[1]
    promote(bench, second)
    assert "no figures against the champion" in judged(bench, third)[1]
    assert "older than the champion" in judged(bench, first)[1]
    assert "the champion already" in judged(bench, second)[1]


def test_a_rejection_is_kept_and_outweighs_an_approval_that_was_not_carried_out(bench: Bench) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    asked = bench.approve(adapter)
    assert bench.approve(adapter) == asked, "asking again is asking once"
    bench.decide(adapter, "reject", "It sounds like a brochure.")
    done = carry_out(bench.database, bench.author, asked, settings=bench.settings)
    assert (done.state, "brochure" in (done.problem or "")) == ("refused", True)
    assert bench.serving() is None


def test_tgi_gets_its_folder_and_a_restart_that_keeps_what_serves(
    bench: Bench, engine: LoraServer, tmp_path: Path
) -> None:
    folder = tmp_path / "adapters"
    folder.mkdir()
    engine.env = folder / "live.env"
    restart = [
        sys.executable,
        "-c",
        f"import shutil; shutil.copy({str(folder / 'adapters.env')!r}, {str(engine.env)!r})",
    ]
    changed = {"llm_engine": "tgi", "llm_restart": restart, "llm_adapters_there": "/data/adapters/"}
    bench.settings = bench.settings.model_copy(update=changed)
    first, second = bench.adapter("one"), bench.adapter("two")
    bench.evaluate(first)
    promote(bench, first)
    bench.evaluate(second, champion=first)
    promote(bench, second)
    assert engine.env.read_text() == "LORA_ADAPTERS=ann-v2=/data/adapters/ann-v2,ann-v1=/data/adapters/ann-v1\n"
    assert (folder / "ann-v2" / "adapter_config.json").read_text() == "two"
    bench.settings = bench.settings.model_copy(update={"llm_restart": ["false"]})
    third = bench.adapter("three")
    bench.evaluate(third, champion=second)
    with pytest.raises(ServiceUnavailable, match="TWIN_LLM_RESTART ended with 1"):
        promote(bench, third)
    assert bench.serving() == "ann-v2"


def test_a_server_that_takes_no_adapters_is_said_to(bench: Bench, settings: Settings) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    for changed, said in (
        ({"llm_engine": "openai"}, "takes no adapters"),
        ({"llm_adapters": None}, "TWIN_LLM_ADAPTERS"),
    ):
        with pytest.raises(InvalidInput, match=said):
            carry_out(
                bench.database, bench.author, bench.approve(adapter), settings=settings.model_copy(update=changed)
            )
