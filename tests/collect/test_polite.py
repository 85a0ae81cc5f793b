"""Manners: the pace per host, robots.txt, and retries that end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from tests.collect.site import Answer, Site
from twin_core.collect.guarded import FetchFailed, GuardedClient
from twin_core.collect.polite import PoliteClient, RobotsForbid, TokenBucket, retry_after
from twin_core.errors import SourceUnavailable
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@contextmanager
def polite(site: Site, make_settings: MakeSettings, **changes: object) -> Iterator[tuple[PoliteClient, Clock]]:
    settings = make_settings(**{"crawl_allow_hosts": [site.host], **changes})
    clock = Clock()
    with GuardedClient(settings) as client:
        yield PoliteClient(client, settings, clock=clock, sleep=clock.sleep, backoff=0.001), clock


def test_a_bucket_lets_a_burst_through_and_then_keeps_the_pace() -> None:
    bucket = TokenBucket(rate=2.0, burst=2.0, at=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [0.0, 0.0, 0.5, 1.0]
    assert bucket.take(10.0) == 0.0


def test_a_crawl_delay_slows_a_bucket_down_and_a_closed_one_waits() -> None:
    bucket = TokenBucket(rate=10.0, burst=10.0, at=0.0)
    bucket.slow_down(5.0)
    assert [bucket.take(0.0) for _ in range(3)] == [0.0, 5.0, 10.0]
    bucket.close(100.0)
    assert bucket.take(60.0) == 40.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("Fri, 01 Mar 2024 00:00:30 GMT", 30.0),
        ("Thu, 29 Feb 2024 00:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after(value, datetime(2024, 3, 1, tzinfo=UTC)) == seconds


def test_robots_txt_is_read_once_and_obeyed(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/robots.txt"] = Answer(
        b"User-agent: *\nDisallow: /private/\nAllow: /private/ok\n", media_type="text/plain"
    )
    site.page("/public", "x")
    site.page("/private/ok", "x")
    with polite(site, make_settings) as (client, _):
        assert client.get(site.url + "/public").status == 200
        assert client.get(site.url + "/private/ok").status == 200
        with pytest.raises(RobotsForbid, match=r"robots\.txt forbids /private/letter"):
            client.get(site.url + "/private/letter")
    assert site.asked() == ["/robots.txt", "/public", "/private/ok"]


def test_a_rule_for_our_name_wins_over_the_rule_for_all(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/robots.txt"] = Answer(b"User-agent: *\nDisallow:\n\nUser-agent: llm-twin\nDisallow: /\n")
    with polite(site, make_settings) as (client, _):
        assert not client.may_fetch(site.url + "/anything")


@pytest.mark.parametrize(("status", "allowed"), [(404, True), (403, True), (500, False), (503, False)])
def test_a_missing_robots_txt_allows_and_a_broken_one_forbids(
    status: int, site: Site, make_settings: MakeSettings, *, allowed: bool
) -> None:
    site.answers["/robots.txt"] = Answer(b"", status=status)
    with polite(site, make_settings) as (client, _):
        assert client.may_fetch(site.url + "/page") is allowed


def test_a_redirect_into_a_forbidden_path_is_not_followed(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/robots.txt"] = Answer(b"User-agent: *\nDisallow: /private\n")
    site.answers["/a"] = Answer(status=302, headers={"Location": "/private"})
    with polite(site, make_settings) as (client, _), pytest.raises(RobotsForbid):
        client.get(site.url + "/a")
    assert "/private" not in site.asked()


def test_the_pace_of_the_setting_is_kept(site: Site, make_settings: MakeSettings) -> None:
    site.page("/a", "x")
    with polite(site, make_settings, crawl_requests_per_second=1.0) as (client, clock):
        for _ in range(3):
            client.get(site.url + "/a")
    assert clock.slept == [1.0, 1.0, 1.0]  # robots.txt was the first


def test_a_crawl_delay_is_honoured(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 10\n")
    site.page("/a", "x")
    with polite(site, make_settings) as (client, clock):
        client.get(site.url + "/a")
        client.get(site.url + "/a")
    assert clock.slept == [10.0]


def test_a_crawl_delay_of_hours_ends_the_run_instead_of_sleeping(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 7200\n")
    site.page("/a", "x")
    with polite(site, make_settings) as (client, clock):
        client.get(site.url + "/a")
        with pytest.raises(SourceUnavailable, match="the next run goes on"):
            client.get(site.url + "/a")
    assert clock.slept == []


def test_a_429_is_waited_out_as_long_as_it_asks(site: Site, make_settings: MakeSettings) -> None:
    answers = iter([Answer(b"", status=429, headers={"Retry-After": "30"}), Answer(b"fine")])
    site.answers["/a"] = lambda: next(answers)
    with polite(site, make_settings) as (client, clock):
        assert client.get(site.url + "/a").body == b"fine"
    assert sum(clock.slept) == pytest.approx(30.0, abs=0.1)


def test_a_server_error_is_tried_three_times_and_then_told(site: Site, make_settings: MakeSettings) -> None:
    site.answers["/a"] = Answer(b"", status=500)
    with polite(site, make_settings) as (client, _):
        assert client.get(site.url + "/a").status == 500
    assert site.asked().count("/a") == 3


def test_a_reset_is_tried_again_and_then_raised(site: Site, make_settings: MakeSettings) -> None:
    answers = iter([Answer(reset=True), Answer(b"fine")])
    site.answers["/once"] = lambda: next(answers)
    site.answers["/always"] = Answer(reset=True)
    with polite(site, make_settings) as (client, _):
        assert client.get(site.url + "/once").body == b"fine"
        with pytest.raises(FetchFailed):
            client.get(site.url + "/always")
    assert site.asked().count("/always") == 3


def test_validators_make_a_conditional_request(site: Site, make_settings: MakeSettings) -> None:
    site.page("/a", "x")
    with polite(site, make_settings) as (client, _):
        etag = client.get(site.url + "/a").headers["etag"]
        assert client.get(site.url + "/a", {"etag": etag}).status == 304
        assert client.get(site.url + "/a", {"etag": '"other"'}).status == 200
