"""Manners towards other people's servers: robots.txt, a pace per host, and retries that end.

Wraps the guarded client; what may be connected to is decided there. Conditional requests are made here, from the
validators that the last run stored. A pause that a host asked for outlives the run, in a file per host. Nothing here
knows what a page means.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import stamina
import stamina.instrumentation
from protego import Protego

from twin_core.collect.guarded import ROBOT, FetchFailed, GuardedClient, Response
from twin_core.collect.stated import moment
from twin_core.errors import Refused, SourceUnavailable
from twin_core.settings import Settings

# Where structlog happens to be installed, stamina would announce each retry on standard output, in the middle of --json.
stamina.instrumentation.set_on_retry_hooks([stamina.instrumentation.LoggingOnRetryHook])

# A server that asks for more than this is honoured by ending the run, not by a process that sleeps for an hour.
LONGEST_WAIT_SECONDS = 120.0
# Three attempts ride out a restart; more would turn an outage into a queue.
_ATTEMPTS = 3
# GitHub's own advice for a secondary limit that names no time: "wait for at least one minute".
_UNNAMED_PAUSE_SECONDS = 60.0
_ROBOTS_MOST_BYTES = 512_000  # RFC 9309: at least 500 KiB must be read, the rest may be ignored


class RobotsForbid(Refused):
    """robots.txt does not want this page fetched."""


@dataclass(slots=True)
class TokenBucket:
    """How many requests one host gets: `rate` per second on the long run, at most `burst` at once."""

    rate: float
    burst: float
    at: float
    tokens: float = field(default=-1.0)
    closed_until: float = float("-inf")

    def __post_init__(self) -> None:
        if self.tokens < 0:
            self.tokens = self.burst

    def take(self, now: float) -> float:
        """Take one token at time `now` (seconds); returns how long to wait before using it."""
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        self.tokens -= 1.0
        paced = -self.tokens / self.rate if self.tokens < 0 else 0.0
        return max(paced, self.closed_until - now, 0.0)

    def give_back(self) -> None:
        """Return the token of a request that was not made."""
        self.tokens += 1.0

    def slow_down(self, seconds_between: float) -> None:
        """At most one request in this many seconds from now on."""
        if seconds_between > 0:
            self.rate = min(self.rate, 1.0 / seconds_between)
            self.burst, self.tokens = 1.0, min(self.tokens, 1.0)

    def close(self, until: float) -> None:
        """Nothing before this time."""
        self.closed_until = max(self.closed_until, until)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, given as a number or as a date; None when it says nothing usable."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value.strip())
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds())


def pause_asked(answer: Response, now: datetime) -> float | None:
    """Seconds for which the answer asks to be left alone; None when it asks for no pause.

    Said by Retry-After, or by an allowance that is used up (`X-RateLimit-Remaining: 0`) and the time when it is filled
    again, in seconds since 1970 (GitHub) or as a date (Mastodon). A success may say so too: the next request would be
    one too many.
    """
    refused = answer.status in {403, 429} or answer.status >= 500
    if refused and (seconds := retry_after(answer.headers.get("retry-after"), now)) is not None:
        return seconds
    if answer.headers.get("x-ratelimit-remaining", "").strip() == "0":
        reset = answer.headers.get("x-ratelimit-reset", "").strip()
        until = datetime.fromtimestamp(int(reset), UTC) if reset.isdigit() and len(reset) < 12 else moment(reset)
        if until is not None:
            return max(0.0, (until - now).total_seconds())
    if answer.status == 403 and b"rate limit" in answer.body[:2_000].lower():
        return _UNNAMED_PAUSE_SECONDS
    return None


class PoliteClient:
    """Fetches pages of a site as a well-mannered robot does. One per run; remembers robots.txt and pace per host.

    `clock` (seconds, monotonic) and `sleep` (seconds) are plain callables so that tests need not wait. `backoff` is
    the first wait in seconds before a request that failed is tried again; it doubles.
    """

    def __init__(
        self,
        client: GuardedClient,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        backoff: float = 0.5,
    ) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._backoff = backoff
        self._buckets: dict[str, TokenBucket] = {}
        self._robots: dict[str, Protego | None] = {}

    def get(self, url: str, validators: Mapping[str, str] | None = None) -> Response:
        """Fetch a page, conditionally when `validators` hold an `etag` or `last_modified` (a 304 then comes back).

        Every hop of a redirect is asked of robots.txt and paced. Raises RobotsForbid, Refused, FetchFailed after
        three attempts, and SourceUnavailable when the host asks for a longer pause than a run should sleep.
        """
        return self._retrying(url, _conditions(validators), self._before)

    def ask(
        self, url: str, validators: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Ask an interface that is made and documented for programs: as `get`, but robots.txt has no say in it.

        robots.txt tells crawlers which pages to leave alone; an API has its terms, its token and its rate limit.
        """
        return self._retrying(url, {**(headers or {}), **_conditions(validators)}, self._wait)

    def may_fetch(self, url: str) -> bool:
        """Whether robots.txt lets this page be fetched. A robots.txt that cannot be read forbids everything."""
        rules = self._rules(url)
        return rules is not None and rules.can_fetch(url, ROBOT)

    def sitemaps(self, url: str) -> list[str]:
        """The sitemaps that the host's robots.txt names."""
        rules = self._rules(url)
        return list(rules.sitemaps) if rules is not None else []

    def _before(self, url: str) -> None:
        if not self.may_fetch(url):
            path = urlsplit(url).path or "/"
            rules = self._robots[_origin(url)]
            why = f"robots.txt forbids {path}" if rules is not None else "robots.txt could not be read, so nothing may"
            raise RobotsForbid(why)
        self._wait(url)

    def _wait(self, url: str) -> None:
        bucket = self._bucket(url)
        seconds = bucket.take(self._clock())
        if seconds > LONGEST_WAIT_SECONDS:
            bucket.give_back()
            raise SourceUnavailable(
                f"{urlsplit(url).netloc} asks for {seconds:.0f} s before the next request. What came before is kept; "
                f"the next run goes on from there."
            )
        if seconds > 0:
            self._sleep(seconds)

    def _bucket(self, url: str) -> TokenBucket:
        host = urlsplit(url).netloc.lower()
        if host not in self._buckets:
            rate = max(self._settings.crawl_requests_per_second, 0.001)
            self._buckets[host] = TokenBucket(rate=rate, burst=max(1.0, rate), at=self._clock())
            left = self._pause_left(host)
            if left > 0:
                self._buckets[host].close(self._clock() + left)
        return self._buckets[host]

    def _retrying(self, url: str, headers: Mapping[str, str], before: Callable[[str], None]) -> Response:
        def transient(error: Exception) -> bool:
            return isinstance(error, _AskAgain) or (isinstance(error, FetchFailed) and error.transient)

        try:
            for attempt in stamina.retry_context(
                on=transient, attempts=_ATTEMPTS, timeout=None, wait_initial=self._backoff, wait_jitter=self._backoff
            ):
                with attempt:
                    answer = self._client.get(url, headers=headers, before=before)
                    self._raise_to_ask_again(answer)
                    return answer
        except _AskAgain as error:
            return error.answer
        raise AssertionError("the retries ended without an answer")

    def _raise_to_ask_again(self, answer: Response) -> None:
        seconds = pause_asked(answer, datetime.now(UTC))
        if seconds is not None:
            self._close(answer.url, seconds)
        if answer.status == 429 or answer.status >= 500 or (answer.status == 403 and seconds is not None):
            raise _AskAgain(answer)

    def _close(self, url: str, seconds: float) -> None:
        """No request to this host for so long, in this run and, from the file, in the next ones."""
        self._bucket(url).close(self._clock() + seconds)
        file = self._pause_file(urlsplit(url).netloc.lower())
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_text((datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(), "utf-8")
        fresh.replace(file)

    def _pause_left(self, host: str) -> float:
        try:
            until = moment(self._pause_file(host).read_text("utf-8"))
        except (OSError, UnicodeDecodeError):
            return 0.0  # no host asked for one: the usual case
        return 0.0 if until is None else (until - datetime.now(UTC)).total_seconds()

    def _pause_file(self, host: str) -> Path:
        return self._settings.home / "pauses" / quote(host, safe="")

    def _rules(self, url: str) -> Protego | None:
        """The host's rules; None when they exist and cannot be had, which forbids everything (RFC 9309, 2.3.1.4)."""
        origin = _origin(url)
        if origin not in self._robots:
            self._robots[origin] = self._read_rules(origin)
        return self._robots[origin]

    def _read_rules(self, origin: str) -> Protego | None:
        answer = self._retrying(f"{origin}/robots.txt", {}, self._wait)
        if answer.status >= 500 or answer.status == 429:
            return None
        text = answer.body[:_ROBOTS_MOST_BYTES].decode("utf-8", "replace") if answer.status == 200 else ""
        rules = Protego.parse(text)
        delay = rules.crawl_delay(ROBOT)
        if delay:
            self._bucket(origin).slow_down(float(delay))
        return rules


def _conditions(validators: Mapping[str, str] | None) -> dict[str, str]:
    headers = {}
    if validators and validators.get("etag"):
        headers["If-None-Match"] = validators["etag"]
    if validators and validators.get("last_modified"):
        headers["If-Modified-Since"] = validators["last_modified"]
    return headers


class _AskAgain(Exception):
    def __init__(self, answer: Response) -> None:
        super().__init__(f"HTTP {answer.status}")
        self.answer = answer


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme.lower(), parts.netloc.lower(), "", "", ""))
