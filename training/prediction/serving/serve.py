"""``serve-student``: HTTP that answers like the Hub's text-classification pipeline.

uvicorn and starlette handle HTTP: chunked requests, slow clients and keep-alive; this wing adds limits,
dynamic batches, and what a server needs that others rely on.

    POST /         {"inputs": "text" or ["text", ...], "parameters": {"top_k": 2}}
                   [[{"label": ..., "score": ...}, ...], ...]   a list for each text, the best first
    GET  /health   {"status": "ok", "student": ..., "engine": ..., "labels": [...]}
    GET  /metrics  for Prometheus
    otherwise      {"error": "..."} with status 400, 403, 404, 405, 413, 415, 422, 500 or 503
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from tutelage.core.errors import StudentError
from tutelage.core.locks import in_use
from tutelage.core.workspace import Workspace
from tutelage.training.manifest import FILE
from tutelage.training.prediction.engines.selection import Say
from tutelage.training.prediction.serving.batching import BatchQueue, ready_student
from tutelage.training.prediction.serving.following import Following, ServedStudent
from tutelage.training.prediction.serving.http_app import make_app
from tutelage.training.prediction.serving.pipeline_request import RequestLimits
from tutelage.training.prediction.serving.prometheus import ServingMetrics
from tutelage.training.prediction.serving.stopping import Stopping, stopped_by_signals, web_server
from tutelage.training.registry import CHAMPION, champion_id, find_student


@dataclass(frozen=True)
class Address:
    """Where a student answers, and which one with which engine."""

    url: str
    student: str
    engine: str


def serve_student(
    workspace: Workspace,
    where: tuple[str, int],
    *,
    student: str = "",
    engine: str = "auto",
    limits: RequestLimits,
    say: Say,
    ready: Callable[[Address], None],
) -> None:
    """Answer on this host and port until interrupted; ``ready`` is called when clients may connect.

    Where no student is asked for by its id, a new champion takes over from the one that answers. SIGTERM and SIGINT
    end it once what was asked is answered.

    Raises
    ------
    StudentError
        When what it needs is not installed, the address cannot be had, or there is no such student.
    """
    check_installed()
    metrics, stopping = ServingMetrics(), Stopping()

    def load(name: str) -> ServedStudent:
        return _served(workspace, name, engine, say, metrics)

    def champion() -> str | None:
        return champion_id(workspace.students) if student in {"", CHAMPION} else None

    with listen(*where) as listening:
        following = Following(load(student), champion, load, say)
        server = web_server(make_app(following, limits, metrics, stopping, local=_is_local(listening)), stopping)
        with stopped_by_signals(server):
            ready(Address(url_of(listening), following.now.entry.id, following.now.chosen.name))
            server.run(sockets=[listening])


def _served(workspace: Workspace, student: str, engine: str, say: Say, metrics: ServingMetrics) -> ServedStudent:
    entry = find_student(workspace.students, student)
    with in_use(entry.path / FILE):
        chosen, classifier = ready_student(workspace, entry, engine, say)
    return ServedStudent(entry, chosen, BatchQueue(classifier, metrics.batch))


def _is_local(listening: socket.socket) -> bool:
    """Whether only this machine can connect."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to this address that does not accept connections yet; port 0 picks a free one.

    It names TCP as its protocol: asyncio turns off Nagle's delay only where it is named.

    Raises
    ------
    StudentError
        When the address is not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise StudentError(
            f"cannot listen on {host}:{port}: {error}; choose another address with --host and --port"
        ) from None
    return listening


def url_of(listening: socket.socket) -> str:
    """The URL of this socket; from now on clients can connect, and wait."""
    listening.listen()
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def check_installed() -> None:
    """Refuse early where the extra ``serve`` is not installed."""
    for name in ("uvicorn", "starlette", "prometheus_client"):
        if find_spec(name) is None:
            raise StudentError(f"{name} is not installed; install it with: pip install 'tutelage[serve]'")
