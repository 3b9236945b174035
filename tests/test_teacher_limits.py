"""Limits of an endpoint and of a budget, against a real HTTP server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import virtual_time
from questions import PRICE, ask, teacher, vote
from teacher_server import running

from tutelage.core.teachers import RateLimits
from tutelage.loaders.models.budget import Budget, BudgetReached, cost_of
from tutelage.loaders.models.rate_limit import RateLimiter

# The pace, on a clock of its own: what a busy machine does to timers changes nothing


@dataclass
class Paced:
    """What the gate let an endpoint see: when calls started (s), how many ran at once, and what was refused."""

    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    most_active: int = 0
    refused: int = 0
    concurrency: float = 0.0


def pace(count: int, limits: dict[str, Any], latency: Callable[[int], float | None], *, tokens: int = 1) -> Paced:
    """Let ``count`` calls through a gate; ``latency`` (s) gets the calls under way, None is a refusal.

    A call is expected to take one token and takes ``tokens``; one that is refused asks again.
    """
    seen = Paced()

    async def call(gate: RateLimiter) -> None:
        while True:
            async with gate.slot(lambda: 1):
                active = len(seen.starts) - len(seen.ends) - seen.refused + 1
                seen.starts.append(now())
                seen.most_active = max(seen.most_active, active)
                took = latency(active)
                if took is not None:
                    await asyncio.sleep(took)
                    seen.ends.append(now())
                    return gate.answered(took, expected=1, tokens=tokens)
                seen.refused += 1
                gate.failed()
            await asyncio.sleep(0.1)

    async def work() -> None:
        gate = RateLimiter(RateLimits.model_validate(limits))
        await asyncio.gather(*(call(gate) for _ in range(count)))
        seen.concurrency = gate.concurrency

    def now() -> float:
        return asyncio.get_running_loop().time()

    virtual_time.run(work)
    return seen


def test_requests_a_minute_are_kept_from_the_first_second() -> None:
    seen = pace(400, {"rpm": 1200}, lambda _: 0.3)
    assert np.diff(seen.starts) == pytest.approx(0.05)
    assert seen.starts[0] == 0


def test_tokens_a_minute_are_kept_by_what_the_answers_took() -> None:
    seen = pace(2000, {"tpm": 12_000}, lambda _: 0.3, tokens=50)
    assert 2000 * 50 / seen.ends[-1] * 60 == pytest.approx(12_000, rel=0.02)


def test_an_endpoint_that_bears_few_calls_gets_few() -> None:
    seen = pace(400, {"concurrency": 64}, lambda active: 0.03 if active <= 6 else None)
    assert seen.concurrency < 12
    assert seen.refused < 150


def test_concurrency_rises_to_the_tasks_limit_and_no_further() -> None:
    seen = pace(300, {"concurrency": 24}, lambda _: 0.03)
    assert (seen.most_active, seen.concurrency) == (24, 24)
    seen = pace(3000, {"concurrency": 500}, lambda _: 0.03)
    assert (seen.most_active, seen.concurrency) == (500, 500)


def test_an_endpoint_that_gets_slower_and_no_faster_is_asked_less_at_once() -> None:
    seen = pace(2000, {"concurrency": 128}, lambda active: 0.004 * active)  # one answer at a time
    assert seen.concurrency < 64


# The same over HTTP


def test_the_limits_hold_for_a_real_endpoint() -> None:
    with running(vote, latency=0.2) as (url, server):  # a start each 0.05 s: about four run at once
        began = time.monotonic()
        asked = ask(60, teacher(url, limits={"rpm": 1200, "concurrency": 5}))
        wall = time.monotonic() - began
    assert len(asked.results) == 60
    assert 1 < server.log.most_active <= 5
    assert wall > 59 * 0.05 - 0.1


def test_a_real_endpoint_that_refuses_is_asked_less_at_once() -> None:
    with running(vote, latency=0.03, most_at_once=6, retry_after="") as (url, server):
        asked = ask(200, teacher(url, limits={"concurrency": 64}))
    assert len(asked.results) == 200
    assert asked.concurrency < 64
    assert server.log.outcomes["429"] > 0


# Money


def test_a_budget_is_not_exceeded_with_calls_in_flight() -> None:
    with running(vote, latency=0.02) as (url, server):
        budget = Budget(0.003)
        asked = ask(200, teacher(url), budget=budget)
    paid = sum(
        cost_of(PRICE, len(b["messages"][0]["content"]) // 4, len(vote("", 0, {})) // 4) or 0 for b in server.log.bodies
    )
    assert isinstance(asked.error, BudgetReached)
    assert 0.002 < paid <= 0.003
    assert budget.spent == pytest.approx(paid, rel=0.02)
    assert 0 < len(asked.results) < 200


def test_lost_calls_count_against_the_budget_because_they_may_be_charged() -> None:
    with running(vote, hang=1.0) as (url, server):
        budget = Budget(0.001)
        asked = ask(1, teacher(url, limits={"timeout": 0.1, "attempts": 50}), budget=budget)
    assert isinstance(asked.error, BudgetReached)
    assert 1 <= len(server.log.starts) <= 4
    assert 0 < budget.lost <= 0.001


def test_a_price_is_the_newest_that_is_in_force() -> None:
    prices = [{"since": day, "input": cost, "output": 1} for day, cost in (("2026-01-01", 3), ("2026-06-01", 2))]
    who = teacher("http://h/v1", prices=prices)
    days = [datetime(2026, month, 1, tzinfo=UTC).date() for month in (1, 5, 6)]
    assert [price.input for day in days if (price := who.price_on(day))] == [3, 3, 2]
    assert who.price_on(datetime(2025, 1, 1, tzinfo=UTC).date()) is None
    assert cost_of(PRICE, 1_000_000, 500_000) == 2
    assert cost_of(None, 1, 1) is None
    assert cost_of(PRICE, None, 1) is None
