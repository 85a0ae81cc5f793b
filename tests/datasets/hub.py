"""A server on loopback that speaks as much of the Hugging Face Hub's protocol as a push of a dataset needs.

It behaves as the Hub documents: files under `lfs_above` bytes come in the commit, larger ones by Git LFS with their
SHA-256 checked; a repository that is there answers 409; a wrong token 401.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hub token of a test"


@dataclass
class Hub:
    """What is there, and what was asked."""

    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> {"private": bool, "files": {path: bytes}, "commits": [message]}."""
    lfs_above: int = 10_000_000
    requests: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    broken: int = 0
    """Answer every commit with this status."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self, b"")

            def do_POST(self) -> None:
                hub.answer(self, self.rfile.read(int(self.headers.get("content-length") or 0)))

            def do_PUT(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        path = request.path.partition("?")[0]
        self.requests.append(f"{request.command} {path}")
        authorised = request.headers.get("authorization") == f"Bearer {TOKEN}" or path.startswith("/lfs/")
        status, found = self._route(request.command, path, body) if authorised else (401, {"error": "Invalid token"})
        content = json.dumps(found).encode()
        request.send_response(status)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _route(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path.startswith("/lfs/"):
            content_hash = hashlib.sha256(body).hexdigest()
            if content_hash != parts[1]:
                return 400, {"error": "not that content"}
            self.objects[content_hash] = body
            return 200, {}
        if path.endswith("/info/lfs/objects/batch"):
            wanted = json.loads(body)["objects"]
            upload = [{**one, "actions": {"upload": {"href": f"{self.url}/lfs/{one['oid']}"}}} for one in wanted]
            return 200, {"transfer": "basic", "objects": upload}
        name = "/".join(parts[2:4])
        there = self.repositories.get(name)
        if parts[:2] != ["api", "datasets"] or there is None:
            return 404, {"error": "Repository not found"}
        if method == "GET":
            return 200, {"id": name, "private": there["private"], "sha": "0" * 40, "tags": [], "siblings": []}
        if parts[4] == "preupload":
            files = json.loads(body)["files"]
            modes = [("lfs" if one["size"] > self.lfs_above else "regular") for one in files]
            return 200, {
                "files": [
                    {"path": one["path"], "uploadMode": mode, "shouldIgnore": False}
                    for one, mode in zip(files, modes, strict=True)
                ]
            }
        return self._commit(there, name, body)

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = f"{asked.get('organization') or 'somebody'}/{asked['name']}"
        assert asked["type"] == "dataset"
        if name in self.repositories:
            return 409, {"error": "You already created this dataset repo", "url": f"{self.url}/datasets/{name}"}
        self.repositories[name] = {"private": asked.get("visibility") == "private", "files": {}, "commits": []}
        return 200, {"url": f"{self.url}/datasets/{name}", "name": name}

    def _commit(self, there: dict[str, Any], name: str, body: bytes) -> tuple[int, Any]:
        if self.broken:
            return self.broken, {"error": "broken"}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                there["commits"].append(value["summary"])
            elif line["key"] == "file":
                there["files"][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                there["files"][value["path"]] = self.objects[value["oid"]]
        return 200, {
            "commitUrl": f"{self.url}/datasets/{name}/commit/{'1' * 40}",
            "commitOid": "1" * 40,
            "success": True,
        }
