"""Who gets in, as whom, how often, and what an error looks like."""

from __future__ import annotations

import logging

import httpx2
import pytest
from sqlalchemy import text

from tests.api.conftest import Api
from tests.models.chat_server import ChatServer
from twin_api.limits import Limits
from twin_core.store import keys

QUESTION = {"model": "jane", "messages": [{"role": "user", "content": "How do I restore a backup?"}]}


def is_problem(response: httpx2.Response, status: int) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/problem+json")
    body = response.json()
    assert body["status"] == status
    assert {"type", "title", "detail", "instance"} <= set(body)
    return body


def test_without_a_key_nothing_is_answered_but_how_to_get_one(api: Api) -> None:
    for method, path in (("POST", "/v1/search"), ("POST", "/v1/chat/completions"), ("GET", "/v1/models")):
        response = httpx2.request(method, api.url + path, json={}, trust_env=False)
        assert "twin key create" in str(is_problem(response, 401)["detail"])
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_asking_a_route_for_its_methods_needs_a_key_too(api: Api) -> None:
    is_problem(httpx2.options(f"{api.url}/v1/models", trust_env=False), 401)
    with api.client() as client:
        answer = client.options("/v1/models")
    assert (answer.status_code, "GET" in answer.headers["allow"]) == (204, True)


def test_a_key_that_was_revoked_expired_or_made_up_opens_nothing(api: Api) -> None:
    revoked, expired = api.new_key(api.jane), api.new_key(api.jane)
    with api.database.transaction() as conn:
        keys.revoke_key(conn, author_id=api.jane.id, key=str(revoked.key.id))
        conn.execute(
            text("UPDATE serving.api_keys SET expires_at = now() - interval '1 second' WHERE id = :id"),
            {"id": expired.key.id},
        )
    for secret in (revoked.secret, expired.secret, "twin_" + "x" * 43, "' OR 1=1 --", "twin_é"):
        with api.client() as client:
            answer = client.get("/v1/models", headers={"Authorization": b"Bearer " + secret.encode()})
            is_problem(answer, 401)


def test_another_authors_key_sees_and_asks_nothing_of_this_author(api: Api) -> None:
    with api.client(api.new_key(api.mallory).secret) as client:
        assert client.get("/v1/models").json()["data"][0]["id"] == "mallory"
        assert "jane" not in client.get("/v1/models").text
        is_problem(client.get("/v1/models/jane"), 404)
        is_problem(client.post("/v1/chat/completions", json=QUESTION), 404)
        found = client.post("/v1/search", json={"query": "restore a backup on a clean machine"}).json()["passages"]
        assert {one["title"] for one in found} <= {"Mallory's secret"}
    with api.client() as client:
        found = client.post("/v1/search", json={"query": "launch code heliotrope seventeen"}).json()["passages"]
        assert "heliotrope" not in str(found)


def test_a_key_without_the_scope_is_refused_and_told_which_one(api: Api) -> None:
    with api.database.transaction() as conn:
        key = keys.create_key(conn, author_id=api.jane.id, name="none", scopes=["read"])
        conn.execute(text("UPDATE serving.api_keys SET scopes = '{}' WHERE id = :id"), {"id": key.key.id})
    with api.client(key.secret) as client:
        assert "--scope read" in str(is_problem(client.post("/v1/search", json={"query": "x"}), 403)["detail"])


def test_keys_are_stored_as_hashes_and_never_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with api.client() as client:
        client.get("/v1/models")
    with api.database.transaction() as conn:
        stored = str(conn.execute(text("SELECT k::text FROM serving.api_keys k")).scalars().all())
    assert api.key not in stored
    assert keys.key_hash(api.key) in stored
    assert api.key not in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nowhere", None, 404),
        ("GET", "/v1/search", None, 405),
        ("POST", "/v1/search", b"{not json", 400),
        ("POST", "/v1/search", b'{"query": ""}', 400),
        ("POST", "/v1/search", b'{"query": "x", "k": 5000}', 400),
        ("POST", "/v1/search", b'{"query": "x", "filters": {"categories": ["song"]}}', 400),
        ("POST", "/v1/search", b'{"query": "x", "filters": {"author": "mallory"}}', 400),
        ("POST", "/v1/search", b'{"query": "x", "filters": {"written_from": "2025-01-01T00:00:00"}}', 400),
        ("POST", "/v1/search", b'{"query": "' + b"x" * 5000 + b'"}', 400),
        ("POST", "/v1/search", b"x" * 300_000, 413),
        ("POST", "/v1/chat/completions", b'{"model": "jane", "messages": []}', 400),
        ("POST", "/v1/chat/completions", b'{"model": "jane", "messages": [{"role": "user", "content": " "}]}', 400),
        ("POST", "/v1/chat/completions", b'{"model": "jane", "n": 3, "messages": [{"role": "user", "content": "x"}]}', 400),
    ],
)  # fmt: skip
def test_every_error_is_a_problem_without_internals(
    api: Api, method: str, path: str, body: bytes | None, status: int
) -> None:
    with api.client() as client:
        response = client.request(method, path, content=body, headers={"Content-Type": "application/json"})
    is_problem(response, status)
    for internal in ("Traceback", "site-packages", "sqlalchemy", "psycopg", "SELECT"):
        assert internal not in response.text


def test_the_database_going_away_is_a_503_that_names_no_host(api: Api) -> None:
    with api.database.transaction() as conn:
        conn.execute(text("ALTER ROLE twin_api NOLOGIN"))
    try:
        with api.database.transaction() as conn:
            conn.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'twin_api' "
                              "AND datname = current_database()"))  # fmt: skip
        with api.client() as client:
            response = client.get("/v1/models")
            assert "twin up" not in str(is_problem(response, 503)["detail"])
            assert response.headers["retry-after"]
            assert client.get("/healthz").status_code == 200
            assert client.get("/readyz").status_code == 503
    finally:
        with api.database.transaction() as conn:
            conn.execute(text("ALTER ROLE twin_api LOGIN"))


class TestWithTightLimits:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(requests_per_minute=3, failures_per_minute=2)

    def test_a_key_that_asks_too_often_is_told_when_to_come_again(self, api: Api) -> None:
        with api.client() as client:
            answers = [client.get("/v1/models") for _ in range(5)]
        late = [answer for answer in answers if answer.status_code == 429]
        assert late
        assert int(late[0].headers["retry-after"]) >= 1
        is_problem(late[0], 429)

    def test_guessing_keys_is_slowed_down_before_the_database_is_asked(self, api: Api) -> None:
        with api.client("twin_" + "y" * 43) as client:
            assert [client.get("/v1/models").status_code for _ in range(4)][-1] == 429


def test_health_tells_life_from_readiness_and_needs_no_language_model(api: Api, engine: ChatServer) -> None:
    assert httpx2.get(f"{api.url}/healthz", trust_env=False).json() == {"status": "ok"}
    with api.client() as client:
        client.post("/v1/search", json={"query": "x"})  # waits for the embedding model
        ready = client.get("/readyz")
    assert ready.status_code == 200, ready.text
    assert ready.json() == {
        "status": "ready", "database": "ok", "migrations": "ok", "embedder": "ok", "llm": "ok",
    }  # fmt: skip
    for models, fault, said in ((("other",), None, "does not serve"), (("jane-v1",), "loading", "does not answer")):
        engine.models, engine.fault = models, fault
        ready = httpx2.get(f"{api.url}/readyz", trust_env=False)
        assert (ready.status_code, ready.json()["llm"][: len(said)]) == (200, said)
        assert "other" not in ready.text, "it is public, and names nothing"


def test_the_schema_has_examples_and_no_page_that_loads_from_elsewhere(api: Api) -> None:
    schema = httpx2.get(f"{api.url}/schema", trust_env=False)
    assert schema.headers["content-type"].startswith("application/vnd.oai.openapi+json")
    paths = schema.json()["paths"]
    assert {"/v1/search", "/v1/chat/completions", "/v1/models", "/healthz", "/readyz"} <= set(paths)
    assert "how do I size a connection pool?" in schema.text
    for page in ("swagger", "redoc", "scalar", "elements", "rapidoc"):
        assert httpx2.get(f"{api.url}/schema/{page}", trust_env=False).status_code == 404


@pytest.mark.parametrize("path", ["/", "/ask", "/models", "/web/ask.js", "/web/style.css"])
def test_pages_come_whole_from_here_under_a_strict_policy(api: Api, path: str) -> None:
    page = httpx2.get(api.url + path, trust_env=False)
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "//cdn" not in page.text
    assert "innerHTML" not in page.text
