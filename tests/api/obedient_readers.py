"""Language models that obey, as HTTP servers: one everything outside a quotation, one everything it can read.

No real model is as easily led as the second, and none can tell data from orders better than by where it stands: what
holds against these two holds by construction, not by a model's good behaviour.
"""

from __future__ import annotations

import json
import re
import threading
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Message = Mapping[str, str]

_TOKEN = re.compile(r"ORCHID-\d\d")
_QUOTED = re.compile(r"<\s*passage-(\w+)\s*>.*?<\s*/\s*passage-\1\s*>", re.IGNORECASE | re.DOTALL)
# How each family writes a conversation down. Whatever reads it back sees control tokens, wherever they came from.
FAMILIES: dict[str, tuple[Callable[[Message], str], re.Pattern[str]]] = {
    "chatml": (
        lambda turn: f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n",
        re.compile(r"<\|im_(?:start|end)\|>"),
    ),
    "llama3": (
        lambda turn: f"<|start_header_id|>{turn['role']}<|end_header_id|>\n\n{turn['content']}<|eot_id|>",
        re.compile(r"<\|(?:start_header_id|end_header_id|eot_id|begin_of_text|end_of_text)\|>"),
    ),
    "mistral": (
        lambda turn: f"[INST] {turn['content']} [/INST]" if turn["role"] != "assistant" else f"{turn['content']}</s>",
        re.compile(r"\[/?INST\]|</?s>|\[/?TOOL_CALLS\]|\[/?AVAILABLE_TOOLS\]"),
    ),
    "gemma": (
        lambda turn: f"<start_of_turn>{turn['role']}\n{turn['content']}<end_of_turn>\n",
        re.compile(r"<(?:start_of_turn|end_of_turn|bos|eos)>"),
    ),
    "deepseek": (
        lambda turn: f"<｜{turn['role'].title()}｜>{turn['content']}<｜end▁of▁sentence｜>",
        re.compile(r"<｜[^｜]{1,40}｜>"),
    ),
}


def orders_outside_quotations(messages: Sequence[Message]) -> list[str]:
    """The orders that stand outside every quotation, in the eyes of some family of models.

    The conversation is written down as the family does and cut at its control tokens; in each piece, what lies between
    the delimiters of a quotation is taken away, whichever way a lenient reader could take a delimiter.
    """
    found: set[str] = set()
    for write, control in FAMILIES.values():
        for turn in control.split("".join(write(one) for one in messages)):
            # Full-width brackets and invisible characters are what a tokenizer may see as the plain ones.
            folded = unicodedata.normalize("NFKC", turn)
            visible = "".join(one for one in folded if unicodedata.category(one) != "Cf")
            found |= set(_TOKEN.findall(_QUOTED.sub(" ", visible)))
    return sorted(found)


def orders_anywhere(messages: Sequence[Message]) -> list[str]:
    """Every order in the prompt, quoted or not."""
    return sorted(set(_TOKEN.findall("".join(turn["content"] for turn in messages))))


def strict(messages: Sequence[Message]) -> str:
    """Says what stands outside quotations, and else answers with a citation."""
    return " ".join(orders_outside_quotations(messages)) or "It is in my notes [1]."


def gullible(messages: Sequence[Message]) -> str:
    """Follows every order and says everything it was given."""
    said = "\n\n".join(turn["content"] for turn in messages)
    return f"{' '.join(orders_anywhere(messages))}\n\n{said}\n\n[1] [2] [77]"


@dataclass
class Reader:
    """A chat server on loopback that answers what `mind` makes of the prompt, and keeps what it was sent."""

    mind: Callable[[Sequence[Message]], str] = strict
    bodies: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""


@contextmanager
def served() -> Iterator[Reader]:
    """Such a server, in vLLM's shape, for as long as the block runs."""
    reader = Reader()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(b'{"status": "ok"}', "application/json")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reader.bodies.append(body)
            answer = reader.mind(body["messages"])
            pieces = [{"choices": [{"index": 0, "delta": {"content": answer}, "finish_reason": None}]}]
            pieces.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            events = "".join(f"data: {json.dumps({'id': 'c', 'model': 'reader', **one})}\n\n" for one in pieces)
            self._send(f"{events}data: [DONE]\n\n".encode(), "text/event-stream")

        def _send(self, body: bytes, media_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    reader.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield reader
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
