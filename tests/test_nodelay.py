"""No server of ours lets an answer on a connection that stays open wait for the client's acknowledgement."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from tutelage.feedback.embedded import app
from tutelage.feedback.server.listening import listener_on
from tutelage.training.prediction.serving.serve import listen


async def delays(listening: socket.socket) -> bool:
    """Whether Nagle's algorithm is on for a connection that asyncio, as uvicorn does, accepts on this socket."""
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connection = transport.get_extra_info("socket")
            accepted.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    async with await asyncio.get_running_loop().create_server(Protocol, sock=listening):
        _, writer = await asyncio.open_connection(*listening.getsockname())
        nodelay = await accepted
        writer.close()
        await writer.wait_closed()
    return not nodelay


def inherited() -> socket.socket:
    """As the embedded Argilla gets it from the process that starts it."""
    return app._listener(listener_on("127.0.0.1", 0).detach(), None)


@pytest.mark.parametrize(
    "listener",
    [
        lambda: listen("127.0.0.1", 0),
        lambda: listener_on("127.0.0.1", 0),
        lambda: app._listener(None, 0),
        inherited,
    ],
    ids=["serve-student", "up", "embedded by itself", "embedded"],
)
def test_answers_are_sent_at_once(listener: Callable[[], socket.socket]) -> None:
    assert not asyncio.run(delays(listener()))
