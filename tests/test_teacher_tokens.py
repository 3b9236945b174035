"""Tokens a minute, as an endpoint over HTTP counts them, with texts and models that take more than English ones."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from questions import KEY, LABELS, Asked, teacher, vote
from teacher_server import running

from tutelage.loaders.models.budget import Budget
from tutelage.loaders.models.model import Request

CHINESE = "这家餐厅的服务态度非常好菜品也很新鲜价格公道我们下次一定还会再来" * 8
ENGLISH = "The staff were kind, the food was fresh and the price fair; we will be back. " * 4


@pytest.mark.parametrize(("text", "per_character", "thinking"), [(CHINESE, 2.0, 0), (ENGLISH, 0.25, 400)])
def test_tokens_a_minute_are_kept_from_the_second_call_on(text: str, per_character: float, thinking: int) -> None:
    taken: list[tuple[float, int]] = []

    def answer(said: str, number: int, data: dict[str, Any]) -> bytes:
        tokens_in = round(len(data["messages"][0]["content"]) * per_character)
        tokens_out = 15 + int(thinking * (0.5 + len(taken) % 3 / 2))
        taken.append((time.monotonic(), tokens_in + tokens_out))
        usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}
        choice = {"finish_reason": "stop", "message": {"content": vote(said, number, data)}}
        return json.dumps({"choices": [choice], "usage": usage}).encode()

    per_minute = 60 * 20_000
    requests = [Request(prompt=f"JSON {n} {text}", parameters={"max_tokens": 100}, labels=LABELS) for n in range(90)]
    with running(answer, latency=0.5, spread=0.1) as (url, server):
        who = teacher(url, limits={"tpm": per_minute, "concurrency": 64})
        asked = Asked(who, requests, KEY, Budget())
    assert len(asked.results) == 90
    starts = server.log.starts
    most = max(size for _, size in taken)
    whole = sum(size for _, size in taken[1:])
    assert whole <= (starts[-1] - starts[1]) * per_minute / 60 + 3 * most  # never ahead of the rate by more than this
