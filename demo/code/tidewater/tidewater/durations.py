# SPDX-License-Identifier: Apache-2.0
"""Durations, as a person would say them.

A log line that reads ``wait=5400`` makes the reader do sums at four in the
morning. This module does the sums beforehand.
"""

import re

_UNITS_MS: tuple[tuple[str, int], ...] = (
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
)
_RANK = {name: rank for rank, (name, _) in enumerate(_UNITS_MS)}
_TERM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|d|h|m|s)(?![a-z])", re.ASCII)


def human(seconds: float, parts: int = 2) -> str:
    """Say a duration in at most ``parts`` neighbouring units.

    It cuts off and never rounds up. A drill that took 3 h 59 did not take four.

    >>> human(13_200)
    '3h 40m'
    >>> human(0.25)
    '250ms'
    >>> human(86_400 + 59)
    '1d'
    >>> human(-90)
    '-1m 30s'
    """
    if parts < 1:
        raise ValueError(f"parts must be at least 1, got {parts}")
    left = round(abs(seconds) * 1000)
    said: list[str] = []
    seen = 0
    for name, size in _UNITS_MS:
        count, rest = divmod(left, size)
        if not seen and not count:
            continue
        seen += 1
        if count:
            said.append(f"{count}{name}")
        left = rest
        if seen == parts:
            break
    if not said:
        return "0s"
    return ("-" if seconds < 0 else "") + " ".join(said)


def parse(text: str) -> float:
    """Read what :func:`human` writes, and a little more; answer in seconds.

    Units go from large to small and each appears once. "5m 1h" is refused,
    since in my experience it is a typing error with good posture.

    >>> parse("1h 30m")
    5400.0
    >>> parse("250ms")
    0.25
    >>> parse("ninety")
    Traceback (most recent call last):
        ...
    ValueError: cannot read 'ninety' as a duration; try something like '1h 30m'
    """
    body = text.strip()
    sign = 1.0
    if body.startswith("-"):
        sign, body = -1.0, body[1:]
    at, last_rank, total_ms = 0, -1, 0.0
    while at < len(body):
        found = _TERM.match(body, at)
        if found is None or _RANK[found[2]] <= last_rank:
            break
        last_rank = _RANK[found[2]]
        total_ms += float(found[1]) * _UNITS_MS[last_rank][1]
        at = found.end()
    if last_rank < 0 or at < len(body):
        raise ValueError(f"cannot read {text!r} as a duration; try something like '1h 30m'")
    return sign * total_ms / 1000
