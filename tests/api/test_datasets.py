"""Dataset versions by the API: listed, shown with card and manifest, examples page by page; nobody else's."""

from __future__ import annotations

import pytest

from tests.api.conftest import Api
from tests.api.test_keys_and_limits import is_problem
from tests.datasets.scenario import Writer, article
from twin_core.collect import run
from twin_core.settings import Settings
from twin_core.store.authors import author_by_slug
from twin_core.store.datasets import Version


@pytest.fixture
def version(api: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Version:
    """Built as the graph builds it, of an author of her own."""
    writer = Writer(api.database, settings, slug="ann", name="Ann")
    monkeypatch.setattr(run, "collector_for", lambda platform: writer.collector)
    writer.write(*[article(number) for number in range(12)])
    return writer.build().version


def test_a_version_is_shown_with_its_card_and_its_examples_page_by_page(api: Api, version: Version) -> None:
    with api.database.transaction() as conn:
        ann = author_by_slug(conn, "ann")
    with api.client(api.new_key(ann).secret) as client:
        (listed,) = client.get("/v1/datasets", params={"kind": "instruct"}).json()["datasets"]
        assert (listed["id"], listed["examples"]) == (version.id, version.examples)
        assert client.get("/v1/datasets", params={"kind": "preference"}).json()["datasets"] == []
        shown = client.get(f"/v1/datasets/{version.id[:12]}").json()
        assert "# Ann: instruct" in shown["card"]
        assert shown["manifest"]["author"]["slug"] == "ann"
        assert sum(shown["documents"].values()) == version.examples
        seen, cursor = [], None
        while True:
            asked = {"limit": 5} | ({"cursor": cursor} if cursor else {})
            page = client.get(f"/v1/datasets/{version.id}/examples", params=asked).json()
            seen += page["examples"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert len({one["id"] for one in seen}) == len(seen) == version.examples
        sides = [one["split"] for one in seen]
        assert sides == sorted(sides, reverse=True)
        assert {"train", "test"} == set(sides)
        test = client.get(f"/v1/datasets/{version.id}/examples", params={"split": "test"}).json()["examples"]
        assert [one["id"] for one in test] == [one["id"] for one in seen if one["split"] == "test"]
        assert all(one["answer"] and one["prompt"][0]["role"] == "system" for one in seen)
        is_problem(client.get("/v1/datasets/abc"), 400)
        is_problem(client.get("/v1/datasets/ffffffffffff"), 404)


def test_another_authors_dataset_does_not_exist_for_this_key(api: Api, version: Version) -> None:
    with api.client() as client:
        assert client.get("/v1/datasets").json()["datasets"] == []
        is_problem(client.get(f"/v1/datasets/{version.id}"), 404)
        is_problem(client.get(f"/v1/datasets/{version.id}/examples"), 404)
