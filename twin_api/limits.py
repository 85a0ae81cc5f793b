"""What one caller may ask for at most, and how often: numbers, a token bucket and slots for streams.

All of it in the memory of this process: several API processes allow several times as much. Tokens of the language model are
counted in the database (`tokens.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from twin_core.settings import Settings

BODY_BYTES = 128 * 1024
QUESTION_CHARACTERS = 4_000
"""A question, or a query. Longer ones are documents."""
CONVERSATION_CHARACTERS = 40_000
MESSAGES = 100
SEARCH_RESULTS = 50
DOCUMENTS_PER_PAGE = 200
CONTEXT_PASSAGES = 20
ITEMS_PER_PAGE = 500
SOURCES_PER_PAGE = 200
ADAPTERS_PER_PAGE = 50
KEYS_PER_PAGE = 200
IMPORTS_PER_PAGE = 200
DATASETS_PER_PAGE = 100
EXAMPLES_PER_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an operator may want to change per process."""

    requests_per_minute: int = 120
    """Of one key, over all endpoints."""
    failures_per_minute: int = 60
    """Requests of one address with a key that does not exist; beyond it, no key of that address is looked at."""
    streams: int = 16
    """Answers being written at once: each holds a place in the language model's queue."""
    streams_per_key: int = 4
    heartbeat_seconds: float = 15.0
    """Between two comment frames on a silent stream, so that no proxy takes it for dead."""
    replay_hours: int = 24
    """How long a response is kept for its `Idempotency-Key`."""
    watchers: int = 50
    """Streams that show a collection at work."""
    watchers_per_key: int = 4
    watch_seconds: float = 1_800.0
    """The longest such stream; whoever still wants to know connects again."""
    watch_interval_seconds: float = 1.0
    """Between two looks at the ledger."""

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """As the operator has set them. Tokens are counted in the database: `tokens.py`."""
        return cls(
            requests_per_minute=settings.api_requests_per_minute,
            streams=settings.api_streams,
            streams_per_key=settings.api_streams_per_key,
        )


class TooMany(Exception):
    """A limit was reached. `seconds` says when to come again."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(what)
        self.seconds = seconds


@dataclass(slots=True)
class Bucket:
    """Token buckets by name: `per_minute` tokens flow in evenly, and as many may be saved."""

    per_minute: int
    _levels: dict[str, tuple[float, float]] = field(default_factory=dict)

    def wait(self, name: str) -> float:
        """Seconds until a token is there; 0 when there is one. Takes none."""
        level, _ = self._level(name)
        return 0.0 if level >= 1 else (1 - level) * 60 / self.per_minute

    def take(self, name: str, what: str) -> None:
        """Take a token. Raises TooMany when there is none."""
        if (seconds := self.wait(name)) > 0:
            raise TooMany(what, seconds)
        level, now = self._level(name)
        if len(self._levels) > 10_000:  # names come from outside: forget those that are full again
            self._levels = {key: held for key, held in self._levels.items() if now - held[1] < 60}
        self._levels[name] = (level - 1, now)

    def _level(self, name: str) -> tuple[float, float]:
        now = monotonic()
        level, since = self._levels.get(name, (float(self.per_minute), now))
        return min(float(self.per_minute), level + (now - since) * self.per_minute / 60), now


@dataclass(slots=True)
class Slots:
    """Places for answers being written: so many in all, so many per name."""

    total: int
    per_name: int
    what: str = "answers being written"
    _held: dict[str, int] = field(default_factory=dict)

    def acquire(self, name: str) -> None:
        """Take a place. Raises TooMany when none is free."""
        if sum(self._held.values()) >= self.total:
            raise TooMany(f"There are {self.total} {self.what} already, as many as this server allows. Try again.", 5)
        if self._held.get(name, 0) >= self.per_name:
            raise TooMany(f"This key has {self.per_name} {self.what} already. Let one end first.", 5)
        self._held[name] = self._held.get(name, 0) + 1

    def release(self, name: str) -> None:
        """Give a place back."""
        self._held[name] = self._held.get(name, 0) - 1
        if self._held[name] <= 0:
            del self._held[name]

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """A place for the length of a block."""
        self.acquire(name)
        try:
            yield
        finally:
            self.release(name)

    @property
    def taken(self) -> int:
        """Places in use now."""
        return sum(self._held.values())
