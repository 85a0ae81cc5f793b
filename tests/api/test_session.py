"""Signing in at the page: what the cookie opens, how long, and why another site cannot use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie

import httpx2
import pytest
from sqlalchemy import text

from tests.api.conftest import Api
from tests.api.test_keys_and_limits import is_problem
from twin_api.limits import Limits
from twin_core.store import keys


def page(api: Api) -> httpx2.Client:
    """A browser's way of asking, at a page of this server."""
    return httpx2.Client(base_url=api.url, headers={"Origin": api.url, "X-Twin-Page": "1"}, timeout=60, trust_env=False)


@contextmanager
def signed_in(api: Api, *scopes: str) -> Iterator[httpx2.Client]:
    with page(api) as client:
        answer = client.post("/v1/session", json={"key": api.new_key(api.jane, *scopes).secret})
        assert answer.status_code == 201, answer.text
        yield client


def test_a_key_begins_a_session_that_opens_what_the_key_opens(api: Api) -> None:
    with signed_in(api, "write") as client:
        who = client.get("/v1/session").json()
        assert (who["slug"], who["scopes"], who["dagster_url"]) == ("jane", ["write"], None)
        assert client.post("/v1/search", json={"query": "restore"}).json()["passages"]
        is_problem(client.post("/v1/adapters/rollback"), 403)


def test_no_script_reads_the_cookie_no_other_site_sends_it_and_over_https_it_stays_there(api: Api) -> None:
    with page(api) as client:
        made = client.post("/v1/session", json={"key": api.key})
        cookie = SimpleCookie(made.headers["set-cookie"])["twin_session"]
        assert (cookie["httponly"], cookie["samesite"].lower(), cookie["path"]) == (True, "strict", "/")
        assert not cookie["secure"]
        behind_tls = client.post("/v1/session", json={"key": api.key}, headers={"X-Forwarded-Proto": "https"})
        assert SimpleCookie(behind_tls.headers["set-cookie"])["twin_session"]["secure"]


def test_the_database_holds_the_hash_of_a_session_and_not_the_session(api: Api) -> None:
    with signed_in(api) as client, api.database.transaction() as conn:
        secret = client.cookies["twin_session"]
        stored = conn.execute(text("SELECT s::text FROM serving.sessions s")).scalar_one()
    assert secret not in stored
    assert keys.key_hash(secret) in stored


def test_a_session_changes_nothing_for_a_request_that_no_page_of_ours_sent(api: Api) -> None:
    page_of_ours = {"X-Twin-Page": "1", "Origin": api.url}
    tried = {
        "a page of ours": page_of_ours,
        "a form": {"Origin": api.url},
        "no browser": {"X-Twin-Page": "1"},
        "another site": page_of_ours | {"Origin": "https://elsewhere.example"},
        "a sandboxed frame": page_of_ours | {"Origin": "null"},
        "a site whose name begins like ours": page_of_ours | {"Origin": f"{api.url}.elsewhere.example"},
    }
    with signed_in(api) as client:
        cookie = {"Cookie": f"twin_session={client.cookies['twin_session']}"}
    statuses = {
        who: httpx2.post(
            api.url + "/v1/search", json={"query": "restore"}, headers=headers | cookie, trust_env=False
        ).status_code
        for who, headers in tried.items()
    }
    assert statuses == dict.fromkeys(tried, 403) | {"a page of ours": 200}


def test_signing_in_is_for_pages_of_this_server_too_so_nobody_is_signed_in_as_somebody_else(api: Api) -> None:
    for headers in ({}, {"X-Twin-Page": "1", "Origin": "https://elsewhere.example"}):
        answer = httpx2.post(api.url + "/v1/session", json={"key": api.key}, headers=headers, trust_env=False)
        is_problem(answer, 403)


def test_a_key_needs_no_page(api: Api) -> None:
    with api.client() as client:
        assert client.get("/v1/session").json()["name"]
        assert client.post("/v1/search", json={"query": "restore"}).status_code == 200
        assert client.delete("/v1/session").status_code == 204


def test_a_session_beside_a_key_counts_for_nothing(api: Api) -> None:
    with signed_in(api) as client:
        is_problem(client.get("/v1/models", headers={"Authorization": "Bearer twin_nobody"}), 401)


def test_signing_out_ends_the_session_wherever_its_cookie_is(api: Api) -> None:
    with signed_in(api) as client:
        secret = client.cookies["twin_session"]
        assert client.delete("/v1/session").status_code == 204
        assert "twin_session" not in client.cookies
    with page(api) as thief:
        is_problem(thief.get("/v1/session", headers={"Cookie": f"twin_session={secret}"}), 401)


def test_a_session_dies_with_its_key_and_with_its_time(api: Api) -> None:
    key = api.new_key(api.jane)
    with page(api) as client:
        client.post("/v1/session", json={"key": key.secret})
        assert client.get("/v1/session").status_code == 200
        with api.database.transaction() as conn:
            keys.revoke_key(conn, author_id=api.jane.id, key=str(key.key.id))
        is_problem(client.get("/v1/session"), 401)
    with signed_in(api) as client:
        with api.database.transaction() as conn:
            conn.execute(text("UPDATE serving.sessions SET expires_at = now() - interval '1 second'"))
        is_problem(client.get("/v1/session"), 401)
        with signed_in(api), api.database.transaction() as conn:  # which takes those away that are over
            assert conn.execute(text("SELECT count(*) FROM serving.sessions")).scalar_one() == 1


def test_a_session_acts_for_its_own_author_alone(api: Api) -> None:
    with page(api) as client:
        client.post("/v1/session", json={"key": api.new_key(api.mallory).secret})
        assert client.get("/v1/session").json()["slug"] == "mallory"
        is_problem(client.get("/v1/models/jane"), 404)


class TestGuessing:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(failures_per_minute=3)

    def test_keys_and_sessions_that_do_not_exist_cannot_be_tried_for_long(self, api: Api) -> None:
        with page(api) as client:
            for made_up in ("twin_" + "x" * 43, "' OR 1=1 --"):
                is_problem(client.post("/v1/session", json={"key": made_up}), 401)
            is_problem(client.get("/v1/session", headers={"Cookie": f"twin_session={'x' * 43}"}), 401)
            is_problem(client.post("/v1/session", json={"key": api.key}), 429)
