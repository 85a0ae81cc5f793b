"""Chats: the author's own messages of one day and one chat are one post.

Shared by the chat formats. A message is seldom a text of its own; a day's messages are, and a day is the same day in
every later export. What others said is not taken at all: it is counted, once per chat.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from twin_core.collect.pieces import text_piece
from twin_core.records import Found, Item, Skipped

FEWEST_WORDS = 5
"""A day of fewer own words ("ok, thanks") says nothing about how somebody writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. `own` is decided by the format."""

    chat: str
    at: datetime
    own: bool
    text: str


def days_of(messages: Iterator[Message], location: str) -> Iterator[Item]:
    """Items of a stream of messages in the order of the export: a day of a chat must not be scattered over it."""
    day: list[Message] = []
    seen: dict[tuple[str, str], int] = {}
    chat, others = "", 0
    for message in messages:
        if day and (message.chat, message.at.date()) != (day[0].chat, day[0].at.date()):
            yield _day(day, location, seen)
            day = []
        if message.chat != chat:
            if others:
                yield _others(chat, others, location)
            chat, others = message.chat, 0
        if message.own and message.text.strip():
            day.append(message)
        else:
            others += 1
    if day:
        yield _day(day, location, seen)
    if others:
        yield _others(chat, others, location)


def _day(day: list[Message], location: str, seen: dict[tuple[str, str], int]) -> Found | Skipped:
    first = day[0]
    date = first.at.date().isoformat()
    again = seen[first.chat, date] = seen.get((first.chat, date), 0) + 1
    native_id = f"day:{first.chat}/{date}" + (f"/{again}" if again > 1 else "")
    where = f"{location}#{date}"
    text = "\n\n".join(message.text.strip() for message in day)
    if len(text.split()) < FEWEST_WORDS:
        reason = f"fewer than {FEWEST_WORDS} words of the author's on that day"
        return Skipped(native_id=native_id, location=where, reason=reason)
    return text_piece(native_id, where, text, written_at=first.at, metadata={"messages": len(day)})


def _others(chat: str, count: int, location: str) -> Skipped:
    reason = f"{count:,} messages that are not the author's words"
    return Skipped(native_id=f"day:{chat}/others", location=location, reason=reason)
