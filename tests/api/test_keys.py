"""Keys by the API: made, shown once, listed, revoked; no key gives more than it has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import text

from tests.api.conftest import Api
from tests.api.test_keys_and_limits import is_problem
from twin_core.store import keys


@pytest.fixture
def admin(api: Api) -> Iterator[httpx2.Client]:
    with api.client(api.new_key(api.jane, "admin").secret) as client:
        yield client


def test_a_key_is_made_shown_once_and_opens_what_it_may(api: Api, admin: httpx2.Client) -> None:
    made = admin.post("/v1/keys", json={"name": "script", "scopes": ["write"], "expires_in_days": 90})
    assert made.status_code == 201, made.text
    secret, key = made.json()["secret"], made.json()["key"]
    assert (key["scopes"], key["state"], key["current"]) == (["write"], "active", False)
    with api.client(secret) as client:
        assert client.get("/v1/models").status_code == 200
        is_problem(client.get("/v1/keys"), 403)
    listed = admin.get("/v1/keys")
    assert secret not in listed.text
    assert secret.startswith(next(one["prefix"] for one in listed.json()["keys"] if one["id"] == key["id"]))
    assert [one["current"] for one in listed.json()["keys"]].count(True) == 1


def test_a_revoked_key_opens_nothing_from_then_on(api: Api, admin: httpx2.Client) -> None:
    made = admin.post("/v1/keys", json={"name": "script"}).json()
    gone = admin.delete(f"/v1/keys/{made['key']['id']}")
    assert (gone.status_code, gone.json()["state"]) == (200, "revoked")
    assert admin.delete(f"/v1/keys/{made['key']['id']}").json() == gone.json()
    with api.client(made["secret"]) as client:
        is_problem(client.get("/v1/models"), 401)


def test_a_key_gives_no_longer_life_than_its_own(api: Api) -> None:
    with api.database.transaction() as conn:
        soon = datetime.now(UTC) + timedelta(days=10)
        short = keys.create_key(conn, author_id=api.jane.id, name="short", scopes=["admin"], expires_at=soon)
    with api.client(short.secret) as client:
        is_problem(client.post("/v1/keys", json={"name": "longer", "expires_in_days": 11}), 403)
        made = client.post("/v1/keys", json={"name": "as long"}).json()["key"]
    assert datetime.fromisoformat(made["expires_at"]) == soon


@pytest.mark.parametrize("scopes", [["read"], ["write"]])
def test_without_the_scope_admin_nobody_makes_lists_or_revokes_keys(api: Api, scopes: list[str]) -> None:
    there = api.new_key(api.jane)
    with api.client(api.new_key(api.jane, *scopes).secret) as client:
        is_problem(client.get("/v1/keys"), 403)
        is_problem(client.post("/v1/keys", json={"name": "x", "scopes": ["admin"]}), 403)
        is_problem(client.delete(f"/v1/keys/{there.key.id}"), 403)


def test_another_authors_keys_do_not_exist_for_this_one(api: Api, admin: httpx2.Client) -> None:
    hers = api.new_key(api.mallory)
    is_problem(admin.delete(f"/v1/keys/{hers.key.id}"), 404)
    assert str(hers.key.id) not in admin.get("/v1/keys").text
    with api.client(hers.secret) as client:
        assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    "body",
    [{}, {"name": ""}, {"name": "  "}, {"name": "x", "scopes": []}, {"name": "x", "scopes": ["root"]},
     {"name": "x", "expires_in_days": 0}, {"name": "x", "author_id": "5e0a3c1e-2f0f-5b53-9d57-0d0f9a3b7c11"}],
)  # fmt: skip
def test_a_key_that_cannot_be_made_is_a_problem(body: dict[str, object], admin: httpx2.Client) -> None:
    is_problem(admin.post("/v1/keys", json=body), 400)


def test_keys_come_page_by_page(api: Api, admin: httpx2.Client) -> None:
    for _ in range(4):
        api.new_key(api.jane)
    with api.database.transaction() as conn:
        there = conn.execute(text("SELECT count(*) FROM serving.api_keys WHERE author_id = :a"), {"a": api.jane.id})
        count = there.scalar_one()
    seen, cursor = [], None
    while True:
        page = admin.get("/v1/keys", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [one["id"] for one in page["keys"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == count
