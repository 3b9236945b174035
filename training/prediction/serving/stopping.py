"""A server that is told to stop takes no new connection and answers what it was asked."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

LINGER_SECONDS = 1.0
"""How long open connections are still listened to: a request may be under way on them."""

GRACE_SECONDS = 20
"""How long requests are waited for after that."""

CONNECTIONS = 1000


@dataclass
class Stopping:
    """Whether the server was told to stop."""

    begun: bool = False

    def closing(self, app: Any) -> Any:
        """The ASGI application, whose answers end their connection once this has begun."""

        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            async def last(message: Any) -> None:
                if self.begun and message["type"] == "http.response.start":
                    message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
                await send(message)

            await app(scope, receive, last)

        return wrapped


def web_server(app: Any, stopping: Stopping) -> Any:
    """Uvicorn with this application; ``stopping`` begins as soon as it takes no new connection."""
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: Any = None) -> None:
            stopping.begun = True
            for server in self.servers:
                server.close()
            for _ in range(int(LINGER_SECONDS / 0.05)):
                if self.force_exit or not self.server_state.connections:
                    break
                await asyncio.sleep(0.05)
            await super().shutdown(sockets)

    return Server(
        uvicorn.Config(
            stopping.closing(app),
            log_level="warning",
            server_header=False,
            timeout_keep_alive=30,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


@contextmanager
def stopped_by_signals(server: Any) -> Iterator[None]:
    """SIGTERM and SIGINT stop this server and nothing else, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: Any) -> None:
        server.should_exit = True

    # uvicorn handles them while it serves, and raises them again afterwards.
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
