"""An author with a key of their own tries every route of the API for what is another author's: ids, rows, texts.

The routes come from the schema that the API publishes, so a new one is tried without a word here; one with a kind of
id that this file does not know fails until it is taught. Isolation is held by two things, row-level security and the
predicate in each statement, and each is tried without the other.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import event, text

from tests.api.conftest import Api
from tests.api.scenario import with_report
from tests.champion.scenario import Bench
from tests.collect.exports import builders
from twin_api.limits import Limits
from twin_api.services import Services
from twin_core.evaluation.samples import Sample
from twin_core.runtime.urls import url_for
from twin_core.settings import Settings
from twin_core.store.database import Database

# `author_id = %(author)s`, with or without an alias in front and a cast behind.
PREDICATE = re.compile(r"((?:\w+\.)*author_id\s*=\s*(?:CAST\()?%\(\w+\)s(?:::\w+)?(?:\s+AS\s+uuid\))?)", re.IGNORECASE)
WORDS = ("on a day when the tide was", "What were the tides", "Ann's own words", "what-ann-exported")
"""What only Ann wrote or asked."""
BOTH_SIDES = {"train": 9, "test": 3}
MANIFEST = {
    "author": {"name": "Ann", "slug": "ann"},
    "languages": ["en"],
    "documents": BOTH_SIDES,
    "words": BOTH_SIDES,
    "by_category": {"article": BOTH_SIDES},
    "by_origin": {"rule": BOTH_SIDES},
    "redactions": {},
    "drops": {},
    "settings": {},
}
"""Of a dataset version: what its card is written from."""


@pytest.fixture
def limits() -> Limits:
    return Limits(requests_per_minute=100_000, heartbeat_seconds=0.5)


@pytest.fixture
def bench(api: Api, settings: Settings) -> Bench:
    made = Bench(api.database, settings, slug="ann")
    with api.database.transaction() as conn:
        conn.execute(
            text("UPDATE training.dataset_versions SET manifest = manifest || CAST(:more AS jsonb) WHERE id = :id"),
            {"more": json.dumps(MANIFEST), "id": made.version_id},
        )
    return made


@dataclass
class Ann:
    """What there is of the author under attack."""

    client: httpx2.Client
    ids: Mapping[str, str]
    """Name of a path parameter, with the path's first part where several routes share the name -> an id of hers."""

    def fill(self, template: str) -> str:
        """The path with her ids in it."""

        def one(found: re.Match[str]) -> str:
            value = self.id_of(found[1], template)
            assert value, f"{template} has a parameter {found[1]} that this file knows no id of: teach it"
            return value

        return re.sub(r"\{(\w+)\}", one, template)

    def id_of(self, name: str, template: str) -> str | None:
        """Her id for what this name means on this path."""
        return self.ids.get(f"{template.split('/')[2]}.{name}") or self.ids.get(name) or self.ids.get(f"{name}_id")


@pytest.fixture
def ann(api: Api, bench: Bench, settings: Settings, tmp_path: Path) -> Iterator[Ann]:
    export = builders.zipped(builders.medium(tmp_path / "m"), tmp_path / "export.zip")
    sample = Sample(prompt="Write about a tide.", challenger="Ann's own words, by her twin.", other="Another's.")
    adapter = with_report(bench, settings, [sample])
    with api.client(api.new_key(bench.author, "admin").secret) as client:

        def made(response: httpx2.Response) -> Any:
            assert response.is_success, response.text
            return response.json()

        asked = {"model": "ann", "messages": [{"role": "user", "content": "What were the tides of note 3?"}]}
        trace = made(client.post("/v1/chat/completions", json=asked))["trace_id"]
        made(client.post("/v1/feedback", json={"trace_id": trace, "verdict": "up", "edited": "Ann's own words."}))
        documents = made(client.get("/v1/documents"))["documents"]
        (source, *_) = made(client.get("/v1/sources"))["sources"]
        decision = made(client.post(f"/v1/adapters/{adapter.id}/approve", json={}))
        forgetting = made(client.delete(f"/v1/documents/{documents[-1]['id']}"))
        (collecting,) = made(client.post("/v1/collect", json={"source_ids": [source["id"]]}))["requests"]
        uploaded = made(client.post("/v1/imports", files={"file": ("what-ann-exported.zip", export.read_bytes())}))
        key = made(client.post("/v1/keys", json={"name": "Ann's", "scopes": ["read"]}))
        yield Ann(
            client,
            {
                "document_id": documents[0]["id"],
                "trace_id": trace,
                "adapter_id": adapter.id,
                "decision_id": decision["id"],
                "source_id": source["id"],
                "key_id": key["key"]["id"],
                "version_id": bench.version_id,
                "slug": "ann",
                "models.name": "ann",
                "forget-requests.request_id": forgetting["id"],
                "collect.request_id": collecting["id"],
                "sources.request_id": collecting["id"],
                "imports.request_id": uploaded["id"],
            },
        )


@dataclass(frozen=True)
class Operation:
    """One route and one method."""

    method: str
    template: str
    about: Mapping[str, Any]

    @property
    def has_ids(self) -> bool:
        return "{" in self.template


def operations(client: httpx2.Client) -> list[Operation]:
    """Every operation that the API publishes."""
    schema = client.get("/schema/openapi.json").json()
    return [
        Operation(method.upper(), template, {**about, "components": schema["components"]})
        for template, methods in schema["paths"].items()
        for method, about in methods.items()
        if method in {"get", "post", "put", "patch", "delete"}
    ]


def bodies(operation: Operation, ann: Ann) -> list[dict[str, Any]]:
    """Bodies to try: each documented example, with Ann's ids wherever an id may stand."""
    content = operation.about.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return [{}]
    given = [example["value"] for example in content.get("examples", {}).values() if "value" in example]
    named: dict[str, Any] = {name: value for name in properties(operation) if (value := ann.ids.get(name))}
    named |= {
        f"{name}s": [ann.ids[name]] for name in ("source_id", "document_id") if f"{name}s" in properties(operation)
    }
    if "revise" in properties(operation):
        given.append({"revise": ann.ids["trace_id"], "instruction": "shorter"})
    return [{**one, **named} for one in given] or [named]


def properties(operation: Operation) -> set[str]:
    """Names of the fields of its body."""
    schema = operation.about.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    reference = schema.get("$ref", "").rsplit("/", 1)[-1]
    found = operation.about["components"]["schemas"].get(reference, schema)
    return set(found.get("properties", {}))


def parameters(operation: Operation, ann: Ann) -> dict[str, str]:
    """Query parameters that name something, with Ann's ids."""
    named = {
        one["name"]: ann.id_of(one["name"], operation.template)
        for one in operation.about.get("parameters", [])
        if one["in"] == "query"
    }
    return {name: value for name, value in named.items() if value is not None}


def digests(database: Database, author: UUID) -> dict[str, str]:
    """A digest of the author's rows in each table that has an author."""
    with database.transaction() as conn:
        tables = conn.execute(
            text("""SELECT c.table_schema || '.' || c.table_name FROM information_schema.columns c
                    JOIN information_schema.tables t USING (table_schema, table_name)
                    WHERE c.column_name = 'author_id' AND t.table_type = 'BASE TABLE' ORDER BY 1""")
        ).scalars()
        return {
            table: str(
                conn.execute(
                    text(
                        f"SELECT md5(coalesce(string_agg(r::text, '|' ORDER BY r::text), '')) FROM {table} r "
                        "WHERE author_id = :author"
                    ),
                    {"author": author},
                ).scalar()
            )
            for table in tables
        }


@contextmanager
def without_predicates(services: Services) -> Iterator[None]:
    """Statements of the API name no author any more: what holds is row-level security alone."""
    engine = services.database.engine
    event.listen(engine, "before_cursor_execute", _without_predicate, retval=True)
    yield
    event.remove(engine, "before_cursor_execute", _without_predicate)


@contextmanager
def without_policies(services: Services, settings: Settings) -> Iterator[None]:
    """The API works as the owner, whom no policy binds: what holds is the predicate in each statement alone."""
    ours, services.database = services.database, Database(url_for(settings))
    yield
    services.database.close()
    services.database = ours


def _without_predicate(
    _conn: object, _cursor: object, statement: str, values: object, _context: object, _many: bool
) -> tuple[str, object]:
    return PREDICATE.sub(r"(\1 OR true)", statement), values


def begun(response: httpx2.Response) -> str:
    """The answer, or of a stream that does not end what came in its first seconds."""
    came, end = "", time.monotonic() + 5
    for piece in response.iter_text():
        came += piece
        if time.monotonic() > end:
            break
    return came


def sweep(api: Api, bench: Bench, ann: Ann) -> list[str]:
    """Try everything as Mallory; what was got of Ann's, or moved."""
    hers = {*ann.ids.values()} - {"ann"}
    before = digests(api.database, bench.author.id)
    tried, found = 0, []
    with api.client(api.new_key(api.mallory, "admin").secret) as mallory:
        for operation in operations(mallory):
            if operation.template.startswith("/v1/session"):
                continue
            path = ann.fill(operation.template)
            for body in bodies(operation, ann):
                sent = body if operation.method in {"POST", "PUT", "PATCH"} else None
                with mallory.stream(operation.method, path, params=parameters(operation, ann), json=sent) as response:
                    answer = begun(response)
                tried += 1
                named = f"{operation.method} {operation.template} -> {response.status_code}"
                if response.status_code >= 500 or (operation.has_ids and response.is_success):
                    found.append(named)
                # What Mallory sent may come back in an error; what she did not send may not come at all.
                sent_by_her = f"{response.request.url} {body}"
                told = [one for one in hers if one not in sent_by_her]
                found += [f"{named}: {one}" for one in (*WORDS, *told) if one in answer]
    after = digests(api.database, bench.author.id)
    assert tried > 40
    return found + [f"changed: {table}" for table, digest in before.items() if after[table] != digest]


def test_a_hostile_author_gets_nothing_of_anothers_by_any_route_and_moves_nothing(
    api: Api, bench: Bench, ann: Ann
) -> None:
    assert sweep(api, bench, ann) == []


def test_nor_where_row_level_security_alone_holds(api: Api, bench: Bench, ann: Ann, services: Services) -> None:
    with without_predicates(services):
        assert sweep(api, bench, ann) == []


def test_nor_where_the_predicates_alone_hold(
    api: Api, bench: Bench, ann: Ann, services: Services, settings: Settings
) -> None:
    with without_policies(services, settings):
        assert sweep(api, bench, ann) == []


def test_without_either_the_same_attempts_succeed(
    api: Api, bench: Bench, ann: Ann, services: Services, settings: Settings
) -> None:
    with without_policies(services, settings), without_predicates(services):
        found = sweep(api, bench, ann)
    got = {line.split(" -> ")[0] for line in found if not line.startswith("changed")}
    assert {"GET /v1/documents/{document_id}", "GET /v1/traces/{trace_id}", "GET /v1/keys"} <= got
    assert len(got) > 15, got


def test_the_ids_that_are_tried_are_real_ones(ann: Ann) -> None:
    read = [one for one in operations(ann.client) if one.method == "GET" and one.has_ids]
    answers = {one.template: ann.client.get(ann.fill(one.template)).status_code for one in read}
    assert {template: status for template, status in answers.items() if status != 200} == {}
    assert len(answers) >= 8
