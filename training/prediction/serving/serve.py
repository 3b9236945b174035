"""``serve-student``: HTTP that answers like the Hub's text-classification pipeline.

uvicorn and starlette handle HTTP: chunked requests, slow clients and keep-alive; this file adds limits
and dynamic batches.

    POST /        {"inputs": "text" or ["text", ...], "parameters": {"top_k": 2}}
                  [[{"label": ..., "score": ...}, ...], ...]   a list for each text, the best first
    GET  /health  {"status": "ok", "student": ..., "engine": ..., "labels": [...]}
    otherwise     {"error": "..."} with status 400, 404, 405, 413, 422, 500 or 503
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from tutelage.core.arrays import Floats
from tutelage.core.errors import StudentError
from tutelage.core.formats.strict_json import RepeatedKeyError, read_json
from tutelage.core.locks import in_use
from tutelage.core.workspace import Workspace
from tutelage.training.manifest import FILE
from tutelage.training.prediction.engines.selection import Say
from tutelage.training.prediction.serving.batching import BatchQueue, QueueFullError, ready_student
from tutelage.training.prediction.serving.following import Following, ServedStudent
from tutelage.training.registry import CHAMPION, champion_id, find_student


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """Limits of a request: bytes of the body, number of texts, characters per text."""

    body: int = 4_000_000
    texts: int = 256
    length: int = 100_000


@dataclass(frozen=True)
class ParsedRequest:
    """A valid request."""

    texts: list[str]
    top_k: int | None


class RequestError(Exception):
    """A request that is refused: HTTP status and reason."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


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

    Where no student is asked for by its id, a new champion takes over from the one that answers.

    Raises
    ------
    StudentError
        When what it needs is not installed, the address cannot be had, or there is no such student.
    """
    check_installed()
    with listen(*where) as listening:
        first = _served(workspace, student, engine, say)

        def load(name: str) -> ServedStudent:
            return _served(workspace, name, engine, say)

        def champion() -> str | None:
            return champion_id(workspace.students) if student in {"", CHAMPION} else None

        app = make_app(Following(first, champion, load, say), limits)
        ready(Address(url_of(listening), first.entry.id, first.chosen.name))
        del first  # it goes when another champion takes over
        serve(app, listening)


def _served(workspace: Workspace, student: str, engine: str, say: Say) -> ServedStudent:
    entry = find_student(workspace.students, student)
    with in_use(entry.path / FILE):
        chosen, classifier = ready_student(workspace, entry, engine, say)
    return ServedStudent(entry, chosen, BatchQueue(classifier))


def serve(app: Any, listening: socket.socket) -> None:
    """Serve on this socket until interrupted."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", server_header=False, timeout_keep_alive=30, limit_concurrency=1000
    )
    uvicorn.Server(config).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to this address that does not accept connections yet; port 0 picks a free one.

    Raises
    ------
    StudentError
        When the address is not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
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
    for name in ("uvicorn", "starlette"):
        if find_spec(name) is None:
            raise StudentError(f"{name} is not installed; install it with: pip install 'tutelage[serve]'")


def make_app(following: Following, limits: RequestLimits) -> Any:
    """The ASGI application."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def predict(request: Any) -> Any:
        try:
            parsed = parse_request(await _body(request, limits.body), limits)
            now = following.now
            probs = await now.batches.answer(parsed.texts)
        except RequestError as refused:
            return JSONResponse({"error": refused.why}, refused.status)
        except QueueFullError:
            return JSONResponse({"error": "overloaded; try again in a second"}, 503, {"Retry-After": "1"})
        return JSONResponse(ranked_labels(probs, now.entry.manifest.labels, parsed.top_k))

    async def health(_request: Any) -> Any:
        now = following.now
        about = {"status": "ok", "student": now.entry.id, "engine": now.chosen.name}
        return JSONResponse({**about, "labels": list(now.entry.manifest.labels)})

    async def failed(_request: Any, error: Exception) -> Any:
        status = getattr(error, "status_code", 500)
        return JSONResponse(
            {"error": getattr(error, "detail", "internal error: the student failed on this request")}, status
        )

    routes = [Route("/", predict, methods=["POST"]), Route("/health", health)]
    handlers = dict.fromkeys((404, 405, 500), failed)
    return Starlette(routes=routes, exception_handlers=handlers, lifespan=lambda _app: following.running())


async def _body(request: Any, most: int) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise RequestError(413, f"the body has more than {most} bytes; send fewer texts per request")
    return body


def parse_request(body: bytes, limits: RequestLimits) -> ParsedRequest:
    """Parse a request's body.

    Raises
    ------
    RequestError
        When it is not JSON (400), or not a valid request (422).
    """
    try:
        data = read_json(body)
    except RepeatedKeyError as error:
        raise RequestError(422, f"the body {error}; send it once") from None
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {error}") from None
    if not isinstance(data, dict) or "inputs" not in data:
        raise RequestError(422, 'expected {"inputs": "text"} or {"inputs": ["text", ...]}')
    return ParsedRequest(_texts(data["inputs"], limits), _top_k(data.get("parameters")))


def _texts(inputs: Any, limits: RequestLimits) -> list[str]:
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise RequestError(422, '"inputs" must be a text or a list of texts')
    if len(texts) > limits.texts:
        raise RequestError(422, f'"inputs" holds {len(texts)} texts; at most {limits.texts} per request')
    for number, text in enumerate(texts):
        if len(text) > limits.length:
            raise RequestError(422, f"text {number} has {len(text)} characters; at most {limits.length}")
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            raise RequestError(422, f"text {number} contains a lone surrogate")
    return texts


def _top_k(parameters: Any) -> int | None:
    if parameters is None:
        return None
    if not isinstance(parameters, dict):
        raise RequestError(422, '"parameters" must be an object')
    unknown = {name for name, value in parameters.items() if value is not None} - {"top_k", "function_to_apply"}
    if unknown:
        raise RequestError(422, f'"parameters" holds {", ".join(sorted(unknown))}; only top_k is supported')
    if parameters.get("function_to_apply") not in {None, "softmax"}:
        raise RequestError(422, '"function_to_apply" can only be softmax')
    top_k = parameters.get("top_k")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
        raise RequestError(422, '"top_k" must be an integer greater than 0')
    return top_k


def ranked_labels(probs: Floats, names: Sequence[str], top_k: int | None) -> list[list[dict[str, Any]]]:
    """The output of the pipeline: for each text its labels with scores, the best first."""
    best = (-probs).argsort(axis=1, kind="stable")[:, :top_k]
    return [
        [{"label": names[i], "score": float(row[i])} for i in order] for row, order in zip(probs, best, strict=True)
    ]
