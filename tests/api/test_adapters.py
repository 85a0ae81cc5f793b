"""Adapters by the API: who may decide, what the rule answers at once, what another author's admin sees of it: nothing."""

from __future__ import annotations

import httpx2
import pytest
from sqlalchemy import text

from tests.api.conftest import Api
from tests.champion.scenario import BELOW, Bench
from twin_core.settings import Settings
from twin_core.store import registry
from twin_core.store.adapters import Adapter


@pytest.fixture
def bench(api: Api, settings: Settings) -> Bench:
    return Bench(api.database, settings, slug="ann")


@pytest.fixture
def admin(api: Api, bench: Bench) -> httpx2.Client:
    return api.client(api.new_key(bench.author, "admin").secret)


def deploy(bench: Bench, adapter: Adapter) -> None:
    with bench.database.transaction() as conn:
        made = registry.begin_deployment(
            conn,
            author_id=bench.author.id,
            adapter_id=adapter.id,
            engine="vllm",
            served_name=f"ann-v{adapter.version}",
            approval_id=None,
        )
        registry.switch_to(conn, made)


def test_an_adapter_is_approved_and_the_decision_waits_to_be_carried_out(bench: Bench, admin: httpx2.Client) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    (shown,) = admin.get("/v1/adapters").json()["adapters"]
    assert (shown["verdict"], shown["deployment"]) == ("better", None)
    asked = admin.post(f"/v1/adapters/{adapter.id}/approve", json={})
    assert asked.status_code == 202, asked.text
    assert admin.post(f"/v1/adapters/{adapter.id}/approve", json={}).json()["id"] == asked.json()["id"]
    found = admin.get(asked.headers["location"]).json()
    assert (found["state"], found["verdict"], found["by"].startswith("key ")) == ("requested", "approve", True)
    assert bench.serving() is None


def test_what_the_rule_refuses_is_refused_at_once_with_its_reasons(bench: Bench, admin: httpx2.Client) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter, content=BELOW)
    refused = admin.post(f"/v1/adapters/{adapter.id}/approve", json={"reason": "I like it"})
    assert (refused.status_code, "guardrail of content" in refused.json()["detail"]) == (403, True)
    assert admin.post(f"/v1/adapters/{adapter.id}/reject", json={}).status_code == 400
    rejected = admin.post(f"/v1/adapters/{adapter.id}/reject", json={"reason": "Too loud."})
    assert (rejected.status_code, rejected.json()["verdict"]) == (202, "reject")


def test_going_back_takes_effect_at_once(bench: Bench, admin: httpx2.Client) -> None:
    assert admin.post("/v1/adapters/rollback").status_code == 404
    for word in ("one", "two"):
        deploy(bench, bench.adapter(word))
    assert admin.post("/v1/adapters/rollback").json()["served_name"] == "ann-v1"
    assert bench.serving() == "ann-v1"


def test_a_champion_that_learnt_what_was_forgotten_is_said_to_be_tainted_and_can_be_left(
    bench: Bench, admin: httpx2.Client
) -> None:
    for word in ("one", "two"):
        deploy(bench, bench.adapter(word))
    bench.taint()
    second, first = admin.get("/v1/adapters").json()["adapters"]
    assert (second["deployment"], first["deployment"]) == ("serving", "previous")
    assert None not in {second["tainted_at"], first["tainted_at"]}
    assert "forgotten on" in " ".join(first["reasons"])
    assert admin.post("/v1/adapters/rollback").json() == {"adapter_id": None, "served_name": "the base model"}


def test_only_an_admin_decides_and_other_authors_see_and_move_nothing(api: Api, bench: Bench) -> None:
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    deploy(bench, adapter)
    paths = [
        (f"/v1/adapters/{adapter.id}/approve", {}),
        (f"/v1/adapters/{adapter.id}/reject", {"reason": "no"}),
        ("/v1/adapters/rollback", None),
    ]
    with api.client(api.new_key(bench.author, "read", "write").secret) as writer:
        assert [writer.post(path, json=body).status_code for path, body in paths] == [403, 403, 403]
    with api.client(api.new_key(api.mallory, "admin").secret) as mallory:
        assert mallory.get("/v1/adapters").json()["adapters"] == []
        assert [mallory.post(path, json=body).status_code for path, body in paths] == [404, 404, 404]
    assert bench.serving() == "ann-v1"
    with api.database.transaction() as conn:
        assert conn.execute(text("SELECT count(*) FROM training.approvals")).scalar() == 0


def test_the_login_of_the_api_can_move_deployments_and_invent_neither_them_nor_evidence(api: Api) -> None:
    with api.database.transaction() as conn:
        rows = conn.execute(
            text("""SELECT table_name, privilege_type, array_agg(column_name::text ORDER BY column_name)
                    FROM information_schema.column_privileges WHERE grantee = 'twin_api' AND privilege_type <> 'SELECT'
                      AND table_name IN ('deployments', 'evaluations', 'approvals', 'adapters')
                    GROUP BY 1, 2 ORDER BY 1, 2""")
        )
        found = {(row[0], row[1]): row[2] for row in rows}
    assert found == {
        ("approvals", "INSERT"): ["adapter_id", "author_id", "by", "id", "reason", "verdict"],
        ("deployments", "UPDATE"): ["reason", "since", "state"],
    }
