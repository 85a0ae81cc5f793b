"""Telegram's JSON export (`result.json`): of the whole account, or of one chat.

An export of the account says whose it is; one of a chat does not, and the author is named with `--as`. Forwarded
messages are others' words. A message of the author's own channel is published: each is a post.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from twin_core.collect.archive import Archive
from twin_core.collect.conversations import Message, days_of
from twin_core.collect.formats import Recognised
from twin_core.collect.pieces import quoted, text_piece
from twin_core.collect.registry import Options
from twin_core.collect.rules import values
from twin_core.collect.stated import moment, short
from twin_core.collect.streams import json_events
from twin_core.errors import InvalidInput
from twin_core.records import Failed, Item, Skipped
from twin_core.settings import Settings

_FILES = r"(?:[^/]*/)?[^/]+\.json"
_LISTS = ("messages", "chats.list.item.messages", "left_chats.list.item.messages")
_LOOKED_AT = 5_000
_CHANNELS = frozenset({"public_channel", "private_channel", "channel"})


class TelegramExport:
    """`result.json`."""

    platform = "telegram"
    looks_for = "result.json with chats or messages, as Telegram Desktop exports it"
    whole = False

    def recognises(self, archive: Archive, options: Options) -> Recognised | None:
        """By what its JSON begins with."""
        for name in archive.matching(r"[^/]+\.json"):
            if _is_telegram(archive.head(name)):
                return _recognised(archive, name, values(options, "as"))
        return None

    def items(self, archive: Archive, options: Options, settings: Settings) -> Iterator[Item]:  # noqa: ARG002
        """Days of chats, and posts of own channels."""
        for name in archive.matching(r"[^/]+\.json"):
            if not _is_telegram(archive.head(name)):
                continue
            location = archive.location(name)
            try:
                yield from _Export(archive, name, location, values(options, "as")).items()
            except (InvalidInput, OSError) as error:
                yield Failed(native_id=f"day:{name}", location=location, reason=str(error))


FORMAT = TelegramExport()


def _is_telegram(head: bytes) -> bool:
    plain = head.replace(b"\0", b"")
    if b'"messages"' not in plain and b'"chats"' not in plain:
        return False
    return b'"personal_information"' in plain or (b'"type"' in plain and b'"id"' in plain and b'"from' in plain)


def _recognised(archive: Archive, name: str, stated: list[str]) -> Recognised:
    """Whose it is, from the first messages; who could be meant, when that is not said."""
    owner: dict[str, str] = {}
    chat = ""
    senders: dict[str, None] = {}
    try:
        for count, (prefix, event, value) in enumerate(json_events(archive, name)):
            if prefix.startswith("personal_information.") and event in {"string", "number"}:
                owner[prefix.partition(".")[2]] = str(value)
            elif prefix == "name" and event == "string":
                chat = value
            elif prefix.endswith("messages.item.from") and event == "string":
                senders[value] = None
            if owner.get("user_id") and "chats" in prefix:
                break
            if count > _LOOKED_AT * 20 and senders:
                break
    except InvalidInput:
        pass  # reading it in earnest tells of it
    account = owner.get("username", "").lstrip("@") or owner.get("user_id", "") or chat
    known = bool(owner.get("user_id")) or bool(stated)
    return Recognised(
        account=account, kinds=frozenset({"day", "message"}), candidates=() if known else tuple(sorted(senders))
    )


class _Export:
    """One reading of a `result.json`; its chats say their name and type before their messages."""

    def __init__(self, archive: Archive, name: str, location: str, stated: list[str]) -> None:
        self.archive, self.name, self.location = archive, name, location
        self.own = {one.lstrip("@").casefold() for one in stated}
        self.chat: dict[str, str] = {}
        self.published: list[Item] = []

    def items(self) -> Iterator[Item]:
        for item in days_of(self._messages(), self.location):
            yield from self._taken()
            yield item
        yield from self._taken()

    def _taken(self) -> Iterator[Item]:
        some, self.published = self.published, []
        yield from some

    def _messages(self) -> Iterator[Message]:
        from ijson.common import ObjectBuilder

        builder: ObjectBuilder | None = None
        depth = ""
        for prefix, event, value in json_events(self.archive, self.name):
            if builder is not None:
                builder.event(event, value)
                if prefix == depth and event == "end_map":
                    message, builder = self._message(builder.value), None
                    if message is not None:
                        yield message
            elif event == "start_map" and prefix.removesuffix(".item") in _LISTS and prefix.endswith("messages.item"):
                builder, depth = ObjectBuilder(), prefix
                builder.event(event, value)
            elif prefix == "personal_information.user_id":
                self.own.add(f"user{value}")
            elif event in {"string", "number"} and prefix.rpartition(".")[2] in {"name", "type", "id"}:
                self.chat[prefix.rpartition(".")[2]] = str(value)

    def _message(self, found: object) -> Message | None:
        """The message; a post of an own channel goes to `published` instead."""
        if not isinstance(found, dict) or found.get("type") != "message":
            return None
        at = _at(found)
        sender = {str(found.get(key) or "").casefold() for key in ("from", "from_id")} - {""}
        own = bool(sender & self.own) and not found.get("forwarded_from")
        chat = self.chat.get("id") or self.chat.get("name", "chat")
        text = _text(found)
        if own and self.chat.get("type") in _CHANNELS:
            self._publish(found, chat, text, at)
            return None
        if at is None:
            native_id = f"message:{chat}/{short(found.get('id'))}"
            if own:
                self.published.append(Failed(native_id=native_id, location=self.location, reason="it has no date"))
            return None
        return Message(chat=chat, at=at, own=own, text=text)

    def _publish(self, found: Mapping[str, Any], chat: str, text: str, at: datetime | None) -> None:
        native_id = f"message:{chat}/{short(found.get('id'))}"
        where = f"{self.location}#{short(found.get('id'))}"
        if not text.strip():
            self.published.append(Skipped(native_id=native_id, location=where, reason="no text of its own"))
        else:
            self.published.append(
                text_piece(
                    native_id, where, text, written_at=at, platform_id=f"telegram:{chat}/{short(found.get('id'))}"
                )
            )


def _at(found: Mapping[str, Any]) -> datetime | None:
    """The second in UTC where the export has it; older ones have a local time without a zone."""
    try:
        return datetime.fromtimestamp(int(found["date_unixtime"]), UTC)
    except (KeyError, ValueError, TypeError, OverflowError, OSError):
        return moment(found.get("date"))


def _text(found: Mapping[str, Any]) -> str:
    """Plain text of a message, which is a text or a list of texts and formatted parts; quotes stay quotes."""
    value = found.get("text")
    parts = value if isinstance(value, list) else [value]
    out = []
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            quote = part.get("type") == "blockquote"
            out.append(f"\n{quoted(part['text'])}\n" if quote else part["text"])
    return "".join(out)
