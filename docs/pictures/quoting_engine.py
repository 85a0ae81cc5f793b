"""A language model's place, taken for pictures: answers with sentences of the passages in the prompt, labelled.

`python docs/pictures/quoting_engine.py PORT`, then `TWIN_LLM_URL=http://127.0.0.1:PORT TWIN_LLM_ENGINE=openai
TWIN_LLM_MODEL=quoting twin up`. It writes nothing of its own: what a picture shows is the author's, and how the page looks
with a model that is worth its name. The stand-in's words mean nothing, and would only distract.
"""

from __future__ import annotations

import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from twin_core.prompts.quoting import quoted

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
PASSAGES, SENTENCES, FEWEST_WORDS = 3, 2, 7
PAUSE = 0.01
"""Seconds between two words."""


def answer(prompt: str) -> str:
    """A paragraph for each of the first passages: its first whole sentences, and its label."""
    paragraphs = []
    for label, passage in enumerate(quoted(prompt)[:PASSAGES], 1):
        prose = " ".join(line for line in passage.splitlines() if not line.startswith(("#", "-", "|", "`", ">", " ")))
        whole = [one for one in SENTENCE.split(prose) if len(one.split()) >= FEWEST_WORDS and one.endswith((".", "?"))]
        if whole:
            paragraphs.append(f"{' '.join(whole[:SENTENCES])} [{label}]")
    return "\n\n".join(paragraphs) or "I have not written about that."


class Handler(BaseHTTPRequestHandler):
    """As much of OpenAI's chat interface as the twin's client asks for."""

    def do_GET(self) -> None:
        self._whole({"object": "list", "data": [{"id": "quoting", "object": "model"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = next(turn["content"] for turn in reversed(asked["messages"]) if turn["role"] == "user")
        text = answer(prompt)
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4, "total_tokens": 0}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": text}
            self._whole({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for word in re.findall(r"\S+\s*", text):
            self._event({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
            time.sleep(PAUSE)
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        pass

    def _event(self, said: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps({"object": "chat.completion.chunk", **said}).encode() + b"\n\n")
        self.wfile.flush()

    def _whole(self, said: dict[str, Any]) -> None:
        content = json.dumps({"object": "chat.completion", **said}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
