"""Concurrency and rate of calls: the task's limits, and adaptation to what the endpoint can handle.

Concurrency rises while answers arrive and falls when the endpoint is overloaded (429, 5xx,
timeouts) or when latency has risen without a gain in throughput. It is adjusted once per window of
about as many calls as may run concurrently, so that a few failed calls change nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from statistics import median

from tutelage.core.teachers import RateLimits

_FIRST = 16
_FAILURES = 0.2  # share of a window's calls
_OVERLOAD = 0.5
_SLOWER = 2.0  # times the best window's median latency
_SHORTEST_WINDOW = 8
_INSTANT = 1e-6  # seconds
_LONGEST_REST = 60.0  # seconds


class RateLimiter:
    """Admits calls; one per teacher, created inside the running event loop."""

    def __init__(self, limits: RateLimits) -> None:
        self._most = limits.concurrency
        self.concurrency = float(min(_FIRST, self._most))
        self._doubling = True
        self._active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._requests = _Rate(limits.rpm)
        self._tokens = _Rate(limits.tpm)
        self._closed_until = 0.0
        self._turn = asyncio.Lock()
        self._window = _Window()
        self._best_latency = self._best_rate = 0.0

    @asynccontextmanager
    async def slot(self, tokens: Callable[[], int]) -> AsyncIterator[int]:
        """A slot for one call; ``tokens`` gives the number it is expected to use, which is yielded."""
        await self._place()
        try:
            yield await self._pace(tokens)
        finally:
            self._active -= 1
            self._wake()

    async def _place(self) -> None:
        if self._active < int(self.concurrency) and not self._waiting:
            self._active += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the slot was granted, and its caller is gone
                self._active -= 1
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting and self._active < int(self.concurrency):
            turn = self._waiting.popleft()
            if not turn.done():
                self._active += 1
                turn.set_result(None)

    async def _pace(self, tokens: Callable[[], int]) -> int:
        """Wait for the turn, one call after the other: what answers teach meanwhile holds for all that still wait."""
        clock = asyncio.get_running_loop().time
        async with self._turn:
            while (wait := self._opens() - clock()) > _INSTANT:  # noqa: ASYNC110 - time is waited for, no event
                await asyncio.sleep(wait)
            self._requests.take(1, clock())
            self._tokens.take(expected := tokens(), clock())
        return expected

    def _opens(self) -> float:
        return max(self._closed_until, self._requests.next, self._tokens.next)

    def answered(self, latency: float, *, expected: int, tokens: int) -> None:
        """Record an answer: its latency in seconds, the expected and the actual number of tokens."""
        self._tokens.correct(tokens - expected)
        self._window.latencies.append(latency)
        self._adjust()

    def rest(self, seconds: float) -> None:
        """Start no call for so many seconds, because the endpoint says that its limit is used up."""
        self._closed_until = max(self._closed_until, asyncio.get_running_loop().time() + min(seconds, _LONGEST_REST))

    def failed(self, *, after: float | None = None) -> None:
        """Record a call that failed by overload, and the seconds that the endpoint asks to wait."""
        window = self._window
        window.failures += 1
        if after and window.failures > _OVERLOAD * max(window.calls, _SHORTEST_WINDOW):
            self._closed_until = max(self._closed_until, asyncio.get_running_loop().time() + after)
        self._adjust()

    def _adjust(self) -> None:
        window = self._window
        if window.calls < max(self.concurrency, _SHORTEST_WINDOW):
            return
        share, rate = window.failures / window.calls, window.rate()
        if share > _FAILURES:
            self._slow_down(0.5 if share > _OVERLOAD else 0.7)
        elif self._is_saturated(rate):
            self._slow_down(0.8)
        else:
            self._speed_up()
        self._best_rate = max(self._best_rate * 0.98, rate)
        self._window = _Window()
        self._wake()

    def _is_saturated(self, rate: float) -> bool:
        """Whether latency has risen without a gain in throughput."""
        latency = median(self._window.latencies)
        self._best_latency = min(self._best_latency * 1.02 or latency, latency)
        return latency > _SLOWER * self._best_latency and rate < 1.05 * self._best_rate

    def _slow_down(self, factor: float) -> None:
        self._doubling = False
        self.concurrency = max(1.0, self.concurrency * factor)

    def _speed_up(self) -> None:
        step = self.concurrency if self._doubling else max(1.0, self.concurrency / 4)
        self.concurrency = min(float(self._most), self.concurrency + step)


class _Window:
    """The calls since concurrency was last adjusted."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.failures = 0
        self._since = asyncio.get_running_loop().time()

    @property
    def calls(self) -> int:
        return len(self.latencies) + self.failures

    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / max(asyncio.get_running_loop().time() - self._since, 1e-3)


class _Rate:
    """An even rate per minute: the generic cell rate algorithm (ITU-T I.371) without an initial burst."""

    _CATCH_UP = 0.05  # seconds of delay that may be made up for

    def __init__(self, per_minute: float | None) -> None:
        self._seconds_each = 60 / per_minute if per_minute else 0.0
        self.next = 0.0
        """The time, on the event loop's clock, from which more may start."""

    def take(self, amount: float, now: float) -> None:
        """Take ``amount``, which starts ``now``."""
        if self._seconds_each:
            self.next = max(self.next, now - self._CATCH_UP) + amount * self._seconds_each

    def correct(self, amount: float) -> None:
        """Correct the amount taken, by the difference to what was expected."""
        self.next += amount * self._seconds_each
