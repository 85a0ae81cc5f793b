"""A judge over real HTTP that goes by a script: whom it takes for the author, and what shape its answers have."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.models.chat_server import ChatServer
from twin_core.evaluation.prose import prose

_TEXT = re.compile(r"<passage-(first|second)>\n(.*?)\n</passage-\1>", re.DOTALL)


def always_first(_first: str, _second: str) -> str:
    return "first"


def the_one_in(texts: list[str]) -> Callable[[str, str], str]:
    """Of a judge that knows these texts of the author, as prose."""
    known = [" ".join(prose(text)) for text in texts]
    return lambda first, _: "first" if any(" ".join(first.split()) in text for text in known) else "second"


def the_other(pick: Callable[[str, str], str]) -> Callable[[str, str], str]:
    return lambda first, second: "second" if pick(first, second) == "first" else "first"


@dataclass
class JudgingServer(ChatServer):
    """The chat server, which answers a question about a pair by `pick`, and a request for grades with `grades`."""

    pick: Callable[[str, str], str] = always_first
    grades: tuple[int, int] = (2, 3)
    malformed: int = 0
    """Attempts at each question that are answered with something else than what was asked for."""
    goes_after: int | None = None
    """Requests after which it says "not now" for good."""

    async def _answer(self, writer: asyncio.StreamWriter, path: str, body: dict[str, Any], fault: str | None) -> None:
        answering = copy.copy(self)  # several are answered at once
        answering.words = (self._said(body),)
        if self.goes_after is not None and len(self.requests) > self.goes_after:
            fault = "503"
        await ChatServer._answer(answering, writer, path, body, fault)

    def _said(self, body: dict[str, Any]) -> str:
        pair = dict(_TEXT.findall(body["messages"][1]["content"]))
        if body["seed"] < self.malformed:
            return '{"author": "the first, I think"}' if pair else "Two out of three."
        if pair:
            return json.dumps({"author": self.pick(pair["first"], pair["second"])})
        return json.dumps(dict(zip(("accuracy", "style"), self.grades, strict=True)))

    def asked(self, part: str) -> list[str]:
        """What was asked, of the questions with this in them."""
        said = [body["messages"][1]["content"] for body in self.requests]
        return [one for one in said if part in one]
