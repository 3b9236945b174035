"""Limits of an endpoint and of a budget, against a real HTTP server."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from questions import PRICE, ask, teacher, vote
from teacher_server import Server, running

from loaders.teacher.money import Budget, BudgetReached, cost_of


def test_requests_a_minute_are_kept_from_the_first_second() -> None:
    with running(vote) as (url, server):
        began = time.monotonic()
        ask(40, teacher(url, limits={"rpm": 1200}))
        wall = time.monotonic() - began
    starts = sorted(server.log.starts)
    assert wall > 39 * 0.05 - 0.1
    for at, start in enumerate(starts):
        assert sum(start <= other < start + 0.5 for other in starts[at:]) <= 12  # 10 and the late timers'


def test_tokens_a_minute_are_kept_by_what_the_answers_took() -> None:
    with running(vote) as (url, server):
        began = time.monotonic()
        asked = ask(20, teacher(url, limits={"tpm": 12_000}))
        wall = time.monotonic() - began
    taken = sum((h.reply.tokens_in or 0) + (h.reply.tokens_out or 0) for h in asked.heard)
    assert taken / wall * 60 < 12_000 * 1.15
    assert wall < 3 * taken / 200
    assert len(server.log.starts) == 20


def test_an_endpoint_that_bears_few_calls_gets_few() -> None:
    with running(vote, latency=0.03, most_at_once=6, retry_after="") as (url, server):
        asked = ask(400, teacher(url, limits={"concurrency": 64}))
    assert len(asked.heard) == 400
    assert asked.concurrency < 20
    assert server.log.outcomes["429"] < 200


def test_concurrency_rises_to_the_tasks_limit_and_no_further() -> None:
    with running(vote, latency=0.03) as (url, server):
        ask(300, teacher(url, limits={"concurrency": 24}))
    assert server.log.most_active == 24


def test_an_endpoint_that_gets_slower_and_no_faster_is_asked_less_at_once() -> None:
    busy_until = 0.0

    class Queueing(Server):
        def serve(self, head: bytes, body: bytes, connection: Any) -> None:
            nonlocal busy_until
            now = asyncio.get_running_loop().time()
            busy_until = max(busy_until, now) + 0.004  # one answer at a time
            asyncio.get_running_loop().call_later(busy_until - now, super().serve, head, body, connection)

    with running(vote) as (url, server):
        server.__class__ = Queueing
        asked = ask(900, teacher(url, limits={"concurrency": 128}))
    assert len(asked.heard) == 900
    assert asked.concurrency < 100


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
    assert 0 < len(asked.heard) < 200


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
