"""Traces, lineage and figures over HTTP: what an answer leaves behind, who may read it, and what it adds up to."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import polars as pl
import pytest
from sqlalchemy import text

from tests.api.conftest import Api
from tests.api.test_keys_and_limits import QUESTION, is_problem
from tests.models.chat_server import ChatServer
from twin_core.settings import Settings

ADAPTER = """
INSERT INTO training.dataset_versions (id, author_id, kind, input_hash, examples, manifest)
    VALUES ('v1', :author, 'instruct', 'h', 1, '{}');
INSERT INTO training.examples (id, author_id, document_id, revision_id, kind, category, origin, input_hash, prompt, answer, language, words, start_at, end_at)
    SELECT 'e' || id, author_id, id, head_revision_id, 'instruct', category, 'rule', 'h', '[]', 'x', 'en', 1, 0, 1
    FROM warehouse.documents WHERE author_id = :author;
INSERT INTO training.dataset_examples SELECT 'v1', id, author_id, 'train', row_number() OVER (ORDER BY id) - 1
    FROM training.examples WHERE author_id = :author;
INSERT INTO training.attempts (id, author_id, kind, job_hash, version_id, job, host, pid)
    VALUES (:author, :author, 'sft', 'h', 'v1', '{}', 'h', 1);
INSERT INTO training.adapters (id, author_id, version, kind, base_model, base_hash, version_id, attempt_id, file_key, config, metrics, code_revision)
    VALUES ('a1', :author, 1, 'sft', 'base', 'h', 'v1', :author, 'k', '{}', '{}', '1');
INSERT INTO serving.deployments (id, author_id, adapter_id, engine, served_name, state)
    VALUES (:author, :author, 'a1', 'vllm', 'jane-v9', 'serving');
INSERT INTO warehouse.revisions (id, author_id, document_id, source_id, native_id, content_hash)
    SELECT head_revision_id, author_id, id, source_id, id::text, content_hash FROM warehouse.documents WHERE author_id = :author;
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"llm_price_prompt": 2.0, "llm_price_completion": 10.0})


def adapter_for_jane(api: Api) -> None:
    with api.database.transaction() as conn:
        for statement in ADAPTER.split(";\n"):
            conn.execute(text(statement), {"author": api.jane.id}) if statement.strip() else None


def ask(api: Api, **more: object) -> dict[str, Any]:
    with api.client() as client:
        return dict(client.post("/v1/chat/completions", json={**QUESTION, **more}).json())


def get(api: Api, path: str, *, author: str = "jane", scope: str = "write", **query: object) -> dict[str, Any]:
    key = api.new_key(api.jane if author == "jane" else api.mallory, scope)
    with api.client(key.secret) as client:
        answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_an_answer_is_a_trace_with_its_search_its_versions_its_timings_and_its_cost(api: Api) -> None:
    adapter_for_jane(api)
    narrowed = {"categories": ["article", "post"], "written_from": "2019-01-01T00:00:00Z"}
    answered = ask(api, filters=narrowed, k=1)
    trace = get(api, f"/v1/traces/{answered['trace_id']}")
    assert trace["question"] == "How do I restore a backup?"
    assert trace["answer"] == "Restore is the feature [1]."
    assert trace["filters"] == {"categories": ["article", "post"], "written_from": "2019-01-01T00:00:00+00:00"}
    assert (trace["kind"], trace["outcome"], trace["retrieval"], trace["queries"]) == ("answer", "answered", "fast", [])
    assert (trace["engine"], trace["model"], trace["adapter_id"]) == ("vllm", "jane-v9", "a1")
    assert trace["usage"] == {"prompt_tokens": 11, "completion_tokens": 4}
    assert trace["cost"] == pytest.approx((11 * 2 + 4 * 10) / 1_000_000)
    timings = trace["timings"]
    assert sorted(timings, key=timings.get) == ["search", "prompt", "first_token", "total"]
    candidates = trace["candidates"]
    assert [one["rank"] for one in candidates] == list(range(1, len(candidates) + 1))
    assert len(candidates) > 1, "more was found than was used"
    assert [one["used"] for one in candidates] == [True] + [False] * (len(candidates) - 1)
    assert candidates[0]["legs"]["dense"] == 1
    assert candidates[0]["title"] == trace["passages"][0]["title"] == "Restore is the feature"


def test_an_answer_without_a_model_has_neither_engine_nor_cost(api: Api, engine: ChatServer) -> None:
    engine.fault = "500"
    trace = get(api, f"/v1/traces/{ask(api)['trace_id']}")
    assert (trace["outcome"], trace["model"], trace["cost"], trace["usage"]) == ("retrieval_only", None, None, {})
    assert "HTTP 500" in str(trace["error"])


def test_drafts_are_traces_of_their_kind_with_what_was_found_for_them(api: Api) -> None:
    with api.client(api.new_key(api.jane, "write").secret) as client:
        written = client.post("/v1/write", json={"kind": "post", "brief": "Why I restore backups"}).json()
    trace = get(api, f"/v1/traces/{written['drafts'][0]['trace_id']}")
    assert (trace["kind"], trace["question"], trace["engine"]) == ("post", "Why I restore backups", "vllm")
    assert trace["candidates"]
    assert set(trace["timings"]) == {"search", "material", "first_token", "total"}
    assert [one["id"] for one in get(api, "/v1/traces", kind="draft")["traces"]] == [trace["id"]]


def test_the_list_is_paged_and_narrowed_by_outcome_model_date_and_feedback(api: Api, engine: ChatServer) -> None:
    good, bad = str(ask(api)["trace_id"]), str(ask(api)["trace_id"])
    engine.fault = "500"
    alone = str(ask(api)["trace_id"])
    with api.client(api.new_key(api.jane, "write").secret) as client:
        client.post("/v1/feedback", json={"trace_id": good, "verdict": "up"})
        client.post("/v1/feedback", json={"trace_id": bad, "verdict": "up"})
        client.post("/v1/feedback", json={"trace_id": bad, "verdict": "down", "edited": "Better."})

    def listed(**query: object) -> list[str]:
        return [one["id"] for one in get(api, "/v1/traces", **query)["traces"]]

    assert listed() == [alone, bad, good]
    assert listed(outcome="retrieval_only") == [alone]
    assert listed(model="jane-v1") == [bad, good]
    assert listed(feedback="up") == [good]
    assert listed(feedback="edited") == listed(feedback="down") == [bad]
    assert listed(feedback="any") == [bad, good]
    assert listed(feedback="none") == [alone]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert listed(since=tomorrow) == []
    assert len(listed(until=tomorrow)) == 3
    walked, cursor = [], None
    for _ in range(3):
        page = get(api, "/v1/traces", limit=1, **({"cursor": cursor} if cursor else {}))
        walked += [one["id"] for one in page["traces"]]
        cursor = page["next_cursor"]
    assert (walked, cursor) == ([alone, bad, good], None)


@pytest.mark.parametrize(
    "wrong", [{"cursor": "x"}, {"since": "2026-01-01T00:00:00"}, {"outcome": "fine"}, {"limit": 0}]
)
def test_a_list_that_cannot_be_meant_is_refused(api: Api, wrong: dict[str, Any]) -> None:
    with api.client(api.new_key(api.jane, "write").secret) as client:
        is_problem(client.get("/v1/traces", params=wrong), 400)


def test_whoever_may_only_ask_does_not_read_what_others_asked(api: Api) -> None:
    trace = ask(api)["trace_id"]
    with api.client() as client:
        is_problem(client.get("/v1/traces"), 403)
        is_problem(client.get(f"/v1/traces/{trace}"), 403)


def test_another_author_finds_none_of_it(api: Api) -> None:
    trace = ask(api)["trace_id"]
    with api.client(api.new_key(api.mallory, "write").secret) as client:
        assert client.get("/v1/traces").json()["traces"] == []
        for asked in (trace, uuid4()):
            is_problem(client.get(f"/v1/traces/{asked}"), 404)
            is_problem(client.get(f"/v1/lineage/answers/{asked}"), 404)
        assert client.get("/v1/monitor").json()["days"] == []


def test_lineage_leads_from_an_answer_to_its_sources_and_to_what_the_adapter_learnt(api: Api) -> None:
    adapter_for_jane(api)
    answered = ask(api)
    lineage = get(api, f"/v1/lineage/answers/{answered['trace_id']}", scope="read")
    first = lineage["passages"][0]
    cited = answered["citations"][0]
    assert (first["label"], first["cited"], first["title"]) == (1, True, "Restore is the feature")
    assert (first["document_id"], first["revision_id"]) == (cited["document_id"], cited["revision_id"])
    with api.database.transaction() as conn:
        source = conn.execute(
            text(
                "SELECT s.* FROM warehouse.sources s JOIN warehouse.documents d ON d.source_id = s.id WHERE d.id = :id"
            ),
            {"id": UUID(first["document_id"])},
        ).one()
    assert (first["source_id"], first["platform"], first["locator"]) == (
        str(source.id),
        source.platform,
        source.locator,
    )
    assert first["current"] is True
    adapter = lineage["adapter"]
    assert (adapter["adapter_id"], adapter["dataset_version"], adapter["document_count"]) == ("a1", "v1", 3)
    assert {one["title"] for one in adapter["documents"]} >= {"Restore is the feature", "Rye in a heatwave"}
    assert [one["examples"] for one in adapter["documents"]] == [1, 1, 1]


def test_without_an_adapter_lineage_says_so(api: Api) -> None:
    assert get(api, f"/v1/lineage/answers/{ask(api)['trace_id']}", scope="read")["adapter"] is None


def test_the_monitor_adds_up_what_the_traces_say(api: Api, engine: ChatServer) -> None:
    one, two = ask(api)["trace_id"], ask(api)["trace_id"]
    engine.fault = "500"
    ask(api)
    with api.database.transaction() as conn:
        conn.execute(
            text("UPDATE serving.traces SET at = at - interval '2 days' WHERE id = :id"), {"id": UUID(str(one))}
        )
    with api.client(api.new_key(api.jane, "write").secret) as client:
        client.post("/v1/feedback", json={"trace_id": two, "verdict": "down"})
    shown = get(api, "/v1/monitor", scope="read", days=7)
    before, today = shown["days"]
    assert (before["answers"], before["outcomes"]) == (1, {"answered": 1})
    assert (today["answers"], today["drafts"], today["outcomes"]) == (2, 0, {"answered": 1, "retrieval_only": 1})
    assert (today["prompt_tokens"], today["completion_tokens"]) == (11, 4)
    assert today["cost"] == pytest.approx(62 / 1_000_000)
    assert (today["up"], today["down"], today["feedback_rate"]) == (0, 1, 0.5)
    assert today["steps"]["search"]["answers"] == today["steps"]["total"]["answers"] == 2
    assert today["steps"]["first_token"]["answers"] == 1
    assert today["steps"]["search"]["p50"] <= today["steps"]["search"]["p95"] <= today["steps"]["total"]["p95"]
    assert shown["learning"]["drift"] is None
    assert "new examples" in shown["learning"]["reason"]
    assert [day["day"] for day in get(api, "/v1/monitor", days=1)["days"]] == [today["day"]]


def test_an_export_is_one_row_each_with_the_columns_that_are_documented(api: Api) -> None:
    first, second = ask(api)["trace_id"], ask(api)["trace_id"]
    with api.client(api.new_key(api.jane, "write").secret) as client:
        lines = client.get("/v1/traces/export")
        parquet = client.get("/v1/traces/export", params={"format": "parquet"})
        none = client.get("/v1/traces/export", params={"outcome": "failed"})
    assert lines.headers["content-type"].startswith("application/jsonl")
    rows = [json.loads(line) for line in lines.text.splitlines()]
    assert [row["trace_id"] for row in rows] == [first, second]
    assert rows[0]["passages"][0]["text"].startswith("Nobody wants backups.")
    assert pl.read_parquet(BytesIO(parquet.content))["question"].to_list() == ["How do I restore a backup?"] * 2
    assert none.text == ""
    section = (Path(__file__).parents[2] / "docs" / "serve.md").read_text().split("### Taking them out")[1]
    assert all(f"`{name}`" in section for name in rows[0]), [name for name in rows[0] if f"`{name}`" not in section]
