"""What is on the wire of `/v1/chat/completions`: one event or body in, plain pieces out. No I/O.

The engines agree on the shape and differ at its edges; each difference that is handled here names its engine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass


class Reported(Exception):
    """The server says, in the place of an answer, that something is wrong."""


class Malformed(Exception):
    """Not JSON, or not the documented shape."""


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer; empty for a role, for reasoning that is not shown, and for the like."""

    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Why the model stopped."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens, as the engine counted them."""

    prompt_tokens: int
    completion_tokens: int


def parse_event(data: str) -> list[Text | Finish | Usage]:
    """The pieces of one `data:` of the stream, in order. Raises Reported or Malformed."""
    chunk = _object(data)
    pieces: list[Text | Finish | Usage] = []
    choice = _first_choice(chunk)
    if choice is not None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            content = delta.get("content")
            if isinstance(content, str):
                if content or "role" not in delta:
                    pieces.append(Text(content))
            elif "reasoning_content" in delta or "reasoning" in delta:  # vLLM, transformers: thinking is a sign of life
                pieces.append(Text(""))
        reason = choice.get("finish_reason")
        if isinstance(reason, str):
            pieces.append(Finish(reason))
    usage = _usage(chunk)
    if usage is not None:
        pieces.append(usage)
    return pieces


def parse_body(text: str) -> tuple[str, str, Usage | None]:
    """Answer, finish reason and usage of a whole (not streamed) response. Raises Reported or Malformed."""
    body = _object(text)
    choice = _first_choice(body)
    message = choice.get("message") if choice else None
    content = message.get("content") if isinstance(message, dict) else None
    if choice is None or not isinstance(content, str):
        raise Malformed("no message in the answer")
    reason = choice.get("finish_reason")
    return content, reason if isinstance(reason, str) else "stop", _usage(body)


def _object(data: str) -> dict[str, object]:
    try:
        found = json.loads(data)
    except ValueError as error:
        if data.lstrip().startswith('{"error"'):  # transformers does not escape the message that it puts in quotes
            raise Reported(shortened(data)) from error
        raise Malformed(f"not JSON: {shortened(data)!r}") from error
    if not isinstance(found, dict):
        raise Malformed(f"not an object: {shortened(data)!r}")
    if problem := problem_of(found):
        raise Reported(problem)
    if "choices" not in found:
        raise Malformed(f"no choices: {shortened(data)!r}")
    return found


def problem_of(found: dict[str, object]) -> str | None:
    """What an object says is wrong, in the shape of any engine; None when it says nothing of the kind."""
    error = found.get("error")
    if isinstance(error, str):  # TGI: {"error": "...", "error_type": "..."}
        kind = found.get("error_type")
        return shortened(f"{error} ({kind})" if isinstance(kind, str) else error)
    if isinstance(error, dict):  # vLLM, OpenAI: {"error": {"message": "...", "type": "...", "code": 400}}
        return shortened(str(error.get("message") or error))
    if found.get("object") == "error":  # vLLM before 0.10: the error object itself
        return shortened(str(found.get("message") or found))
    if "choices" not in found and "detail" in found:  # transformers (FastAPI)
        return shortened(str(found["detail"]))
    return None


def _first_choice(found: dict[str, object]) -> dict[str, object] | None:
    choices = found.get("choices")
    if not isinstance(choices, list):
        raise Malformed("`choices` is no list")
    if not choices:  # the event that carries only the usage
        return None
    if not isinstance(choices[0], dict):
        raise Malformed("a choice is no object")
    return choices[0]


def _usage(found: dict[str, object]) -> Usage | None:
    usage = found.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    return Usage(prompt_tokens=prompt, completion_tokens=completion)


def shortened(text: str) -> str:
    """A text as part of a sentence: one line, its beginning."""
    return " ".join(text.split())[:300].rstrip(".")
