"""Asking one teacher: patience with its endpoint, its limits, its price."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from tutelage.core.errors import TeacherError
from tutelage.core.teachers import Price, Teacher
from tutelage.loaders.models.budget import Budget, cost_of
from tutelage.loaders.models.model import Busy, Model, Reply, Request
from tutelage.loaders.models.rate_limit import RateLimiter

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0  # seconds
_WAIT = "429"
_NOT_OVERLOADED = {"garbage", "empty choices"}  # the endpoint has answered, if badly
_UNREACHABLE = 3  # attempts that cannot connect, before any answer
_PATIENCE = 300.0  # seconds without one answer
_BYTES_PER_TOKEN = 4
_TEMPLATE_TOKENS = 50


class Unanswered(Exception):  # noqa: N818 - counted, and asked again by the next run
    """All attempts failed; the next run asks again."""


class CallResult(NamedTuple):
    """A reply, its cost in US dollars, the latency of the attempt that brought it, in seconds, and its number."""

    reply: Reply
    cost: float | None
    latency: float
    attempts: int


@dataclass
class RetryingModel:
    """Asks one teacher's model; made inside the running event loop. ``troubles`` counts what went wrong by kind."""

    teacher: Teacher
    model: Model
    gate: RateLimiter
    budget: Budget
    price: Price | None
    troubles: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._met = False  # one call goes first and finds out whether there is any use in more
        self._meeting = asyncio.Lock()
        self._failing_since: float | None = None

    async def ask(self, request: Request) -> CallResult:
        """The model's reply.

        Raises
        ------
        TeacherError
            When the teacher cannot be asked at all.
        Refused
            When this text gets no answer from it.
        Unanswered
            When all attempts failed.
        BudgetReached
            Before a call that could exceed the budget.
        """
        if not self._met:
            async with self._meeting:
                if not self._met:
                    heard = await self._ask_patiently(request)
                    self._met = True
                    return heard
        return await self._ask_patiently(request)

    async def _ask_patiently(self, request: Request) -> CallResult:
        tries = failures = 0
        while failures < self.teacher.limits.attempts:
            tries += 1
            try:
                return await self._attempt(request, tries)
            except Busy as busy:
                self._bear(busy, tries)
                failures += busy.kind != _WAIT  # to be told to wait is no failure
                pause = _pause(tries) if busy.after is None else busy.after
            await asyncio.sleep(pause)
        raise Unanswered(f"{self.teacher.name}: no answer in {tries} attempts")

    async def _attempt(self, request: Request, attempt: int) -> CallResult:
        worst, charge = self._worst(request), 0.0
        await self.budget.reserve(worst)
        try:
            heard = await self._call(request, attempt)
            charge = worst if heard.cost is None else heard.cost
            return heard
        except Busy as busy:
            if busy.lost:
                self.budget.lose(worst)
            raise
        finally:
            self.budget.settle(worst, charge)

    async def _call(self, request: Request, attempt: int) -> CallResult:
        expected = expected_tokens(request)
        async with self.gate.slot(expected):
            began = time.monotonic()
            reply = await self.model.answer(request)
            latency = time.monotonic() - began
        self._failing_since = None
        taken = expected if reply.tokens_in is None else reply.tokens_in + (reply.tokens_out or 0)
        self.gate.answered(latency, expected=expected, tokens=taken)
        return CallResult(reply, cost_of(self.price, reply.tokens_in, reply.tokens_out), latency, attempt)

    def _bear(self, busy: Busy, attempt: int) -> None:
        self.troubles[busy.kind] += 1
        if busy.kind not in _NOT_OVERLOADED:
            self.gate.troubled(after=busy.after)
        if not self._met and busy.kind == "no connection" and attempt >= _UNREACHABLE:
            raise TeacherError(
                f"teacher {self.teacher.name!r}: nothing answers at {self.teacher.base_url};"
                " start it or correct base_url"
            ) from None
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since > max(_PATIENCE, 3 * self.teacher.limits.timeout):
            raise TeacherError(
                f"teacher {self.teacher.name!r}: no answer from {self.teacher.base_url} for minutes"
                f" (last: {busy.kind}); what arrived is kept, run it again later"
            ) from None

    def _worst(self, request: Request) -> float:
        """The most that a call can cost: no token is shorter than a byte, no answer longer than ``max_tokens``."""
        tokens_in = len(request.prompt.encode()) + _TEMPLATE_TOKENS
        return cost_of(self.price, tokens_in, int(request.parameters.get("max_tokens", 0))) or 0.0


def expected_tokens(request: Request) -> int:
    """A guess at what a call takes from a tokens-a-minute limit; corrected when the answer tells."""
    return len(request.prompt) // _BYTES_PER_TOKEN + int(request.parameters.get("max_tokens", 0)) // 4


def _pause(attempt: int) -> float:
    """Seconds until the next attempt: exponential backoff with full jitter."""
    return random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))
