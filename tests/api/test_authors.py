"""The author of a key by the API: shown with counts, changed by an admin, nobody else's."""

from __future__ import annotations

import pytest

from tests.api.conftest import Api
from tests.api.test_keys_and_limits import is_problem
from twin_core.store.authors import author_by_id


def test_a_key_sees_its_own_author_with_counts_and_no_other(api: Api) -> None:
    with api.client() as client:
        (jane,) = client.get("/v1/authors").json()["authors"]
        assert (jane["slug"], jane["language"], jane["counts"]["documents"], jane["counts"]["vectors"]) == (
            "jane",
            "en",
            3,
            3,
        )
        assert client.get("/v1/authors/jane").json() == jane
        is_problem(client.get("/v1/authors/mallory"), 404)


def test_an_admin_changes_name_and_language_and_nobody_else_does(api: Api) -> None:
    with api.client(api.new_key(api.jane, "write").secret) as client:
        is_problem(client.patch("/v1/authors/jane", json={"name": "J."}), 403)
    with api.client(api.new_key(api.jane, "admin").secret) as client:
        changed = client.patch("/v1/authors/jane", json={"name": "Jane D.", "language": "de"}).json()
        assert (changed["name"], changed["language"], changed["slug"]) == ("Jane D.", "de", "jane")
        assert client.patch("/v1/authors/jane", json={"language": "en"}).json()["name"] == "Jane D."
        is_problem(client.patch("/v1/authors/mallory", json={"name": "Jane"}), 404)
    with api.database.transaction() as conn:
        assert author_by_id(conn, api.mallory.id).name != "Jane"


@pytest.mark.parametrize("body", [{}, {"name": " "}, {"language": "german"}, {"slug": "other"}, {"name": None}])
def test_what_cannot_be_changed_is_a_problem(body: dict[str, object], api: Api) -> None:
    with api.client(api.new_key(api.jane, "admin").secret) as client:
        is_problem(client.patch("/v1/authors/jane", json=body), 400)
