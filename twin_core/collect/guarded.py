"""The one way in which a URL given by a person is fetched: resolve, refuse, pin, cap, and check again at redirects.

Every connection goes to an address that `addresses.py` approved a moment before, never to a second resolution of the
name; bytes, time and redirects have limits. Manners (robots.txt, pace, retries) are in `polite.py`; what pages mean
is for the platforms.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpcore2
import httpx2

from twin_core.collect.addresses import Resolver, addresses_of, host_and_port, system_resolver
from twin_core.errors import InvalidInput, Refused, TwinError
from twin_core.settings import Settings

ROBOT = "LLM-Twin"
"""The name that robots.txt rules may address."""
# RFC 9110 leaves the number open; browsers stop at 20, and a blog that needs more than one or two is broken.
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class FetchFailed(TwinError):
    """One URL could not be fetched. `transient`: asking again later may help."""

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back: the whole body, decompressed, and the headers with lower-case names."""

    url: str
    """Where the redirects ended."""
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """The stated media type without parameters, lower case; empty when none is stated."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The charset stated in the headers."""
        _, found, rest = self.headers.get("content-type", "").lower().partition("charset=")
        return rest.partition(";")[0].strip().strip("\"'") or None if found else None


def user_agent(settings: Settings) -> str:
    """How the crawler introduces itself, with the contact that the settings name."""
    try:
        number = version("llm-twin")
    except PackageNotFoundError:
        number = "0"
    contact = f"; contact: {settings.contact}" if settings.contact else ""
    return f"{ROBOT}/{number} (an author's archive of their own writing{contact})"


class GuardedClient:
    """Fetches URLs over HTTP and HTTPS, one at a time. Not for several threads at once.

    `resolve` and `clock` (seconds, monotonic) are plain callables so that tests can decide what a name resolves to
    and how fast time passes.
    """

    def __init__(
        self, settings: Settings, *, resolve: Resolver = system_resolver, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._backend = _PinningBackend(settings.crawl_allow_hosts, resolve, clock)
        self._client = httpx2.Client(
            transport=_PinningTransport(self._backend),
            headers={"User-Agent": user_agent(settings), "Accept-Encoding": "gzip, deflate"},
            timeout=settings.crawl_timeout_seconds,
            trust_env=False,  # a proxy would resolve the name by itself, behind the guard's back
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        before: Callable[[str], None] | None = None,
    ) -> Response:
        """Fetch a URL, following redirects. `before` is called with each URL that is about to be requested.

        A redirect to another host goes there without the `Authorization` header: a token is for who asked for it.
        Any status is a Response. Raises Refused for an internal address and for schemes other than http and https
        (also in a redirect), FetchFailed for everything that went wrong on the way or was too large or too slow.
        """
        left = self._settings.crawl_timeout_seconds
        sent = dict(headers or {})
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                host_and_port(url)
            except InvalidInput as error:
                raise Refused(str(error)) from error
            if before is not None:
                before(url)  # may wait for its turn, which is not the server's time
            started = self._clock()
            self._backend.deadline = started + left
            answer, following = self._once(url, sent)
            if following is None:
                return answer
            if urlsplit(following)[:2] != urlsplit(url)[:2]:
                sent = {name: value for name, value in sent.items() if name.lower() != "authorization"}
            left -= self._clock() - started
            url = following
        raise FetchFailed(f"{url} redirects more than {_MOST_REDIRECTS} times.", transient=False)

    def _once(self, url: str, headers: Mapping[str, str]) -> tuple[Response, str | None]:
        self._client.cookies.clear()
        try:
            with self._client.stream("GET", url, headers=dict(headers)) as answer:
                status, location = answer.status_code, answer.headers.get("location")
                if status in _REDIRECTS and location:
                    body, following = b"", str(answer.url.join(location).copy_with(fragment=None))
                else:
                    body, following = self._body(answer), None
                lower = {name.lower(): value for name, value in answer.headers.items()}
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpcore2.UnsupportedProtocol) as error:
            raise Refused(f"{url} is not a URL that can be fetched: {error}") from error
        except httpx2.TimeoutException as error:
            seconds = self._settings.crawl_timeout_seconds
            raise FetchFailed(f"{url} took longer than {seconds:g} s.", transient=True) from error
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            raise FetchFailed(f"{url} could not be reached: {_plain(error)}.", transient=True) from error
        except (httpx2.RequestError, httpx2.StreamError) as error:
            raise FetchFailed(f"{url} answered in a broken way: {_plain(error)}.", transient=False) from error
        return Response(url=url, status=status, headers=lower, body=body), following

    def _body(self, answer: httpx2.Response) -> bytes:
        limit = self._settings.crawl_max_bytes
        stated = answer.headers.get("content-length", "")
        too_large = FetchFailed(f"{answer.url} is larger than {limit:,} bytes (TWIN_CRAWL_MAX_BYTES).", transient=False)
        if stated.isdigit() and int(stated) > limit:
            raise too_large
        parts: list[bytes] = []
        size = 0
        for part in answer.iter_bytes():
            size += len(part)
            if size > limit:
                raise too_large
            parts.append(part)
        return b"".join(parts)


def _plain(error: Exception) -> str:
    return str(error).rstrip(". ") or type(error).__name__


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Reading the certificates of the system takes longer than most requests: once per process."""
    return httpcore2.default_ssl_context()


class _PinningTransport(httpx2.HTTPTransport):
    """httpx2's transport over a pool that connects through our backend.

    TLS still asks for, and verifies, the name in the URL: only the address underneath is ours.
    """

    def __init__(self, backend: httpcore2.NetworkBackend) -> None:
        context = _tls()
        super().__init__(verify=context)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=context, max_connections=8, keepalive_expiry=5.0, network_backend=backend
        )


class _PinningBackend(httpcore2.NetworkBackend):
    """Connects to approved addresses only, and lets nothing run past the deadline of the request."""

    def __init__(self, allow: Collection[str], resolve: Resolver, clock: Callable[[], float]) -> None:
        self._allow = allow
        self._resolve = resolve
        self._clock = clock
        self._system = httpcore2.SyncBackend()
        self.deadline = float("inf")

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first approved address that answers."""
        try:
            found = addresses_of(host, port, allow=self._allow, resolve=self._resolve)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"the name {host} has no address") from error
        failure: Exception | None = None
        for address in found:
            try:
                stream = self._system.connect_tcp(
                    address, port, remaining(self.deadline, self._clock, timeout), local_address, socket_options
                )
                return _TimedStream(stream, self, self._clock)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError(f"the name {host} has no address")


def remaining(deadline: float, clock: Callable[[], float], timeout: float | None) -> float:
    """Seconds that one step may take: its own timeout, or what is left of the request's. Raises ReadTimeout at zero."""
    left = deadline - clock()
    if left <= 0:
        raise httpcore2.ReadTimeout("the time for this request is over")
    return left if timeout is None else min(left, timeout)


class _TimedStream(httpcore2.NetworkStream):
    """A connection that a server cannot keep alive for ever by sending one byte at a time."""

    def __init__(self, stream: httpcore2.NetworkStream, backend: _PinningBackend, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._backend = backend
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, remaining(self._backend.deadline, self._clock, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, remaining(self._backend.deadline, self._clock, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = remaining(self._backend.deadline, self._clock, timeout)
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, left), self._backend, self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
