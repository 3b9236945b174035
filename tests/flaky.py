"""A real HTTP proxy on loopback that lets chosen requests fail on their way to the real server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

import httpx

# A status to answer with, a body to answer 200 with, or the connection dropped before or after the server acted.
Fault = int | bytes | Literal["before", "after"] | None
Faults = Callable[[int, str, str], Fault]

_NOT_PASSED_ON = {"connection", "transfer-encoding", "content-encoding", "content-length", "host", "date", "server"}


class Proxy:
    """Passes requests on; ``faults`` gets each request's number from 0, method and path."""

    def __init__(self, upstream: str, faults: Faults = lambda *_: None) -> None:
        self.faults = faults
        self.seen: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.http = httpx.Client(base_url=upstream, trust_env=False, timeout=60)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.http.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.proxy.lock:
            number = len(self.proxy.seen)
            self.proxy.seen.append((self.command, self.path))
        fault = self.proxy.faults(number, self.command, self.path)
        if fault == "before":
            self.close_connection = True
        elif isinstance(fault, int):
            self._answer(fault, {"Content-Type": "text/plain"}, b"out of order")
        elif isinstance(fault, bytes):
            self._answer(200, {"Content-Type": "application/json"}, fault)
        else:
            self._pass_on(body, drop=fault == "after")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815  # the base class calls them so

    def _pass_on(self, body: bytes, *, drop: bool) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED_ON}
        answer = self.proxy.http.request(self.command, self.path, headers=headers, content=body)
        if drop:
            self.close_connection = True
        else:
            self._answer(answer.status_code, dict(answer.headers), answer.content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _NOT_PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def once(number: int, fault: Fault) -> Faults:
    """This one request fails."""
    return lambda n, *_: fault if n == number else None


def since(number: int, fault: Fault) -> Faults:
    """This request and all after it fail."""
    return lambda n, *_: fault if n >= number else None
