"""A real web site on loopback for the collectors' tests: pages, ETags, redirects, and every way of misbehaving."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """What one path answers."""

    body: bytes = b""
    status: int = 200
    media_type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    etag: bool = True
    seconds: float = 0.0
    """How long it waits before each piece of 16 bytes."""
    reset: bool = False


@dataclass
class Seen:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    at: float


class Site:
    """Paths and what they answer; a callable is asked at each request. Unknown paths are 404."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[], Answer]] = {}
        self.fallback: Callable[[str, dict[str, str]], Answer] = _not_here
        """Path and headers of a request -> what is answered where `answers` has nothing."""
        self.seen: list[Seen] = []
        self.url = ""

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def page(self, path: str, text: str, *, title: str = "A title", head: str = "", status: int = 200) -> None:
        self.answers[path] = Answer(body=article(title, text, head).encode(), status=status)

    def asked(self) -> list[str]:
        return [seen.path for seen in self.seen]


def _not_here(_path: str, _headers: dict[str, str]) -> Answer:
    return Answer(b"not here", status=404, media_type="text/plain")


def article(title: str, text: str, head: str = "") -> str:
    paragraphs = "".join(f"<p>{part}</p>" for part in text.split("\n\n")) if text else ""
    return (
        f"<!doctype html><html lang='en'><head><title>{title}</title>{head}</head><body><nav><a href='/'>Home</a> "
        f"<a href='/about'>About</a></nav><main><article><h1>{title}</h1>{paragraphs}</article></main>"
        f"<footer>Copyright, all rights reserved</footer></body></html>"
    )


def prose(topic: str, paragraphs: int = 3) -> str:
    """Enough words about something that an extractor takes them for an article."""
    sentence = (
        f"When I first worked on {topic} I kept careful notes, because the details matter more than they seem to, and "
        f"nobody remembers why {topic} was built the way it was. "
    )
    return "\n\n".join(f"Part {number} on {topic}. {sentence * 3}" for number in range(1, paragraphs + 1))


def feed(url: str, items: list[tuple[str, str, str]]) -> bytes:
    """An RSS feed of (path, title, content); content may be empty."""
    parts = "".join(
        f"<item><title>{title}</title><link>{url}{path}</link><pubDate>Tue, 05 Mar 2024 10:00:00 GMT</pubDate>"
        + (
            f"<content:encoded><![CDATA[{content}]]></content:encoded>"
            if content
            else "<description>short</description>"
        )
        + "</item>"
        for path, title, content in items
    )
    return (
        '<?xml version="1.0"?><rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel>'
        f"<title>Blog</title><link>{url}</link>{parts}</channel></rss>"
    ).encode()


def sitemap(url: str, paths: list[str]) -> bytes:
    parts = "".join(f"<url><loc>{url}{path}</loc><lastmod>2024-01-01</lastmod></url>" for path in paths)
    return f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{parts}</urlset>'.encode()


@contextmanager
def served(site: Site) -> Iterator[Site]:
    """Serve the site on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.seen.append(Seen(self.path, dict(self.headers.items()), time.monotonic()))
            found = site.answers.get(self.path) or site.fallback(self.path, dict(self.headers.items()))
            self.answer(found() if callable(found) else found)

        def answer(self, answer: Answer) -> None:
            if answer.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return
            tag = f'"{hashlib.sha1(answer.body).hexdigest()[:12]}"'
            same = answer.etag and answer.status == 200 and self.headers.get("If-None-Match") == tag
            body = b"" if same else answer.body
            self.send_response(304 if same else answer.status)
            self.send_header("Content-Type", answer.media_type)
            if "Content-Length" not in answer.headers:
                self.send_header("Content-Length", str(len(body)))
            if answer.etag and answer.status == 200:
                self.send_header("ETag", tag)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                if answer.seconds:
                    for at in range(0, len(body), 16):
                        time.sleep(answer.seconds)
                        self.wfile.write(body[at : at + 16])
                        self.wfile.flush()
                else:
                    self.wfile.write(body)
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
