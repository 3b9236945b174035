"""A budget against endpoints that charge for more than they were asked for; charges are counted by the server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from questions import PRICE, Asked, ask, request, teacher, vote
from teacher_server import running
from teaching import Make, rows, task_with
from teaching import teacher as in_task

from tutelage.core.errors import TeacherError
from tutelage.core.teachers import Price
from tutelage.loaders.models.budget import Budget, BudgetReached, cost_of_reply
from tutelage.loaders.models.metering import longest_answer
from tutelage.loaders.models.wire import read_reply
from tutelage.loaders.teacher.session import Session

LIMIT = 0.005  # US dollars; a call's prompt and its longest answer cost about 0.0003


class Charging:
    """Answers with a usage of its own, and adds up what that costs."""

    def __init__(self, tokens_out: int, *, thinking: int = 0, each: int = 1) -> None:
        self.tokens_out, self.thinking, self.each, self.charged, self.calls = tokens_out, thinking, each, 0.0, 0

    def __call__(self, text: str, number: int, data: dict[str, Any]) -> bytes:
        self.calls += 1
        thinking = self.thinking if self.calls % self.each == 0 else 0
        self.charged += (20 * PRICE.input + (self.tokens_out + thinking) * PRICE.output) / 1e6
        usage = {"prompt_tokens": 20, "completion_tokens": self.tokens_out}
        choice = {"finish_reason": "stop", "message": {"content": vote(text, number, data)}}
        usage["total_tokens"] = 20 + self.tokens_out + thinking
        return json.dumps({"choices": [choice], "usage": usage}).encode()


@pytest.mark.parametrize(("thinking", "each"), [(400, 1), (700, 7)])
def test_thinking_that_is_in_the_total_only_is_paid_from_the_budget(thinking: int, each: int) -> None:
    charging, budget = Charging(40, thinking=thinking, each=each), Budget(LIMIT)
    with running(charging, latency=0.02) as (url, _):
        asked = ask(200, teacher(url), budget=budget)
    assert isinstance(asked.error, BudgetReached)
    assert 0.3 * LIMIT < charging.charged <= LIMIT
    assert budget.spent == pytest.approx(charging.charged)
    assert max(result.reply.tokens_out or 0 for result in asked.results) == 40 + thinking


def test_an_endpoint_that_ignores_the_longest_answer_is_asked_once_where_a_budget_is_to_be_kept() -> None:
    charging = Charging(350)  # 100 were asked for
    with running(charging, latency=0.02) as (url, _):
        asked = ask(50, teacher(url), budget=Budget(LIMIT))
        assert (charging.calls, len(asked.results)) == (1, 1)  # and that answer is kept
        with pytest.raises(TeacherError, match=r"took 350 tokens where 100 .*without --budget"):
            raise asked.error
        assert len(ask(5, teacher(url)).results) == 5


@pytest.mark.parametrize(
    ("extra", "longest"),
    [
        ({"n": 3}, 300),
        ({"max_completion_tokens": 700, "best_of": 2}, 1400),
        ({"options": {"num_predict": 900}}, 900),
        ({"reasoning": {"max_tokens": 800, "enabled": True}}, 800),
        ({"logit_bias": {"50256": -100}, "n": None, "stop": ["tokens"]}, 100),
    ],
)
def test_more_tokens_and_more_answers_asked_for_in_extra_body_are_counted(extra: dict[str, Any], longest: int) -> None:
    assert longest_answer(request(0, **extra).parameters) == longest


@pytest.mark.parametrize("extra", [{"n": 3}, {"max_completion_tokens": 300}])
def test_a_budget_holds_where_extra_body_raises_what_a_call_costs(extra: dict[str, Any]) -> None:
    charging = Charging(300)
    with running(charging, latency=0.02) as (url, _):
        asked = ask(60, teacher(url), budget=Budget(LIMIT), **extra)
    assert isinstance(asked.error, BudgetReached)
    assert 0.6 * LIMIT < charging.charged <= LIMIT


def test_a_gateway_that_gives_up_may_have_charged_and_is_counted() -> None:
    with running(vote, error_504=0.6, latency=0.01) as (url, server):
        budget = Budget(LIMIT)
        asked = ask(100, teacher(url), budget=budget)
    worst = (20 * PRICE.input + 100 * PRICE.output) / 1e6
    assert isinstance(asked.error, BudgetReached)
    assert server.log.outcomes["504"] * worst + budget.spent <= LIMIT
    assert budget.lost >= server.log.outcomes["504"] * worst > 0


# What tokens are, and what they cost


def usage(**counts: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": "good"}}], "usage": counts}).encode()


@pytest.mark.parametrize(
    ("counts", "out", "thought"),
    [
        ({"completion_tokens": 9, "total_tokens": 29}, 9, 0),
        ({"completion_tokens": 9, "total_tokens": 129}, 109, 100),
        ({"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 100}}, 109, 100),
        ({"completion_tokens": 109, "completion_tokens_details": {"reasoning_tokens": 100}}, 109, 100),
        (
            {"completion_tokens": 9, "total_tokens": 129, "completion_tokens_details": {"reasoning_tokens": 100}},
            109,
            100,
        ),
        ({"completion_tokens": 9, "completion_tokens_details": None}, 9, 0),
    ],
)
def test_thinking_is_part_of_the_tokens_out_however_it_is_counted(counts: Any, out: int, thought: int) -> None:
    reply = read_reply(usage(prompt_tokens=20, **counts))
    assert (reply.tokens_in, reply.tokens_out, reply.reasoning) == (20, out, thought)


@pytest.mark.parametrize(
    "cached", [{"prompt_tokens_details": {"cached_tokens": 800}}, {"prompt_cache_hit_tokens": 800}]
)
def test_cached_and_reasoning_tokens_have_prices_of_their_own(cached: dict[str, Any]) -> None:
    thought = {"reasoning_tokens": 60}
    reply = read_reply(usage(prompt_tokens=1000, completion_tokens=100, completion_tokens_details=thought, **cached))
    day = {"since": "2026-01-01", "input": 1, "output": 10}
    assert cost_of_reply(Price.model_validate(day), reply) == pytest.approx(0.002)
    own = Price.model_validate(day | {"cached": 0.1, "reasoning": 20})
    assert cost_of_reply(own, reply) == pytest.approx((200 + 80 + 400 + 1200) / 1e6)


def test_a_budget_reckons_with_the_dearest_kind_of_tokens() -> None:
    charging = Charging(10, thinking=90)
    with running(charging) as (url, _):
        price = PRICE.model_copy(update={"reasoning": 20.0})
        budget = Budget(LIMIT)
        asked = Asked(teacher(url), [request(n) for n in range(60)], "k", budget, price=price)
    paid = charging.calls * (20 * PRICE.input + 10 * PRICE.output + 90 * 20) / 1e6
    assert isinstance(asked.error, BudgetReached)
    assert 0.3 * LIMIT < paid <= LIMIT
    assert budget.spent == pytest.approx(paid)


def test_annotate_reports_thinking_and_stores_what_it_cost(make_task: Make) -> None:
    charging = Charging(10, thinking=90)
    prices = [{"since": "2026-01-01", "input": 1, "output": 2, "reasoning": 4}]
    with running(charging) as (url, _):
        workspace = task_with(make_task, 3, in_task(url, votes=1, prices=prices))
        done = Session.of(workspace).run()
    assert (done.tokens_out, done.cost) == (300, pytest.approx(3 * (20 + 20 + 360) / 1e6))
    assert rows(workspace, "SELECT tokens_out, cost FROM calls") == [(100, pytest.approx(0.0004))] * 3
