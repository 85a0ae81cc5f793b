"""A chat exported from WhatsApp as text: `_chat.txt`, or `WhatsApp Chat with NAME.txt`.

Dates are written as the phone is set, so their order is found from all of them: a thirteenth month is a day. They have
no zone and are taken as UTC. Who exported the chat is not said: of two people, the one whom the file is not named after.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from twin_core.collect.archive import Archive
from twin_core.collect.conversations import Message, days_of
from twin_core.collect.formats import Recognised
from twin_core.collect.registry import Options
from twin_core.collect.rules import values
from twin_core.collect.streams import text_of
from twin_core.errors import InvalidInput
from twin_core.records import Failed, Item
from twin_core.settings import Settings

_FILES = r"(?:_chat|WhatsApp[ _-].*)\.txt"
_START = re.compile(
    r"^[\u200e\u200f\ufeff]*\[?(?P<a>\d{1,4})[./-](?P<b>\d{1,2})[./-](?P<c>\d{2,4}),?[ \u202f\u00a0]+"
    r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2}))?[ \u202f\u00a0]*(?P<half>[AaPp]\.?[ \u202f]?[Mm]\.?)?"
    r"(?:\][ ]?|[ ]-[ ])(?P<rest>.*)$"
)
_SENDER = re.compile(r"^(?P<sender>[^:\n]{1,80}): (?P<text>.*)$", re.DOTALL)
_NO_WORDS = re.compile(
    r"^(?:<[^<>]{1,80}>|\u200e.*|.{0,80}\((?:file attached|Datei angehängt|archivo adjunto|fichier joint)\)|null"
    r"|This message was deleted\.?|You deleted this message\.?|Diese Nachricht wurde gelöscht\.?"
    r"|Du hast diese Nachricht gelöscht\.?)$"
)
_EDITED = re.compile(r"\s*\u200e?<[^<>]{1,60}(?:edited|bearbeitet|editado|modifié)[^<>]{0,20}>\s*$")
_NAMED_AFTER = re.compile(
    r"WhatsApp[ _-]*Chat(?:[ _-]+(?:with|mit|con|avec))?[ _-]+(?P<name>[^/]+?)(?:\.(?:txt|zip))+$"
)
_LOOKED_AT = 20_000


class WhatsAppExport:
    """One chat."""

    platform = "whatsapp"
    looks_for = "_chat.txt or 'WhatsApp Chat with ....txt', whose lines begin with a date, a time and a name"
    whole = False

    def recognises(self, archive: Archive, options: Options) -> Recognised | None:
        """By a name that WhatsApp gives, or any single text file, whose first lines are messages."""
        names = _chat_files(archive)
        if not names:
            return None
        people: dict[str, None] = {}
        unclear = False
        for name in names:
            senders = _senders(archive, name)
            people.update(dict.fromkeys(sorted(senders)))
            unclear = unclear or _guess(senders, _named_after(archive, name)) is None
        chats = [_named_after(archive, name) or " and ".join(list(people)[:3]) for name in names]
        unclear = unclear and not values(options, "as")
        return Recognised(
            account=", ".join(dict.fromkeys(chats))[:200],
            kinds=frozenset({"day"}),
            candidates=tuple(people) if unclear else (),
        )

    def items(self, archive: Archive, options: Options, settings: Settings) -> Iterator[Item]:  # noqa: ARG002
        """Days on which the author wrote."""
        for name in _chat_files(archive):
            location = archive.location(name)
            after = _named_after(archive, name)
            own = {one.casefold() for one in values(options, "as")}
            if not own and (guessed := _guess(_senders(archive, name), after)):
                own = {guessed.casefold()}
            try:
                order = _order(archive, name)
                yield from days_of(_messages(archive, name, order, own, after or "chat"), location)
            except (InvalidInput, OSError) as error:
                yield Failed(native_id=f"day:{name}", location=location, reason=str(error))


FORMAT = WhatsAppExport()


@dataclass(frozen=True, slots=True)
class _Line:
    """The first line of a message, or of a note by WhatsApp itself (which has no sender)."""

    numbers: tuple[str, str, str]
    clock: tuple[int, int, int]
    sender: str
    text: str


def _chat_files(archive: Archive) -> list[str]:
    names = archive.matching(_FILES)
    if not names and len(archive.names) == 1:
        names = archive.matching(r"[^/]+\.txt")
    return [name for name in names if _is_chat(archive.head(name, 4000))]


def _is_chat(head: bytes) -> bool:
    lines = head.decode("utf-8", "ignore").splitlines()[:20]
    return sum(_START.match(line) is not None for line in lines) >= min(2, len(lines)) > 0


def _named_after(archive: Archive, name: str) -> str | None:
    """Whom, or which group, the export is named after: the file, or the zip that it came in."""
    for candidate in (name, archive.at, archive.path.name):
        if found := _NAMED_AFTER.search(candidate):
            return found["name"].replace("_", " ").strip()
    return None


def _guess(senders: Counter[str], after: str | None) -> str | None:
    """Of two who write, the one that the chat is not named after."""
    if after is None or len(senders) != 2 or after not in senders:
        return None
    return next(sender for sender in senders if sender != after)


def _senders(archive: Archive, name: str) -> Counter[str]:
    found: Counter[str] = Counter()
    try:
        for line, _ in zip(_lines(archive, name), range(_LOOKED_AT), strict=False):
            if isinstance(line, _Line) and line.sender and not _NO_WORDS.match(line.text):
                found[line.sender] += 1
    except (InvalidInput, OSError):
        pass  # reading it in earnest tells of it
    return found


def _lines(archive: Archive, name: str) -> Iterator[_Line | str]:
    """Beginnings of messages, and the lines that go on with one."""
    with text_of(archive, name) as text:
        while raw := text.readline(1_000_000):
            line = raw.rstrip("\r\n")
            found = _START.match(line)
            if found is None:
                yield line
                continue
            said = _SENDER.match(found["rest"])
            half = (found["half"] or "").lower()
            hour = int(found["hour"])
            if half:
                hour = hour % 12 + (12 if half.startswith("p") else 0)
            yield _Line(
                (found["a"], found["b"], found["c"]),
                (hour, int(found["minute"]), int(found["second"] or 0)),
                said["sender"].strip("\u200e\u200f ") if said else "",
                said["text"] if said else found["rest"],
            )


def _order(archive: Archive, name: str) -> str:
    """`ymd`, `dmy` or `mdy`: a number above twelve tells; else the order in which time never runs backwards."""
    backwards = {"dmy": 0, "mdy": 0}
    before: dict[str, tuple[int, ...]] = {}
    for line in _lines(archive, name):
        if not isinstance(line, _Line):
            continue
        a, b, c = (int(number) for number in line.numbers)
        if a > 31:
            return "ymd"
        if a > 12:
            return "dmy"
        if b > 12:
            return "mdy"
        for order, key in (("dmy", (c, b, a)), ("mdy", (c, a, b))):
            backwards[order] += key < before.get(order, (0,))
            before[order] = key
    return "mdy" if backwards["mdy"] < backwards["dmy"] else "dmy"


def _date(line: _Line, order: str) -> datetime | None:
    numbers = dict(zip(order, (int(number) for number in line.numbers), strict=True))
    year = numbers["y"] + (2000 if numbers["y"] < 100 else 0)
    try:
        return datetime(year, numbers["m"], numbers["d"], *line.clock, tzinfo=UTC)
    except ValueError:
        return None


def _messages(archive: Archive, name: str, order: str, own: set[str], chat: str) -> Iterator[Message]:
    first: _Line | None = None
    more: list[str] = []
    for line in _lines(archive, name):
        if isinstance(line, _Line):
            if first is not None and (message := _message(first, more, order, own, chat)):
                yield message
            first, more = line, []
        else:
            more.append(line)
    if first is not None and (message := _message(first, more, order, own, chat)):
        yield message


def _message(first: _Line, more: list[str], order: str, own: set[str], chat: str) -> Message | None:
    at = _date(first, order)
    if at is None or not first.sender:
        return None
    text = "" if _NO_WORDS.match(first.text) else first.text
    whole = _EDITED.sub("", "\n".join([text, *more])).strip()
    return Message(chat=chat, at=at, own=first.sender.casefold() in own, text=whole)
