"""The chat server of the model tests, that knows adapters by name as vLLM and TGI do, and says which one answered."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps, loads
from pathlib import Path
from typing import Any


@dataclass
class LoraServer:
    """Loads what it is told to; refuses names that it does not know."""

    loaded: dict[str, str] = field(default_factory=dict)
    mute: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    says: dict[str, str] = field(default_factory=dict)
    """Model -> what it answers, in place of saying that it was this one."""
    env: Path | None = None
    """TGI's: names are read from here when it (re)starts."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(200, {})

            def do_POST(self) -> None:
                body = loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._say(*outer._answer(self.path, body))

            def _say(self, status: int, said: dict[str, Any]) -> None:
                content = dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if path == "/v1/load_lora_adapter":
            name, folder = body["lora_name"], body["lora_path"]
            if not (Path(folder) / "adapter_config.json").is_file():
                return 400, {"error": {"message": f"No adapter found for {folder}"}}
            if name in self.loaded:
                return 400, {"error": {"message": f"The lora adapter '{name}' has already been loaded."}}
            self.loaded[name] = folder
            return 200, {}
        if path == "/v1/unload_lora_adapter":
            if self.loaded.pop(body["lora_name"], None) is None:
                return 404, {"error": {"message": f"The lora adapter '{body['lora_name']}' cannot be found."}}
            return 200, {}
        model = body["model"]
        known = self.loaded
        if self.env is not None and self.env.is_file():
            known = dict(one.split("=") for one in self.env.read_text().strip().partition("=")[2].split(","))
        if model not in known and model != "base":
            return 404, {"error": {"message": f"The model `{model}` does not exist."}}
        self.asked.append(model)
        text = "" if model in self.mute else self.says.get(model, f"{model} says so [1].")
        message = {"role": "assistant", "content": text}
        return 200, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
