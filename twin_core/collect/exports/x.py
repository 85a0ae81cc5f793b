"""The archive of X: posts as JSON inside JavaScript, `window.YTD.tweets.part0 = [...]`.

A thread is the author answering themself: its posts become one. Read twice, so that memory holds only the numbers of
posts and the threads that are not complete yet: first who answers whom, then the texts. Retweets are others' words.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from typing import Any

from twin_core.collect.archive import Archive
from twin_core.collect.formats import Recognised
from twin_core.collect.pieces import text_piece
from twin_core.collect.registry import Options
from twin_core.collect.stated import short
from twin_core.collect.streams import json_items
from twin_core.errors import InvalidInput
from twin_core.records import Failed, Item, Skipped
from twin_core.settings import Settings

_TWEETS = r"(data/)?tweets?(-part\d+)?\.js"
_NOTES = r"(data/)?note-tweets?(-part\d+)?\.js"
_ACCOUNT = r"(data/)?account\.js"
_AFTER = "="
_OPENING = 80
_LEADING_MENTIONS = re.compile(r"^(?:@\w{1,20}\s+)+")
_CUT = re.compile(r"(?:…|\.\.\.)?\s*https://t\.co/\w+\s*$")
_MOST_NOTES = 50_000


class XExport:
    """`data/tweets.js` and its parts, long texts from `note-tweet.js`."""

    platform = "x"
    looks_for = "data/tweets.js (or tweet.js), which begins with window.YTD"
    whole = True

    def recognises(self, archive: Archive, options: Options) -> Recognised | None:  # noqa: ARG002 - the protocol's
        """By what the file of posts begins with."""
        tweets = archive.matching(_TWEETS)
        if not any(b"window.YTD.tweet" in archive.head(name, 400).replace(b"\0", b"") for name in tweets):
            return None
        return Recognised(account=_username(archive), kinds=frozenset({"tweet"}))

    def items(self, archive: Archive, options: Options, settings: Settings) -> Iterator[Item]:  # noqa: ARG002
        """Posts and threads; a thread stands where its last post was found."""
        names = archive.matching(_TWEETS)
        threads = _threads(archive, names)
        reader = _Reader(archive, _username(archive), _notes(archive), threads)
        for name in names:
            try:
                for entry in json_items(archive, name, after=_AFTER):
                    yield from reader.entry(entry, archive.location(name))
            except (InvalidInput, OSError) as error:
                yield Failed(native_id=f"tweet:{name}", location=archive.location(name), reason=str(error))
        yield from reader.rest()


FORMAT = XExport()


@dataclass(slots=True)
class _Post:
    """One post as far as its thread needs it."""

    id: int
    text: str
    at: datetime | None
    language: str | None


@dataclass(slots=True)
class _Threads:
    """Which posts belong to a thread, and how many each thread has."""

    root: dict[int, int] = field(default_factory=dict)
    size: Counter[int] = field(default_factory=Counter)


class _Reader:
    """Turns entries into items, holding back threads until they are complete."""

    def __init__(self, archive: Archive, username: str, notes: Mapping[str, str], threads: _Threads) -> None:
        self.archive, self.username, self.notes, self.threads = archive, username, notes, threads
        self.waiting: dict[int, list[_Post]] = {}

    def entry(self, entry: object, where: str) -> Iterator[Item]:
        tweet = _tweet(entry)
        number = _number(tweet.get("id_str") or tweet.get("id"))
        if number is None:
            yield Failed(native_id=f"tweet:{where}", location=where, reason="an entry without the number of a post")
            return
        native_id, location = f"tweet:{number}", self._location(number)
        try:
            reason = _why_not(tweet, number)
            if reason is None:
                post = _Post(number, self._text(tweet), _moment(tweet.get("created_at")), short(tweet.get("lang")))
        except (TypeError, AttributeError, ValueError, KeyError) as error:
            reason = f"its fields are not those of a post ({type(error).__name__})"
            yield Failed(native_id=native_id, location=location, reason=reason)
            return
        if reason is not None:
            yield Skipped(native_id=native_id, location=location, reason=reason)
            return
        root = self.threads.root.get(number, number)
        if self.threads.size[root] < 2:
            yield self._item([post])
            return
        waiting = self.waiting.setdefault(root, [])
        waiting.append(post)
        if len(waiting) == self.threads.size[root]:
            yield self._item(self.waiting.pop(root))

    def rest(self) -> Iterator[Item]:
        """Threads of which a post could not be taken."""
        for posts in self.waiting.values():
            yield self._item(posts)

    def _item(self, posts: list[_Post]) -> Item:
        posts.sort(key=lambda post: post.id)
        first = posts[0]
        metadata: dict[str, object] = {"language": first.language} if first.language not in {None, "und", "zxx"} else {}
        if len(posts) > 1:
            metadata["thread"] = [str(post.id) for post in posts]
        return text_piece(
            f"tweet:{first.id}",
            self._location(first.id),
            "\n\n".join(post.text for post in posts if post.text),
            written_at=first.at,
            platform_id=f"x:{first.id}",
            metadata=metadata,
        )

    def _location(self, number: int) -> str:
        return f"https://x.com/{self.username or 'i/web'}/status/{number}"

    def _text(self, tweet: Mapping[str, Any]) -> str:
        text = str(tweet.get("full_text") or tweet.get("text") or "")
        whole = self.notes.get(_opening(_CUT.sub("", text)) or "")
        text = whole if whole is not None else text
        entities = tweet.get("entities") or {}
        for link in entities.get("urls") or []:
            if short(link.get("url")) and short(link.get("expanded_url")):
                text = text.replace(link["url"], link["expanded_url"])
        for media in [*(entities.get("media") or []), *((tweet.get("extended_entities") or {}).get("media") or [])]:
            if short(media.get("url")):
                text = text.replace(media["url"], "")
        text = unescape(text).strip()
        return _LEADING_MENTIONS.sub("", text) if tweet.get("in_reply_to_status_id_str") else text


def _tweet(entry: object) -> Mapping[str, Any]:
    """Newer archives wrap each post as `{"tweet": {...}}`."""
    inner = entry.get("tweet", entry) if isinstance(entry, dict) else {}
    return inner if isinstance(inner, dict) else {}


def _number(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else None


def _why_not(tweet: Mapping[str, Any], number: int) -> str | None:
    if str(tweet.get("full_text") or tweet.get("text") or "").startswith("RT @"):
        return "a retweet: somebody else's words"
    versions = _versions(tweet.get("edit_info"))
    if versions and number in versions and number != max(versions):
        return "an earlier version of a post that was edited"
    return None


def _versions(value: object) -> list[int]:
    """The numbers of all versions of an edited post, wherever in `edit_info` they stand."""
    if not isinstance(value, dict):
        return []
    for key in ("editTweetIds", "edit_tweet_ids"):
        if isinstance(value.get(key), list):
            return [number for one in value[key] if (number := _number(one)) is not None]
    return next((found for inner in value.values() if (found := _versions(inner))), [])


def _moment(value: object) -> datetime | None:
    try:
        return datetime.strptime(str(value), "%a %b %d %H:%M:%S %z %Y").astimezone(UTC)
    except ValueError:
        return None


def _threads(archive: Archive, names: list[str]) -> _Threads:
    """Every post in an archive is the author's, so an answer to one of them continues it."""
    numbers = array("q")
    answers: dict[int, int] = {}
    for name in names:
        try:
            for entry in json_items(archive, name, after=_AFTER):
                tweet = _tweet(entry)
                number = _number(tweet.get("id_str") or tweet.get("id"))
                if number is None or str(tweet.get("full_text", "")).startswith("RT @"):
                    continue
                numbers.append(number)
                answered = _number(tweet.get("in_reply_to_status_id_str"))
                if answered is not None and answered < number:
                    answers[number] = answered
        except (InvalidInput, OSError):
            continue  # the second reading tells of it
    own = set(answers.values()).intersection(numbers)
    threads = _Threads()
    for number in sorted(number for number, answered in answers.items() if answered in own):
        root = threads.root.get(answers[number], answers[number])
        threads.root[number] = root
        threads.size[root] += 1
    threads.size.update(threads.size.keys())  # the first post of each
    return threads


def _notes(archive: Archive) -> dict[str, str]:
    """Texts longer than a post, by how they begin: the post has only the beginning, and another number."""
    found: dict[str, str] = {}
    for name in archive.matching(_NOTES):
        try:
            for entry in json_items(archive, name, after=_AFTER):
                text = _note(entry)
                key = _opening(text or "")
                if key and text and len(found) < _MOST_NOTES:
                    found.setdefault(key, text)
        except (InvalidInput, OSError):
            continue  # the posts stand with the beginning of their text
    return found


def _note(entry: object) -> str | None:
    note = entry.get("noteTweet") if isinstance(entry, dict) else None
    for holder in ("core", "noteTweetResults"):
        inner = note.get(holder) if isinstance(note, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get("text"), str):
            return str(inner["text"])
    return None


def _opening(text: str) -> str | None:
    """The key by which a cut text finds its whole one; None for texts too short to tell."""
    plain = " ".join(unescape(text).split())
    return plain[:_OPENING] if len(plain) >= _OPENING else None


def _username(archive: Archive) -> str:
    for name in archive.matching(_ACCOUNT):
        try:
            for entry in json_items(archive, name, after=_AFTER):
                account = entry.get("account") if isinstance(entry, dict) else None
                if isinstance(account, dict) and re.fullmatch(r"\w{1,20}", str(account.get("username"))):
                    return str(account["username"])
        except (InvalidInput, OSError):
            break
    return ""
