"""What keeps collected text from steering the terminal it is shown in. How things are printed is in `output.py`."""

from __future__ import annotations

import re

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """The text without control characters and without marks that turn the direction of writing."""
    return _STEERING.sub("", text)
