"""A teacher's endpoint on loopback that speaks OpenAI's protocol, replays answers and misbehaves as told.

A real HTTP/1.1 server on asyncio. What goes wrong is drawn for each request from a seed and the
request itself, so that it does not depend on the order in which requests come. In its own process:
``python tests/teacher_server.py ANSWERS.json FAULTS.json LOG``; it prints its port.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

Answer = Callable[[str, int, dict[str, Any]], str | bytes]  # bytes: the whole body
_TEXT = re.compile(r"<(text(?:-\d+)?)>\n(.*)\n</\1>", re.DOTALL)


class Failure(Exception):  # noqa: N818 - what an answer raises to send an error in its place
    """An error response: status, message, and header lines, each ended by CR LF."""

    def __init__(self, status: int, message: str, headers: str = "") -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


@dataclass(frozen=True)
class Behaviour:
    """Probabilities (0 to 1) of each fault per request, and what the endpoint takes. Times in seconds."""

    latency: float = 0.0
    spread: float = 0.5  # of the latency, to both sides
    too_many: float = 0.0
    retry_after: str = "0.05"  # seconds, or "date" for an HTTP date a second ahead, or "" for none
    error_500: float = 0.0
    error_504: float = 0.0
    hang: float = 0.0  # takes the request and never answers
    half: float = 0.0  # sends half of the body and never the rest
    drip: float = 0.0  # sends a byte now and then, for ever
    drop: float = 0.0  # closes the connection in place of an answer
    garbage: float = 0.0
    empty_choices: float = 0.0
    content_filter: float = 0.0
    filter_400: float = 0.0
    longest: int = 0  # characters of the prompt; longer ones overflow the context
    key: str = ""
    model: str = ""
    structured: str = "json_schema"  # or "json_object", "none" (refused), "ignored"
    form_error: str = "form"  # what a form that it does not take ends with; or "500"
    refuses: str = ""  # a parameter that is refused by name
    usage: bool = True
    headers: str = ""  # of answers, each line ended by CR LF
    most_at_once: int = 0
    quota_after: int = 0  # calls, then 429 insufficient_quota
    seed: int = 0


@dataclass
class Log:
    """What came in and what went out; ``busy`` is the seconds of service given, hung calls not counted."""

    calls: list[tuple[str, int, str]] = field(default_factory=list)  # text, attempt for the text, outcome
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    busy: float = 0.0
    most_active: int = 0
    starts: list[float] = field(default_factory=list)

    def answered(self) -> Counter[str]:
        """How often each text was answered."""
        return Counter(text for text, _, outcome in self.calls if outcome == "ok")


class Server:
    """The endpoint; ``answer`` gets a text, the number of its successful calls so far, and the request's body."""

    def __init__(self, answer: Answer, behaviour: Behaviour = Behaviour(), log_file: Path | None = None) -> None:
        self.answer, self.behaviour, self.log = answer, behaviour, Log()
        self._seen: Counter[str] = Counter()
        self._given: defaultdict[str, int] = defaultdict(int)
        self._active = 0
        self._log_file = log_file.open("a", buffering=1) if log_file else None
        self.keep_bodies = log_file is None

    async def start(self, port: int = 0) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Connection(self), "127.0.0.1", port)

    def serve(self, head: bytes, body: bytes, connection: _Connection) -> None:
        data = json.loads(body)
        self._active += 1
        self.log.most_active = max(self.log.most_active, self._active)
        self.log.starts.append(time.monotonic())
        if self.keep_bodies:
            self.log.bodies.append(data)
            self.log.headers.append(head.decode())
        text = text_of(data)
        self._seen[text] += 1
        outcome = self._outcome(head, data, text)
        draw = self._draw(text, "latency")
        latency = self.behaviour.latency * draw.uniform(1 - self.behaviour.spread, 1 + self.behaviour.spread)
        if outcome not in {"ok", "garbage", "empty_choices", "content_filter", "half", "drop", "500", "504"}:
            latency = 0.0
        self.log.busy += latency
        if latency:
            asyncio.get_running_loop().call_later(latency, self._send, text, outcome, data, connection)
        else:
            self._send(text, outcome, data, connection)

    def _draw(self, text: str, what: str) -> random.Random:
        seed = f"{self.behaviour.seed} {what} {self._seen[text]} {text}"
        return random.Random(hashlib.sha256(seed.encode()).digest())

    def _outcome(self, head: bytes, data: dict[str, Any], text: str) -> str:
        b, form = self.behaviour, data.get("response_format", {}).get("type", "")
        checks = {
            "401": b.key and f"bearer {b.key}".encode().lower() not in head.lower(),
            "404": b.model and data["model"] != b.model,
            "quota": b.quota_after and self.log.outcomes["ok"] >= b.quota_after,
            "overflow": b.longest and len(data["messages"][0]["content"]) > b.longest,
            "refused": b.refuses and b.refuses in data,
            b.form_error: form and b.structured not in {"ignored", form},
            "429": b.most_at_once and self._active > b.most_at_once,
        }
        return next((outcome for outcome, met in checks.items() if met), None) or self._fault(text)

    def _fault(self, text: str) -> str:
        b, draw = self.behaviour, self._draw(text, "fault").random()
        faults = {"429": b.too_many, "500": b.error_500, "504": b.error_504, "hang": b.hang, "half": b.half,
                  "drip": b.drip, "drop": b.drop,
                  "garbage": b.garbage, "empty_choices": b.empty_choices, "content_filter": b.content_filter,
                  "filter_400": b.filter_400}  # fmt: skip
        for name, probability in faults.items():
            draw -= probability
            if draw < 0:
                return name
        return "ok"

    def _send(self, text: str, outcome: str, data: dict[str, Any], connection: _Connection) -> None:
        self._active -= 1
        number = self._given[text]
        if outcome == "ok":
            self._given[text] += 1
        self.log.outcomes[outcome] += 1
        self.log.calls.append((text, self._seen[text], outcome))
        if self._log_file:
            self._log_file.write(json.dumps([text, number, outcome]) + "\n")
        if outcome == "hang":
            return
        if outcome == "drip":
            connection.drip()
            return
        if outcome == "drop":
            connection.transport.close()
            return
        status, body, headers = self._response(text, number, outcome, data)
        if outcome == "half":
            connection.send(status, body, headers, cut=len(body) // 2)
        else:
            connection.send(status, body, headers)

    def _response(self, text: str, number: int, outcome: str, data: dict[str, Any]) -> tuple[int, bytes, str]:
        if outcome in _ERRORS:
            status, message, code = _ERRORS[outcome]
            message = message.format(model=data.get("model"), refuses=self.behaviour.refuses)
            return (
                status,
                json.dumps({"error": {"message": message, "code": code}}).encode(),
                self._retry_after(outcome),
            )
        if outcome == "garbage":
            return 200, b"<html>upstream hiccup</html>", ""
        if outcome == "empty_choices":
            return 200, json.dumps({"id": "x", "object": "chat.completion", "choices": []}).encode(), ""
        try:
            content = "" if outcome == "content_filter" else self.answer(text, number, data)
        except Failure as failure:
            return failure.status, json.dumps({"error": {"message": str(failure)}}).encode(), failure.headers
        if isinstance(content, bytes):
            return 200, content, ""
        body = json.dumps(self._completion(content, outcome, data), ensure_ascii=False).encode()
        return 200, body, self.behaviour.headers

    def _completion(self, content: str, outcome: str, data: dict[str, Any]) -> dict[str, Any]:
        finish = "content_filter" if outcome == "content_filter" else "stop"
        message = {"role": "assistant", "content": content}
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "message": message}
        if data.get("logprobs"):
            choice["logprobs"] = {
                "content": [{"token": part, "logprob": -0.1} for part in re.findall(r"\W*\w+|\W+", content)]
            }
        completion = {"id": "x", "object": "chat.completion", "created": 1, "model": data["model"], "choices": [choice]}
        if self.behaviour.usage:
            completion["usage"] = {
                "prompt_tokens": len(data["messages"][0]["content"]) // 4,
                "completion_tokens": max(1, len(content) // 4),
            }
        return completion

    def _retry_after(self, outcome: str) -> str:
        wait = self.behaviour.retry_after
        if outcome != "429" or not wait:
            return ""
        if wait == "date":
            now, then = formatdate(time.time(), usegmt=True), formatdate(time.time() + 1, usegmt=True)
            return f"date: {now}\r\nretry-after: {then}\r\n"
        return f"retry-after: {wait}\r\n"


_ERRORS = {
    "401": (401, "Incorrect API key provided", "invalid_api_key"),
    "404": (404, "The model {model} does not exist", "model_not_found"),
    "429": (429, "Rate limit reached", "rate_limit_exceeded"),
    "quota": (429, "You exceeded your current quota", "insufficient_quota"),
    "500": (500, "Internal error", "internal_error"),
    "504": (504, "Upstream timed out", "gateway_timeout"),
    "overflow": (400, "This model's maximum context length is 8 tokens", "context_length_exceeded"),
    "filter_400": (400, "The response was filtered due to the content management policy", "content_filter"),
    "refused": (400, "Unsupported parameter: '{refuses}'", "unsupported_parameter"),
    "form": (400, "response_format of this type is not supported", "invalid_request"),
}  # fmt: skip
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests", 500: "Oops",
            504: "Gateway Timeout"}  # fmt: skip


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive: one request after the other."""

    def __init__(self, server: Server) -> None:
        self._server, self._buffer = server, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if separator:
            match = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            length = int(match.group(1)) if match else 0
            if len(rest) >= length:
                self._buffer = rest[length:]
                self._server.serve(head, rest[:length], self)

    def drip(self) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999999\r\n\r\n")
        self._drop()

    def _drop(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b" ")
            asyncio.get_running_loop().call_later(0.05, self._drop)

    def send(self, status: int, body: bytes, headers: str, cut: int | None = None) -> None:
        if self.transport.is_closing():
            return
        head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Oops')}\r\ncontent-type: application/json\r\n"
        self.transport.write(f"{head}{headers}content-length: {len(body)}\r\n\r\n".encode() + body[:cut])


def text_of(data: dict[str, Any]) -> str:
    """The text between the fences of a request's prompt."""
    prompt = data["messages"][0]["content"]
    matches = list(_TEXT.finditer(prompt))
    return matches[-1].group(2) if matches else prompt


@contextmanager
def running(answer: Answer, **behaviour: Any) -> Iterator[tuple[str, Server]]:
    """The endpoint in a thread of its own; yields its base URL and the server."""
    server, started, loop = Server(answer, Behaviour(**behaviour)), threading.Event(), asyncio.new_event_loop()
    ports: list[int] = []

    async def main() -> None:
        listening = await server.start()
        ports.append(listening.sockets[0].getsockname()[1])
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            listening.close()

    async def until_stopped() -> None:
        tasks.append(asyncio.current_task())
        with suppress(asyncio.CancelledError):
            await main()

    tasks: list[Any] = []
    thread = threading.Thread(target=lambda: loop.run_until_complete(until_stopped()), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield f"http://127.0.0.1:{ports[0]}/v1", server
    finally:
        loop.call_soon_threadsafe(tasks[0].cancel)
        thread.join(10)
        loop.close()


def replay(answers: dict[str, dict[str, list[str]]]) -> Answer:
    """Answers by text: lists for the kinds 'json' and 'words'; the n-th call gets the n-th, then it starts over.

    A request with ``seed`` gets the answer of that number: seed 1 is the first.
    """

    def answer(text: str, number: int, data: dict[str, Any]) -> str:
        kind = "json" if "JSON" in data["messages"][0]["content"] else "words"
        recorded = answers[text][kind]
        return recorded[(data["seed"] - 1 if "seed" in data else number) % len(recorded)]

    return answer


async def _main(answers: Path, behaviour: Path, log: str) -> None:
    recorded = json.loads(answers.read_text("utf-8"))
    server = Server(replay(recorded), Behaviour(**json.loads(behaviour.read_text("utf-8"))), Path(log) if log else None)
    server.keep_bodies = False
    listening = await server.start()
    print(listening.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)  # until the starter closes the pipe
    log = server.log
    did = {"outcomes": dict(log.outcomes), "busy": log.busy, "most_active": log.most_active}
    print(json.dumps(did), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""))
