"""Puts the parts together and serves."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import environment, jobs, server_log, stand_ins
from .lock import Lock

HOST = "127.0.0.1"
LOG = "server.log"
GRACE_SECONDS = 5  # for running requests, and again for running jobs, at shutdown


def serve_argilla(data_dir: Path, inherited: int | None, port: int | None) -> None:
    """Serve Argilla on `data_dir` until told to stop by SIGTERM or SIGINT."""
    listener = _listener(inherited, port)
    lock = Lock(data_dir / "server.lock")
    lock.take()
    lock.announce(_url(listener))
    credentials = json.loads((data_dir / "credentials.json").read_text(encoding="utf-8"))
    environment.configure(data_dir, credentials["auth_secret"])
    asyncio.run(_serve(data_dir, listener, credentials))
    lock.release()


def _already_handled(_number: int, _frame: Any) -> None:
    pass


def _listener(inherited: int | None, port: int | None) -> socket.socket:
    if inherited is not None:
        return socket.socket(fileno=inherited)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port or 0))
    return listener


def _url(listener: socket.socket) -> str:
    """The address by which programs on this machine reach it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": HOST, "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _serve(data_dir: Path, listener: socket.socket, credentials: dict[str, Any]) -> None:
    background, urgent = jobs.Queue(width=1), jobs.Queue(width=4)
    stand_ins.install_stand_ins(background, urgent)
    # Only now: Argilla's modules read the environment and start its app while they are imported.
    from . import database, pages, privacy, search, sign_in_limit, speed, users

    database.prepare()
    pages.keep_to_themselves(data_dir / environment.TEMPORARY)
    jobs.connect()
    search.register()
    speed.install_optimisations()
    privacy.keep_answers_apart()
    sign_in_limit.limit_sign_ins()
    await users.ensure_users(credentials)
    server = _web_server(sign_in_limit.knowing_addresses)
    server_log.keep_short(data_dir / LOG)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Uvicorn handles these while it serves, and raises them again afterwards.
        signal.signal(number, _already_handled)
    await server.serve(sockets=[listener])
    await asyncio.gather(background.finish(GRACE_SECONDS), urgent.finish(GRACE_SECONDS))
    database.close()


def _web_server(around: Callable[[Any], Any]) -> Any:
    import uvicorn
    from argilla_server import app

    logging.getLogger("uvicorn.access").addFilter(_is_error)
    return uvicorn.Server(
        uvicorn.Config(around(app), loop="asyncio", http="h11", ws="none", timeout_graceful_shutdown=GRACE_SECONDS)
    )


def _is_error(entry: logging.LogRecord) -> bool:
    """Log only requests that failed: people who annotate make thousands that do not."""
    status = entry.args[4] if isinstance(entry.args, tuple) and len(entry.args) > 4 else 500
    return isinstance(status, int) and status >= 400
