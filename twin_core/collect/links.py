"""Pages and papers that somebody links to as extra knowledge for one draft: fetched, read, handed on, not kept.

They are other people's words. Nothing here writes to a store; what becomes of the text is in `writing/`. A person asks
for each address by hand, so robots.txt is not asked; every other limit of the guarded client holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from twin_core.collect.exports.papers import read_pdf
from twin_core.collect.guarded import FetchFailed, GuardedClient, Response
from twin_core.collect.reading import EmptyText, is_bare
from twin_core.errors import InvalidInput
from twin_core.records import LinkedText
from twin_core.settings import Settings
from twin_core.text.decode import decode, html_charset
from twin_core.text.html import main_text

MOST_LINKS = 5
"""More leave none of them room in a prompt, and each is a request to somebody's server."""
MOST_PAGES = 40
"""Of a PDF: pypdf takes up to a second per page, and no prompt holds more."""
MOST_CHARACTERS = 2_000_000
_TITLE = 200
_OK = 200


def read_links(urls: Sequence[str], settings: Settings) -> list[LinkedText]:
    """The main text of each address, in order, each address once.

    Raises Refused for an internal address and for what is neither http nor https, InvalidInput for more than
    MOST_LINKS and for what cannot be fetched or read: a draft that silently lacks a source would be a lie.
    """
    wanted = list(dict.fromkeys(urls))
    if len(wanted) > MOST_LINKS:
        raise InvalidInput(f"{len(wanted)} links are too many. Give at most {MOST_LINKS}.")
    if not wanted:
        return []
    with GuardedClient(settings) as client:
        return [_read(client, url) for url in wanted]


def _read(client: GuardedClient, url: str) -> LinkedText:
    try:
        return _text_of(client.get(url))
    except (FetchFailed, EmptyText) as error:
        raise InvalidInput(_unread(url, error)) from error
    except InvalidInput as error:
        if type(error) is not InvalidInput:  # Refused says it all
            raise
        raise InvalidInput(_unread(url, error)) from error


def _unread(url: str, error: Exception) -> str:
    why = str(error).rstrip(".")
    return f"The link {url} cannot be used: {why}. Leave it out, or put what matters of it into the brief."


def _text_of(answer: Response) -> LinkedText:
    if answer.status != _OK:
        raise InvalidInput(f"it answers HTTP {answer.status}")
    if answer.body.startswith(b"%PDF"):
        paper = read_pdf(answer.body, limit=MOST_CHARACTERS, most_pages=MOST_PAGES)
        return _linked(answer.url, paper.title, paper.text, paper.written_at)
    if answer.media_type in {"text/html", "application/xhtml+xml", ""}:
        page = main_text(decode(answer.body, answer.charset or html_charset(answer.body)), answer.url)
        if is_bare(page.markdown):
            raise EmptyText("there is no text in it that could be told from its menus")
        return _linked(answer.url, page.title, page.markdown, page.written_at)
    if not answer.media_type.startswith("text/"):
        raise InvalidInput(f"it is neither a page nor a PDF ({answer.media_type})")
    return _linked(answer.url, None, decode(answer.body, answer.charset), None)


def _linked(url: str, title: str | None, text: str, written_at: datetime | None) -> LinkedText:
    text = text.strip()
    if not text:
        raise EmptyText("it is empty")
    return LinkedText(
        url=url,
        title=(title or urlsplit(url).netloc)[:_TITLE],
        text=text,
        characters=len(text),
        written_at=written_at,
    )
