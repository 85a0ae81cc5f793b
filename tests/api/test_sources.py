"""`/v1/sources` over real HTTP: what a key sees of its author's sources, and nothing of another's."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from tests.api.conftest import Api
from tests.api.test_keys_and_limits import is_problem
from twin_core.records import Author, Consent, Outcome, Source
from twin_core.store import authors, ledger
from twin_core.store.ledger import LedgerItem

CONSENT = Consent(claimed_by="Jane", proof="it is mine", claimed_at=datetime(2024, 1, 1, tzinfo=UTC))
OUTCOMES = [Outcome.FETCHED] * 5 + [Outcome.FAILED] * 2 + [Outcome.SKIPPED]


def source_with_items(api: Api, author: Author, locator: str) -> Source:
    with api.database.transaction() as conn:
        source = authors.add_source(
            conn, author_id=author.id, platform="web", locator=locator, schedule="0 6 * * *", consent=CONSENT
        )
        run = uuid4()
        ledger.start_run(conn, run_id=run, author_id=author.id, source_id=source.id)
        items = [
            LedgerItem(
                native_id=f"/page/{number}", location=f"{locator}/page/{number}", outcome=outcome, at=datetime.now(UTC),
                reason=None if outcome is Outcome.FETCHED else f"reason {number}",
            )
            for number, outcome in enumerate(OUTCOMES)
        ]  # fmt: skip
        ledger.write_items(conn, items, run_id=run, author_id=author.id, source_id=source.id)
        ledger.finish_run(conn, run, own_count=10, seconds=1.0, error=None)
    return source


@pytest.fixture
def jane(api: Api) -> Source:
    return source_with_items(api, api.jane, "https://jane.example")


@pytest.fixture
def mallory(api: Api) -> Source:
    return source_with_items(api, api.mallory, "https://mallory.example")


def test_a_source_says_how_it_stands(api: Api, jane: Source) -> None:
    with api.client() as client:
        found = {one["id"]: one for one in client.get("/v1/sources").json()["sources"]}
    one = found[str(jane.id)]
    assert (one["platform"], one["locator"], one["schedule"], one["paused"]) == (
        "web", "https://jane.example", "0 6 * * *", False,
    )  # fmt: skip
    assert (one["held"], one["own_count"], one["coverage"]) == (0, 10, 0.0)
    assert one["last_success_at"] is not None
    assert one["next_run_at"] is not None
    assert (one["last_run"]["fetched"], one["last_run"]["failed"], one["last_run"]["skipped"]) == (5, 2, 1)
    assert one["alarms"] == []
    assert "consent" not in one


def test_items_come_with_their_reasons_page_by_page_failures_first(api: Api, jane: Source) -> None:
    seen: list[dict[str, str]] = []
    cursor: str | None = None
    with api.client() as client:
        for _ in range(10):
            asked = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
            page = client.get(f"/v1/sources/{jane.id}/items", params=asked).json()
            seen += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    assert [one["outcome"] for one in seen] == ["failed"] * 2 + ["skipped"] + ["fetched"] * 5
    assert len({one["native_id"] for one in seen}) == 8
    assert seen[0]["reason"] == "reason 5"


def test_items_are_narrowed_to_outcomes(api: Api, jane: Source) -> None:
    with api.client() as client:
        page = client.get(f"/v1/sources/{jane.id}/items?outcome=failed&outcome=skipped").json()
    assert [one["outcome"] for one in page["items"]] == ["failed", "failed", "skipped"]
    assert page["next_cursor"] is None
    assert UUID(page["run"]["id"])


def test_another_authors_sources_do_not_exist_for_this_key(api: Api, jane: Source, mallory: Source) -> None:
    with api.client() as client:
        assert "mallory" not in client.get("/v1/sources").text
        is_problem(client.get(f"/v1/sources/{mallory.id}/items"), 404)
        own = client.get(f"/v1/sources/{jane.id}/items", params={"limit": "3"}).json()
        assert own["next_cursor"]
    with api.client(api.new_key(api.mallory).secret) as client:
        stolen = {"cursor": own["next_cursor"]}
        is_problem(client.get(f"/v1/sources/{jane.id}/items", params=stolen), 404)
        is_problem(client.get(f"/v1/sources/{mallory.id}/items", params=stolen), 400)


@pytest.mark.parametrize("asked", ["cursor=x", "cursor=WzFd", "limit=0", "limit=501", "outcome=lost"])
def test_what_cannot_be_asked_is_a_problem_and_no_crash(asked: str, api: Api, jane: Source) -> None:
    with api.client() as client:
        is_problem(client.get(f"/v1/sources/{jane.id}/items?{asked}"), 400)


def test_a_source_that_was_never_collected_has_no_run(api: Api) -> None:
    with api.database.transaction() as conn:
        source = authors.add_source(conn, author_id=api.jane.id, platform="folder", locator="/notes", consent=CONSENT)
    with api.client() as client:
        assert client.get(f"/v1/sources/{source.id}/items").json() == {"run": None, "items": [], "next_cursor": None}


def test_a_place_on_the_web_is_added_with_consent_and_due_at_once(api: Api) -> None:
    asked = {"platform": "web", "locator": "https://new.example/blog/", "schedule": "0 6 * * *"}
    with api.client(api.new_key(api.jane, "write").secret) as client:
        assert "--i-wrote-this" in str(is_problem(client.post("/v1/sources", json=asked), 403)["detail"])
        added = client.post("/v1/sources", json={**asked, "mine": True})
        assert added.status_code == 201, added.text
        assert added.json()["next_run_at"] is not None
        again = client.post("/v1/sources", json={**asked, "mine": True, "schedule": "0 7 * * *"}).json()
        assert again == added.json()
        guessed = client.post("/v1/sources", json={"locator": "https://medium.com/@jane", "mine": True}).json()
        assert (guessed["platform"], guessed["locator"]) == ("medium", "https://medium.com/@jane")
    with api.client() as reader:
        is_problem(reader.post("/v1/sources", json={**asked, "mine": True}), 403)


@pytest.mark.parametrize(
    ("platform", "locator"),
    [("folder", "/etc"), ("folder", "notes"), ("git", "/etc"), ("git", "file:///etc"), ("git", "~/secrets"),
     ("git", "../secrets"), ("web", "file:///etc/passwd"), ("x", "export:me"), ("medium", "export:jane"),
     ("web", "http://127.0.0.1:5432/"), ("web", "http://169.254.169.254/latest"), ("git", "git@internal:repo"),
     ("nowhere", "https://jane.example"), ("web", " ")],
)  # fmt: skip
def test_what_lies_on_the_server_or_inside_its_network_is_not_taken_as_a_source(
    platform: str, locator: str, api: Api
) -> None:
    with api.client(api.new_key(api.jane, "write").secret) as client:
        answer = client.post("/v1/sources", json={"platform": platform, "locator": locator, "mine": True})
        assert answer.status_code in {400, 403}, answer.text
        is_problem(answer, answer.status_code)
        options = {"archive": "/etc/passwd"}
        sent = {"platform": "medium", "locator": "@jane", "mine": True, "options": options}
        is_problem(client.post("/v1/sources", json=sent), 400)


def test_sources_come_page_by_page(api: Api, jane: Source) -> None:
    with api.client() as client:
        whole = [one["id"] for one in client.get("/v1/sources").json()["sources"]]
        seen, cursor = [], None
        while True:
            page = client.get("/v1/sources", params={"limit": 1} | ({"cursor": cursor} if cursor else {})).json()
            seen += [one["id"] for one in page["sources"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    assert len(whole) > 1
    assert seen == whole
