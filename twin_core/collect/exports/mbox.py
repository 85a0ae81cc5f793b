"""A mailbox (mbox): the mail that the author sent, without what it quotes, forwards and is signed with.

Read message by message. Most messages of a mailbox are other people's: only their headers are looked at, and they are
counted, not listed. Which addresses are the author's is said with `--as`, or by the mailbox: Gmail marks what was sent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from email.utils import getaddresses
from functools import lru_cache
from typing import IO

from twin_core import identity
from twin_core.collect.archive import Archive
from twin_core.collect.formats import Recognised
from twin_core.collect.pieces import text_piece
from twin_core.collect.registry import Options
from twin_core.collect.rules import values
from twin_core.collect.stated import moment, short
from twin_core.errors import InvalidInput
from twin_core.records import Failed, Found, Item, Skipped
from twin_core.settings import Settings
from twin_core.text.decode import decode

_FILES = r"(?:.*/)?[^/]+\.(?:mbox|mbx)|(?:.*/)?mbox|[^/.]+"
_BEGIN = re.compile(rb"^From \S+.*\d{1,2}:\d{2}")
_HEADER = re.compile(rb"^[A-Za-z][A-Za-z0-9-]*:", re.MULTILINE)
_LOOKED_AT = 8_000_000
_LONGEST_TEXT = 200_000
_LONGEST_LINE = 1_000_000
_RE = re.compile(r"^(?:(?:re|fwd?|aw|wg|sv|vs|antw|odp|tr|rv)(?:\[\d+\])?:\s*)+", re.IGNORECASE)
_FORWARD = re.compile(
    r"^[ \t>]*(?:-{5,}\s*(?:Forwarded message|Weitergeleitete Nachricht|Message transféré|Mensaje reenviado|"
    r"Messaggio inoltrato|Doorgestuurd bericht)\s*-{5,}|Begin forwarded message:|-{5,}\s*Original Message\s*-{5,})",
    re.MULTILINE | re.IGNORECASE,
)
_FIELD = re.compile(r"[*> ]*\w[\w-]{1,14} ?: ?\S|-{5,}")
_HEADER_LINES = 3
"""Lines that a reply's header may take before the one that shows it."""
_SIGNATURE_LINES = 7
_NAME_LENGTH = 50
_CLOSING = re.compile(
    r"^(?:(?:with |mit )?(?:best|kind|warm|many|freundlichen?|beste?n?|liebe|viele|herzliche?n?|schöne)\s*"
    r"(?:regards|wishes|thanks|grüße?n?|gruß|grüsse)?|regards|cheers|thanks|thank you|yours(?: \w+)?|sincerely|all the best|"
    r"gruß|grüße|vg|lg|mfg|danke|cordialement|bien à vous|saludos|un saludo|saluti|groeten|pozdrawiam|hälsningar|hilsen)[,.!]?$",
    re.IGNORECASE,
)
_SENT_FROM = re.compile(
    r"^(?:Sent from my |Get Outlook for |Von meinem .{1,30} gesendet|Envoyé de mon |Enviado desde mi )", re.IGNORECASE
)
_QUOTES_IN_HTML = (
    "blockquote[type=cite], .gmail_quote, .gmail_quote_container, .gmail_attr, .gmail_signature, .moz-cite-prefix, "
    ".moz-signature, .yahoo_quoted, .protonmail_quote, #appendonsend, #divRplyFwdMsg, #appendonsend ~ *, #divRplyFwdMsg ~ *"
)
_LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pl", "pt", "sv", "da", "no", "cs", "ja", "zh")
_UNREADABLE = (MessageError, LookupError, ValueError, TypeError, AttributeError, RecursionError, AssertionError)


class MboxExport:
    """One mailbox, or several in a folder."""

    platform = "mbox"
    looks_for = "an mbox file, whose messages begin with a line `From ...`"
    whole = False

    def recognises(self, archive: Archive, options: Options) -> Recognised | None:
        """By its first lines."""
        names = _mailboxes(archive)
        if not names:
            return None
        stated = sorted(one.casefold() for one in values(options, "as"))
        addresses, sent = _addresses(archive, names)
        own = stated or sorted(sent)
        return Recognised(
            account=next((one for one in own if "@" in one), own[0] if own else ""),
            kinds=frozenset({"mail"}),
            candidates=() if own else tuple(address for address, _ in addresses.most_common(20)),
        )

    def items(self, archive: Archive, options: Options, settings: Settings) -> Iterator[Item]:  # noqa: ARG002
        """Sent mail with words of its own."""
        names = _mailboxes(archive)
        own = {one.casefold() for one in values(options, "as")} or _addresses(archive, names)[1]
        for name in names:
            location = archive.location(name)
            others = 0
            try:
                for number, raw in enumerate(_messages(archive, name), start=1):
                    item = _mail(raw, own, f"{location}#{number}", archive.limit)
                    if item is None:
                        others += 1
                    else:
                        yield item
            except (InvalidInput, OSError) as error:
                yield Failed(native_id=f"mail:{name}", location=location, reason=str(error))
            if others:
                reason = f"{others:,} messages from others"
                yield Skipped(native_id=f"mail:others in {name}", location=location, reason=reason)


FORMAT = MboxExport()


def _mailboxes(archive: Archive) -> list[str]:
    return [name for name in archive.matching(_FILES) if _is_mailbox(archive.head(name, 4096))]


def _is_mailbox(head: bytes) -> bool:
    first, _, rest = head.lstrip(b"\xef\xbb\xbf\r\n").partition(b"\n")
    return _BEGIN.match(first) is not None and len(_HEADER.findall(rest)) >= 2


def _addresses(archive: Archive, names: list[str]) -> tuple[Counter[str], set[str]]:
    """Who writes in the beginning of the mailboxes, and which addresses Gmail marks as the sender's own."""
    found: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    for name in names:
        looked_at = 0
        only_sent = re.search(r"(?:^|/)(?:sent|gesendet|envoy|enviad|inviat)[^/]*$", name, re.IGNORECASE) is not None
        try:
            for raw in _messages(archive, name):
                header = _header_of(raw)
                addresses = _senders(header)
                found.update(addresses)
                labels = re.split(r"[,\s]+", _text_of(header.get("X-Gmail-Labels")).casefold())
                if only_sent or "sent" in labels or "gesendet" in labels:
                    sent.update(addresses)
                looked_at += len(raw)
                if looked_at > _LOOKED_AT:
                    break
        except (InvalidInput, OSError):
            continue  # reading it in earnest tells of it
    return found, set(sent)


def _messages(archive: Archive, name: str) -> Iterator[bytes]:
    """Messages as they are; one larger than the limit is cut there: what its text is comes first."""
    with archive.open(name) as file:
        message = bytearray()
        blank = True
        for line in _physical_lines(file):
            if blank and _BEGIN.match(line):
                if message:
                    yield bytes(message)
                message = bytearray()
            elif len(message) <= archive.limit:
                message += line[1:] if line.startswith(b">From ") else line
            blank = not line.strip(b"\r\n")
        if message:
            yield bytes(message)


def _physical_lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(_LONGEST_LINE):
        yield line


def _mail(raw: bytes, own: set[str], where: str, limit: int) -> Found | Skipped | Failed | None:
    """The item of one message; None for one from somebody else."""
    try:
        header = _header_of(raw)
        if not own.intersection(_senders(header)):
            return None
    except _UNREADABLE:
        return None  # whoever sent it, it cannot be shown to be the author
    stated = short(_text_of(header.get("Message-ID")))
    native_id = f"mail:{stated.strip('<>') if stated else identity.sha256(raw[:4000].hex())[:16]}"
    if len(raw) > limit:
        reason = f"larger than {limit:,} bytes (TWIN_IMPORT_MAX_MEMBER_BYTES)"
        return Skipped(native_id=native_id, location=where, reason=reason)
    try:
        text = own_words(_body(raw))
    except InvalidInput as error:
        return Failed(native_id=native_id, location=where, reason=str(error))
    except _UNREADABLE as error:
        reason = f"the message is malformed ({type(error).__name__})"
        return Failed(native_id=native_id, location=where, reason=reason)
    if not text.strip():
        reason = "no words of the author's: a forward, an attachment, or quotes only"
        return Skipped(native_id=native_id, location=where, reason=reason)
    subject = _RE.sub("", short(_text_of(header.get("Subject"))) or "")
    return text_piece(
        native_id,
        where,
        text,
        title=subject or None,
        written_at=moment(_text_of(header.get("Date")).partition(" (")[0]),
    )


def own_words(text: str) -> str:
    """A mail's text without quoted replies below or above, forwarded mail and signature.

    Quotes between own paragraphs stay, as quotes: an answer point by point means nothing without them.
    """
    found = _FORWARD.search(text)
    if found:
        text = text[: found.start()]
    lines = text.rstrip().split("\n")
    _drop_quotes_at_the_end(lines)
    if sum(map(len, lines)) > _LONGEST_TEXT:
        raise InvalidInput(
            f"its text is longer than {_LONGEST_TEXT:,} characters: not something a person wrote as a mail"
        )
    above, below = _around_reply_header(lines)
    if not any(line.strip() for line in above) and below and below[0].startswith(">"):
        above = _answer_below(below)  # the quote stands first, the answer below it
    _drop_signature(above)
    return "\n".join(above).strip()


def _around_reply_header(lines: list[str]) -> tuple[list[str], list[str]]:
    """What stands above and below "On Monday Bob wrote:", as mail programs of many languages write it."""
    plain = [line.strip() for line in lines]
    first = next((at for at, line in enumerate(plain) if line.endswith((":", "：")) or _FIELD.match(line)), None)
    if first is None:  # the pattern is slow, and most mail has nothing like it
        return lines, []
    start = sum(len(line) + 1 for line in plain[: max(first - _HEADER_LINES, 0)])
    found = _reply_header().search("\n".join(plain), start)
    if found is None:
        return lines, []
    before = found.string[: found.start()].count("\n")
    header = found.group()
    before += len(header) - len(header.lstrip("\n"))
    after = before + header.strip("\n").count("\n") + 1
    rest = lines[after:]
    while rest and not rest[0].strip():
        rest.pop(0)
    return lines[:before], rest


@lru_cache(maxsize=1)
def _reply_header() -> re.Pattern[str]:
    """mail-parser-reply's knowledge of fourteen languages. Its own cutting loses text: it takes a list that begins with
    hyphens, or a paragraph that begins with "Thanks,", for a signature that goes on to the end of the mail.
    """
    from mailparser_reply.parser import EmailMessage as Replies

    pattern: re.Pattern[str] = Replies(text="", languages=list(_LANGUAGES)).HEADER_REGEX
    return pattern


def _answer_below(lines: list[str]) -> list[str]:
    first = next((at for at, line in enumerate(lines) if line.strip() and not line.startswith(">")), len(lines))
    return lines[first:]


def _drop_quotes_at_the_end(lines: list[str]) -> None:
    while lines and (lines[-1].startswith(">") or not lines[-1].strip()):
        lines.pop()


def _drop_signature(lines: list[str]) -> None:
    """What follows `-- `; or a closing with a name, when it is the last thing said."""
    for at, line in enumerate(lines):
        if line.rstrip() in {"--", "__"}:
            del lines[at:]
            break
    _drop_quotes_at_the_end(lines)
    while lines and _SENT_FROM.match(lines[-1].strip()):
        lines.pop()
        _drop_quotes_at_the_end(lines)
    for at in range(max(1, len(lines) - _SIGNATURE_LINES), len(lines)):
        if _CLOSING.match(lines[at].strip()) and all(len(line) <= _NAME_LENGTH for line in lines[at + 1 :]):
            del lines[at:]
            return


def _header_of(raw: bytes) -> Message:
    end = re.search(rb"\r?\n\r?\n", raw)
    return BytesHeaderParser().parsebytes(raw[: end.end()] if end else raw)


def _senders(header: Message) -> list[str]:
    """Addresses and names of `From`, lower case."""
    pairs = getaddresses([_text_of(value) for value in header.get_all("From", [])])
    return [part.casefold() for name, address in pairs for part in (address, name) if part]


def _text_of(value: object) -> str:
    """A header as text, encoded words decoded where they can be."""
    if value is None:
        return ""
    try:
        return str(make_header(decode_header(str(value))))
    except (*_UNREADABLE, UnicodeError):
        return str(value)


def _body(raw: bytes) -> str:
    """The text of a message: its plain part, else its HTML without what is marked as quoted in it."""
    message = BytesParser().parsebytes(raw)
    plain: Message | None = None
    html: Message | None = None
    for part in message.walk():
        if part.is_multipart() or part.get_content_disposition() == "attachment":
            continue
        if part.get_content_type() == "text/plain" and plain is None:
            plain = part
        elif part.get_content_type() == "text/html" and html is None:
            html = part
    if plain is not None and (text := _decoded(plain)).strip():
        return _unflowed(text) if plain.get_param("format") == "flowed" else text
    return _from_html(_decoded(html)) if html is not None else ""


def _decoded(part: Message) -> str:
    content = part.get_payload(decode=True)
    body = content if isinstance(content, bytes) else b""
    return decode(body, part.get_content_charset()).replace("\r\n", "\n") if body else ""


def _unflowed(text: str) -> str:
    """RFC 3676: a line that ends with a space goes on in the next one; the signature's mark does not."""
    out: list[str] = []
    joins = False
    for line in text.split("\n"):
        quoted = line.startswith(">")
        if joins and not quoted:
            out[-1] += line
        else:
            out.append(line)
        joins = line.endswith(" ") and line != "-- " and not quoted
    return "\n".join(out)


def _from_html(html: str) -> str:
    from bs4 import BeautifulSoup

    from twin_core.text.html import fragment_markdown

    page = BeautifulSoup(html, "lxml")
    for quote in page.select(_QUOTES_IN_HTML):
        quote.decompose()
    return fragment_markdown(str(page.body or page))
