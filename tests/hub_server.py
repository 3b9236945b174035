"""The part of the Hub's HTTP interface that an upload needs, on loopback: repositories live in a dictionary."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

TOKEN = "hf_test"


@dataclass
class Hub:
    """What was created and uploaded: ``repos`` maps kind/owner/name to visibility and files."""

    url: str = ""
    repos: dict[str, dict[str, Any]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    cards: list[str] = field(default_factory=list)


@contextmanager
def running() -> Iterator[Hub]:
    """A hub on a free port."""
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _send(self, status: int, data: Any, **headers: str) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self) -> None:  # the name that http.server calls
        self._send(404, {"error": "not found"})

    def do_HEAD(self) -> None:
        self._send(404, {})

    def do_PUT(self) -> None:
        self.state.blobs[self.path.rpartition("/")[2]] = self._body()
        self._send(200, {})

    def do_POST(self) -> None:
        body, path = self._body(), unquote(self.path.partition("?")[0])
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, {"error": "Invalid username or password."})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self.state.cards.append(json.loads(body)["content"])
            self._send(200, {"errors": [], "warnings": []})
        elif "/preupload/" in path:
            self._send(200, {"files": [_mode(file) for file in json.loads(body)["files"]]})
        elif path.endswith("/info/lfs/objects/batch"):
            self._send(200, self._batch(json.loads(body)))
        elif "/commit/" in path:
            self._commit(path, body)
        else:
            self._send(404, {"error": f"no {path}"})

    def _create(self, asked: dict[str, Any]) -> None:
        key = f"{asked.get('type', 'model')}s/{asked['organization']}/{asked['name']}"
        url = f"{self.state.url}/{'datasets/' if key.startswith('datasets') else ''}{key.partition('/')[2]}"
        if key in self.state.repos:
            self._send(409, {"error": "exists", "url": url})
            return
        self.state.repos[key] = {"visibility": asked.get("visibility"), "files": {}, "url": url}
        self._send(200, {"url": url})

    def _batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        href = f"{self.state.url}/lfs/"
        objects = [{**o, "actions": {"upload": {"href": href + o["oid"]}}} for o in asked["objects"]]
        return {"transfer": "basic", "objects": objects}

    def _commit(self, path: str, body: bytes) -> None:
        repo = self.state.repos[path.removeprefix("/api/").partition("/commit/")[0]]
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repo["files"][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repo["files"][value["path"]] = self.state.blobs[value["oid"]]
        url = f"{repo['url']}/commit/{'0' * 40}"
        self._send(200, {"success": True, "commitOid": "0" * 40, "commitUrl": url})


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    is_large = file["path"].endswith((".safetensors", ".npz", ".parquet"))
    return {"path": file["path"], "uploadMode": "lfs" if is_large else "regular", "shouldIgnore": False}
