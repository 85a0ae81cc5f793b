"""What a claim on a source may rest on, and that it is checked: a link back, a file, a token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_services import twin
from tests.collect.site import Answer, Site
from tests.collect.test_linkedin import PROFILE, Portability, settings_of
from twin_core.collect import proof
from twin_core.collect.registry import collector_for
from twin_core.errors import InvalidInput, Refused
from twin_core.settings import Settings
from twin_core.store import authors
from twin_core.store.database import Database

MakeSettings = Callable[..., Settings]
HOME = "<html><body><a rel='nofollow me' href='https://www.github.com/Jane/'>code</a><a href='/about'>About</a></body></html>"


def test_a_page_that_links_back_proves_the_place_and_another_does_not(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/"] = Answer(HOME.encode())
    settings = make_settings(crawl_allow_hosts=[site.host])
    said = proof.by_link(f"{site.url}/", "https://github.com/jane", settings)
    assert said.startswith(f"rel=me: {site.url}/ links to https://github.com/jane; seen on 20")
    for locator in ("https://github.com/mallory", f"{site.url}/about"):
        with pytest.raises(Refused, match='rel="me"'):
            proof.by_link(f"{site.url}/", locator, settings)


def test_the_page_is_fetched_through_the_guard_and_robots_txt(site: Site, make_settings: MakeSettings) -> None:
    with pytest.raises(Refused, match="loopback"):
        proof.by_link(f"{site.url}/", "https://github.com/jane", make_settings())
    assert site.seen == []
    site.answers["/robots.txt"] = Answer(b"User-agent: *\nDisallow: /\n")
    with pytest.raises(Refused, match="robots"):
        proof.by_link(f"{site.url}/", "https://github.com/jane", make_settings(crawl_allow_hosts=[site.host]))
    site.answers["/robots.txt"] = Answer(b"")
    with pytest.raises(InvalidInput, match="HTTP 404"):
        proof.by_link(f"{site.url}/x", "https://github.com/jane", make_settings(crawl_allow_hosts=[site.host]))


def test_a_file_is_named_with_its_hash(tmp_path: Path) -> None:
    export = tmp_path / "export.zip"
    export.write_bytes(b"x" * 3_000_000)
    assert hashlib.sha256(b"x" * 3_000_000).hexdigest() in proof.by_file(export)
    with pytest.raises(InvalidInput, match="No such file"):
        proof.by_file(tmp_path / "none.zip")


def test_githubs_token_proves_the_account_that_it_belongs_to(site: Site, make_settings: MakeSettings) -> None:
    site.fallback = lambda _path, headers: (
        Answer(json.dumps({"login": "Jane"}).encode())
        if headers.get("Authorization") == "Bearer t"
        else Answer(status=401)
    )
    github = collector_for("github")
    settings = make_settings(crawl_allow_hosts=[site.host], github_api_url=site.url, github_token="t")
    assert "belongs to jane" in proof.by_token(github, "https://github.com/jane", settings)
    with pytest.raises(Refused, match="not of `mallory`"):
        proof.by_token(github, "https://github.com/mallory", settings)
    wrong = settings.model_copy(update={"github_token": make_settings(github_token="u").github_token})
    with pytest.raises(Refused, match="does not accept the token"):
        proof.by_token(github, "https://github.com/jane", wrong)
    with pytest.raises(Refused, match="TWIN_GITHUB_TOKEN"):
        proof.by_token(github, "https://github.com/jane", make_settings())


def test_linkedins_token_proves_by_being_accepted(site: Site, make_settings: MakeSettings) -> None:
    Portability(site)
    linkedin = collector_for("linkedin")
    assert "accepts the token" in proof.by_token(linkedin, PROFILE, settings_of(site, make_settings))
    with pytest.raises(Refused, match="could not be checked"):
        proof.by_token(linkedin, PROFILE, settings_of(site, make_settings, "old"))


def test_where_a_token_proves_nothing_the_other_ways_are_named(make_settings: MakeSettings) -> None:
    with pytest.raises(InvalidInput, match="--rel-me"):
        proof.by_token(collector_for("folder"), "/notes", make_settings())


@pytest.mark.slow
def test_the_command_stores_what_was_seen_and_refuses_without_it(
    site: Site, database: Database, database_url: str, tmp_path: Path
) -> None:
    with database.transaction() as conn:
        author = authors.add_author(conn, slug="ann", name="Ann")
    site.answers["/"] = Answer(HOME.encode())
    here = {"database_url": database_url, "home": str(tmp_path), "crawl_allow_hosts": json.dumps([site.host])}
    add = ("source", "add", "--author", "ann", "github", "jane")
    assert twin(*add, **here).returncode == 2
    assert (
        twin("source", "add", "--author", "ann", "github", "mallory", "--rel-me", f"{site.url}/", **here).returncode
        == 2
    )
    done = twin(*add, "--rel-me", f"{site.url}/", "--proof-file", str(Path(__file__)), "--claimed-by", "Ann", **here)
    assert done.returncode == 0, done.stderr
    with database.transaction() as conn:
        (source,) = authors.list_sources(conn, author.id)
    assert source.consent is not None
    assert source.consent.claimed_by == "Ann"
    assert "rel=me" in source.consent.proof
    assert "SHA-256" in source.consent.proof
