"""An event loop whose clock jumps to the next timer: what takes minutes is over at once, and exact."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.SelectSelector):
    """Never waits: the time that it should have waited is added to ``now`` (seconds)."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = _Jumping()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What ``work`` returns; nothing in it may wait for threads, processes or sockets."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work())
