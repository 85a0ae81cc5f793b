"""What there is of an author by the API, and asking that it be forgotten or collected: requests that others act on."""

from __future__ import annotations

from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import text

from tests.api.conftest import Api
from tests.collect.scripted import END, Desk, found
from twin_core import forgetting
from twin_core.collect import run
from twin_core.records import Source
from twin_core.settings import Settings
from twin_core.store import authors
from twin_core.store.database import Database


@pytest.fixture
def desk(api: Api, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Jane's, with a source of her own that has five documents."""
    made = Desk(database, settings, slug=api.jane.slug, name=api.jane.name)
    monkeypatch.setattr(run, "collector_for", lambda platform: made.collector)
    made.sync(*(found(f"{number}.md", f"Note {number}.") for number in range(5)), END)
    return made


@pytest.fixture
def writer(api: Api) -> httpx2.Client:
    return api.client(api.new_key(api.jane, "write").secret)


def in_source(source: Source) -> dict[str, str]:
    return {"source_id": str(source.id)}


def test_pages_show_each_document_once_and_end(api: Api, desk: Desk) -> None:
    seen: list[str] = []
    cursor = None
    with api.client() as client:
        for pages in range(1, 4):
            asked = {**in_source(desk.source), "limit": 2} | ({"cursor": cursor} if cursor else {})
            page = client.get("/v1/documents", params=asked).json()
            seen += [one["location"] for one in page["documents"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
            # What is collected meanwhile, and sorts first, moves nothing.
            desk.sync(
                *(found(f"{n}.md", f"Note {n}.") for n in range(5)), found(f"new{pages}.md", f"New {pages}."), END
            )
    assert pages == 3
    assert sorted(seen) == [f"/notes/{number}.md" for number in range(5)]


def test_filters_narrow_and_a_broken_cursor_is_told(api: Api, desk: Desk) -> None:
    with api.client() as client:

        def places(**asked: str) -> list[str]:
            return [one["location"] for one in client.get("/v1/documents", params=asked).json()["documents"]]

        assert places(q="notes/3") == ["/notes/3.md"]
        assert places(**in_source(desk.source), category="post") == []
        assert places(**in_source(desk.source), state="gone") == []
        assert len(places()) == 8
        assert client.get("/v1/documents", params={"cursor": "nonsense"}).status_code == 400
        assert client.get("/v1/documents", params={"limit": 1000}).status_code == 400


def test_one_document_says_where_it_comes_from(api: Api, desk: Desk) -> None:
    document = desk.document_at("3.md")
    with api.client() as client:
        shown = client.get(f"/v1/documents/{document}").json()
        assert client.get(f"/v1/documents/{uuid4()}").status_code == 404
    assert shown["document"]["id"] == str(document)
    assert [(one["location"], one["joined_by"], one["leads"]) for one in shown["locations"]] == [
        ("/notes/3.md", "minted", "only")
    ]
    assert [one["head"] for one in shown["revisions"]] == [True]


def test_a_document_is_forgotten_on_request_and_the_receipt_is_shown(
    api: Api, desk: Desk, writer: httpx2.Client
) -> None:
    document = desk.document_at("3.md")
    asked = writer.delete(f"/v1/documents/{document}")
    assert asked.status_code == 202
    where = asked.headers["location"]
    assert where == f"/v1/forget-requests/{asked.json()['id']}"
    assert writer.delete(f"/v1/documents/{document}").json()["id"] == asked.json()["id"]
    assert writer.get(where).json()["state"] == "requested"
    assert len(desk.live()) == 5, "the API only writes the request"

    forgetting.resume(desk.database, desk.warehouse, desk.author, settings=desk.settings)

    done = writer.get(where).json()
    assert done["state"] == "done"
    assert done["receipt"]["documents"] == {"before": 1, "after": 0}
    assert {counted["after"] for counted in done["receipt"].values()} == {0}
    assert writer.get(f"/v1/documents/{document}").status_code == 404
    assert writer.delete(f"/v1/documents/{document}").status_code == 404
    assert "3.md" not in desk.live()


def test_a_request_that_could_not_be_carried_out_says_why(
    desk: Desk, writer: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = writer.delete(f"/v1/documents/{desk.document_at('3.md')}").headers["location"]
    monkeypatch.setitem(forgetting._stores, "a cache", (lambda place, ids: 0, lambda place, ids: 3))
    with pytest.raises(forgetting.TwinError):
        forgetting.resume(desk.database, desk.warehouse, desk.author, settings=desk.settings)
    shown = writer.get(where).json()
    assert (shown["state"], shown["attempts"]) == ("requested", 1)
    assert "3 in a cache" in shown["problem"]
    assert shown["receipt"]["documents"] == {"before": 1, "after": None}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/v1/documents/{document}", None),
        ("PATCH", "/v1/sources/{source}", {"paused": True}),
        ("POST", "/v1/sources/{source}/collect", None),
    ],
)
def test_reading_keys_change_nothing_and_other_authors_see_nothing(
    api: Api, desk: Desk, method: str, path: str, body: object
) -> None:
    named = path.format(document=desk.document_at("3.md"), source=desk.source.id)
    with api.client() as reader, api.client(api.new_key(api.mallory, "write").secret) as mallory:
        assert reader.request(method, named, json=body).status_code == 403
        assert mallory.request(method, named, json=body).status_code == 404
        assert mallory.get(f"/v1/documents/{desk.document_at('3.md')}").status_code == 404
    assert desk.rows("SELECT count(*) FROM warehouse.forget_requests") == [(0,)]
    assert desk.rows("SELECT count(*) FROM warehouse.collect_requests") == [(0,)]


def test_a_source_is_paused_and_scheduled_by_what_is_sent_alone(desk: Desk, writer: httpx2.Client) -> None:
    path = f"/v1/sources/{desk.source.id}"
    scheduled = writer.patch(path, json={"schedule": "0 6 * * *"}).json()
    assert (scheduled["schedule"], scheduled["paused"]) == ("0 6 * * *", False)
    assert "T06:00:00" in scheduled["next_run_at"]
    assert writer.patch(path, json={"paused": True}).json()["schedule"] == "0 6 * * *"
    off = writer.patch(path, json={"schedule": None}).json()
    assert (off["schedule"], off["next_run_at"], off["paused"]) == (None, None, True)
    for wrong in ({}, {"schedule": "every day"}, {"locator": "/elsewhere"}, {"paused": "yes"}):
        assert writer.patch(path, json=wrong).status_code == 400, wrong


def test_a_request_to_collect_is_fulfilled_by_the_next_run_of_the_source(desk: Desk, writer: httpx2.Client) -> None:
    asked = writer.post(f"/v1/sources/{desk.source.id}/collect")
    assert asked.status_code == 202
    assert writer.post(f"/v1/sources/{desk.source.id}/collect").json()["id"] == asked.json()["id"]
    where = asked.headers["location"]
    assert writer.get(where).json()["state"] == "requested"
    report = desk.sync(*(found(f"{number}.md", f"Note {number}.") for number in range(5)), END)
    done = writer.get(where).json()
    assert (done["state"], UUID(done["run_id"])) == ("done", report.run_id)
    assert writer.post(f"/v1/sources/{desk.source.id}/collect").json()["id"] != asked.json()["id"]


def test_the_login_of_the_api_can_change_of_a_source_when_it_is_collected_and_nothing_else(
    api: Api, desk: Desk, writer: httpx2.Client
) -> None:
    with api.database.transaction() as conn:
        rows = conn.execute(
            text("""SELECT column_name FROM information_schema.column_privileges WHERE grantee = 'twin_api'
                    AND table_schema = 'warehouse' AND table_name = 'sources' AND privilege_type = 'UPDATE'""")
        )
        assert set(rows.scalars()) == {"schedule", "paused", "next_run_at"}
        assert authors.source_by_id(conn, desk.source.id) == desk.source


def test_a_document_is_read_as_it_was_cleaned_by_its_author_alone(api: Api, desk: Desk) -> None:
    with api.client() as client:
        documents = client.get("/v1/documents", params={"q": "Restore is the feature"}).json()["documents"]
        assert client.get(f"/v1/documents/{desk.document_at('3.md')}/text").status_code == 404, "not cleaned yet"
        (found,) = [one for one in documents if one["title"] == "Restore is the feature"]
        path = f"/v1/documents/{found['id']}/text"
        assert client.get(path).json()["title"] == "Restore is the feature"
    with api.client(api.new_key(api.mallory).secret) as mallory:
        assert mallory.get(path).status_code == 404
