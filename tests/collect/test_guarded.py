"""The guarded client over real sockets: pinning, redirects, and the limits on bytes and time."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable

import pytest

from tests.collect.site import Answer, Site
from twin_core.collect.guarded import FetchFailed, GuardedClient
from twin_core.errors import Refused
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]


def test_a_loopback_site_is_refused_unless_the_setting_names_it(site: Site, make_settings: MakeSettings) -> None:
    site.page("/", "hello")
    with GuardedClient(make_settings()) as client, pytest.raises(Refused, match="loopback"):
        client.get(site.url + "/")
    assert site.seen == []
    with GuardedClient(make_settings(crawl_allow_hosts=[site.host])) as client:
        answer = client.get(site.url + "/")
    assert (answer.status, answer.media_type, answer.charset) == (200, "text/html", "utf-8")
    assert site.seen[0].headers["User-Agent"].startswith("LLM-Twin/")
    assert "jane@example.org" in site.seen[0].headers["User-Agent"]


def test_a_name_is_looked_up_once_and_the_host_header_keeps_it(site: Site, make_settings: MakeSettings) -> None:
    site.page("/", "hello")
    port = int(site.host.rsplit(":", 1)[1])
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with GuardedClient(make_settings(crawl_allow_hosts=["blog.test"]), resolve=resolve) as client:
        assert client.get(f"http://blog.test:{port}/").status == 200
    assert asked == ["blog.test"]
    assert site.seen[0].headers["Host"] == f"blog.test:{port}"


def test_a_name_that_turns_internal_after_the_first_answer_is_refused(site: Site, make_settings: MakeSettings) -> None:
    """A server of names may answer well at the check and badly at the connection; here both are one answer."""
    answers = iter([["203.0.113.7"], ["127.0.0.1"]])
    port = int(site.host.rsplit(":", 1)[1])
    with GuardedClient(make_settings(crawl_timeout_seconds=0.5), resolve=lambda _host, _port: next(answers)) as client:
        for _ in range(2):
            with pytest.raises((Refused, FetchFailed)):
                client.get(f"http://rebind.test:{port}/")
    assert site.seen == []


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:1/", "http://localhost:1/", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd",
     "http://2130706433/", "http://[::ffff:127.0.0.1]/", "http://0177.0.0.1/", "gopher://127.0.0.1/"],
)  # fmt: skip
def test_every_redirect_is_checked_again(target: str, site: Site, make_settings: MakeSettings) -> None:
    site.answers["/"] = Answer(status=302, headers={"Location": target})
    with GuardedClient(make_settings(crawl_allow_hosts=[site.host])) as client, pytest.raises(Refused):
        client.get(site.url + "/")


def test_redirects_are_followed_and_end(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/a"] = Answer(status=301, headers={"Location": "/b"})
    site.page("/b", "here")
    site.answers["/loop"] = Answer(status=302, headers={"Location": "/loop"})
    with GuardedClient(make_settings(crawl_allow_hosts=[site.host])) as client:
        assert client.get(site.url + "/a").url == site.url + "/b"
        with pytest.raises(FetchFailed, match="more than 5 times"):
            client.get(site.url + "/loop")


def test_a_body_beyond_the_limit_is_not_read_whether_announced_or_packed(
    site: Site, make_settings: MakeSettings
) -> None:
    site.answers["/large"] = Answer(b"x" * 200_000)
    site.answers["/bomb"] = Answer(gzip.compress(b"x" * 50_000_000), headers={"Content-Encoding": "gzip"})
    settings = make_settings(crawl_allow_hosts=[site.host], crawl_max_bytes=100_000)
    with GuardedClient(settings) as client:
        for path in ("/large", "/bomb"):
            with pytest.raises(FetchFailed, match="TWIN_CRAWL_MAX_BYTES"):
                client.get(site.url + path)


def test_a_server_that_drips_is_cut_off_in_time(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/slow"] = Answer(b"x" * 2_000, seconds=0.5)
    settings = make_settings(crawl_allow_hosts=[site.host], crawl_timeout_seconds=0.6)
    started = time.monotonic()
    with GuardedClient(settings) as client, pytest.raises(FetchFailed, match="longer than") as failed:
        client.get(site.url + "/slow")
    assert failed.value.transient
    assert time.monotonic() - started < 40  # the whole page would take a minute


def test_a_reset_and_a_closed_port_are_failures_worth_another_try(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/reset"] = Answer(reset=True)
    with GuardedClient(make_settings(crawl_allow_hosts=["127.0.0.1"])) as client:
        for url in (site.url + "/reset", "http://127.0.0.1:1/"):
            with pytest.raises(FetchFailed) as failed:
                client.get(url)
            assert failed.value.transient


def test_a_name_without_address_is_a_failure_in_words(make_settings: MakeSettings) -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise OSError("no such host")

    with GuardedClient(make_settings(), resolve=resolve) as client, pytest.raises(FetchFailed, match="no address"):
        client.get("https://nowhere.test/")


def test_cookies_are_not_carried_from_one_page_to_the_next(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/a"] = Answer(b"x", headers={"Set-Cookie": "id=1"})
    site.page("/b", "x")
    with GuardedClient(make_settings(crawl_allow_hosts=[site.host])) as client:
        client.get(site.url + "/a")
        client.get(site.url + "/b")
    assert "Cookie" not in site.seen[1].headers
