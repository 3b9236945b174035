"""Calls to one teacher: retries, rate limits, and their cost."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tutelage.core.errors import TeacherError
from tutelage.core.teachers import Price, Teacher
from tutelage.loaders.models.budget import Budget, cost_of_reply, highest_cost
from tutelage.loaders.models.metering import TokenMeter, longest_answer
from tutelage.loaders.models.model import Busy, Model, Refused, Rejected, Reply, Request
from tutelage.loaders.models.rate_limit import RateLimiter

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0  # seconds
_RATE_LIMITED = "429"
_NOT_OVERLOADED = {"garbage", "empty choices"}  # the endpoint has answered, but malformed
_REJECTIONS = 2  # attempts for a text that is rejected while another is answered
_HARMLESS = "This is a test of the connection. Answer with one word."
_WORKS_FOR = 10.0  # seconds for which an answer about the harmless text is believed
_UNREACHABLE = 3  # failed connections, before any answer
_MAX_OUTAGE = 300.0  # seconds without an answer


KeepReply = Callable[[bytes, str, float], None]


def _not_kept(_body: bytes, _structured: str, _latency: float) -> None:
    pass


class Unanswered(Exception):  # noqa: N818 - counted, not fatal
    """All attempts failed; the next run asks again. ``why``: the last failure's kind, or the endpoint's words."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """A reply, its cost in US dollars, the latency of the successful attempt in seconds, and the number of attempts."""

    reply: Reply
    cost: float | None
    latency: float
    attempts: int


@dataclass(kw_only=True)
class RetryingModel:
    """Calls one teacher's model; created inside the running event loop. ``errors`` counts failed attempts by kind."""

    teacher: Teacher
    model: Model
    rate_limiter: RateLimiter
    budget: Budget
    price: Price | None
    errors: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._has_answered = False  # one call goes first, to see whether the endpoint works at all
        self._first_call = asyncio.Lock()
        self._useless = ""
        self._failing_since: float | None = None
        self._meter = TokenMeter()
        self._probing, self._works_until = asyncio.Lock(), 0.0

    async def ask(self, request: Request, keep: KeepReply = _not_kept) -> CallResult:
        """The model's reply; ``keep`` gets what came, the form asked for and the seconds it took, before it is read.

        Raises
        ------
        TeacherError
            When no call to the teacher can succeed.
        Refused
            When the model gives no answer to this text.
        Unanswered
            When all attempts failed.
        BudgetReached
            Before a call that could exceed the budget.
        """
        if not self._has_answered:
            async with self._first_call:
                if not self._has_answered:
                    result = await self._ask_first(request, keep)
                    self._has_answered = True
                    return result
        return await self._ask_with_retries(request, keep)

    async def _ask_first(self, request: Request, keep: KeepReply) -> CallResult:
        if self._useless:
            raise TeacherError(self._useless)
        try:
            return await self._ask_with_retries(request, keep)
        except TeacherError as error:
            self._useless = str(error)  # those that wait for this call ask nothing any more
            raise

    async def _ask_with_retries(self, request: Request, keep: KeepReply) -> CallResult:
        attempts = failures = 0
        why = ""
        while failures < self.teacher.limits.attempts:
            attempts += 1
            try:
                return await self._attempt(request, attempts, keep)
            except Busy as busy:
                self._handle_busy(busy, attempts)
                failures += busy.kind != _RATE_LIMITED  # being told to wait is not a failure
                pause, why = busy.after or _pause(attempts), busy.kind
            except Rejected as rejected:
                self.errors[rejected.kind] += 1
                await self._check_endpoint(request)
                failures += max(1, self.teacher.limits.attempts // _REJECTIONS)
                pause, why = 0.0, str(rejected)
            await asyncio.sleep(pause)
        raise Unanswered(f"{self.teacher.name}: no answer after {attempts} attempts", why)

    async def _check_endpoint(self, rejected: Request) -> None:
        """Ask about a harmless text, with all else as in a request that was rejected; one call for many of these.

        Raises
        ------
        TeacherError
            In the endpoint's words, when that is rejected too: it is not the text's fault.
        """
        async with self._probing:
            if time.monotonic() < self._works_until:
                return
            try:
                await self._attempt(replace(rejected, prompt=_HARMLESS), 1, _not_kept)
            except Rejected as error:
                raise TeacherError(f"{error}; all answers so far are kept, run it again when that is mended") from None
            except (Busy, Refused):
                return
            self._has_answered = True
            self._works_until = time.monotonic() + _WORKS_FOR

    async def _attempt(self, request: Request, attempt: int, keep: KeepReply) -> CallResult:
        most, cost = self._max_cost(request), 0.0
        await self.budget.reserve(most)
        try:
            result = await self._call(request, attempt, keep)
            cost = most if result.cost is None else result.cost
            return result
        except Busy as busy:
            if busy.lost:
                self.budget.lose(most)
            raise
        finally:
            self.budget.settle(most, cost)

    async def _call(self, request: Request, attempt: int, keep: KeepReply) -> CallResult:
        async with self.rate_limiter.slot(lambda: self._meter.expected(request)) as expected:
            began = time.monotonic()
            reply = await self.model.answer(request, lambda body, form: keep(body, form, time.monotonic() - began))
            latency = time.monotonic() - began
        self._failing_since = None
        if reply.rest:
            self.rate_limiter.rest(reply.rest)
        tokens = self._meter.record(request, reply)
        self.rate_limiter.answered(latency, expected=expected, tokens=expected if tokens is None else tokens)
        cost = cost_of_reply(self.price, reply)
        return CallResult(reply=reply, cost=cost, latency=latency, attempts=attempt)

    def _handle_busy(self, busy: Busy, attempt: int) -> None:
        self.errors[busy.kind] += 1
        if busy.kind not in _NOT_OVERLOADED:
            self.rate_limiter.failed(after=busy.after)
        if not self._has_answered and busy.kind == "no connection" and attempt >= _UNREACHABLE:
            raise TeacherError(
                f"teacher {self.teacher.name!r}: cannot connect to {self.teacher.base_url};"
                " start the endpoint or correct base_url"
            ) from None
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since > max(_MAX_OUTAGE, 3 * self.teacher.limits.timeout):
            raise TeacherError(
                f"teacher {self.teacher.name!r}: no answer from {self.teacher.base_url} for minutes"
                f" (last: {busy.kind}); all answers so far are kept, run it again later"
            ) from None

    def _max_cost(self, request: Request) -> float:
        """An upper bound of a call's cost: at least one byte per token, and the longest answer."""
        if self.budget.limit is not None and self._meter.too_long:
            raise TeacherError(
                f"teacher {self.teacher.name!r}: an answer took {self._meter.too_long} tokens where"
                f" {longest_answer(request.parameters)} were asked for at most, so that no budget can be kept;"
                " set max_tokens to what answers take, or run without --budget"
            )
        return highest_cost(self.price, *self._meter.most(request)) or 0.0


def _pause(attempt: int) -> float:
    """Seconds until the next attempt: exponential backoff with full jitter."""
    return random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))
