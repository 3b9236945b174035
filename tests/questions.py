"""Asks an endpoint about many texts at once, for the tests of the client."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tutelage.core.teachers import Price, Teacher
from tutelage.loaders.models.budget import Budget
from tutelage.loaders.models.dialect import Dialect
from tutelage.loaders.models.endpoint import Endpoint
from tutelage.loaders.models.model import Request
from tutelage.loaders.models.rate_limit import RateLimiter
from tutelage.loaders.models.retrying import CallResult, RetryingModel

KEY = "sk-Secret123"
LABELS = ("good", "bad")
NEW = Dialect()
PRICE = Price.model_validate({"since": "2026-01-01", "input": 1, "output": 2})


def vote(_text: str, number: int, _data: dict[str, Any]) -> str:
    return json.dumps({"reason": f"reason {number}", "label": "good"})


def teacher(url: str, **keys: Any) -> Teacher:
    limits = {"timeout": 2, "concurrency": 16, **keys.pop("limits", {})}
    return Teacher.model_validate(
        {"name": "t", "license": "none", "model": "m", "base_url": url, "limits": limits, **keys}
    )


def request(number: int, **parameters: Any) -> Request:
    prompt = f"Answer in JSON.\n<text>\ntext {number}\n</text>"
    return Request(prompt=prompt, parameters={"temperature": 0.5, "max_tokens": 100, **parameters}, labels=LABELS)


class Asked:
    """What came of asking ``count`` texts at once."""

    def __init__(
        self,
        who: Teacher,
        requests: Sequence[Request],
        key: str,
        budget: Budget,
        dialect: Dialect = NEW,
        *,
        price: Price = PRICE,
    ) -> None:
        self.price = price
        self.learned: list[Dialect] = []
        self.outcomes: list[CallResult | BaseException] = []
        self.errors: Counter[str] = Counter()
        asyncio.run(self._ask(who, requests, key, budget, dialect))

    async def _ask(self, who: Teacher, requests: Sequence[Request], key: str, budget: Budget, dialect: Dialect) -> None:
        endpoint = Endpoint(who, key, dialect=dialect, remember=self.learned.append)
        asker = RetryingModel(
            teacher=who, model=endpoint, rate_limiter=RateLimiter(who.limits), budget=budget, price=self.price
        )
        self.outcomes = await asyncio.gather(*map(asker.ask, requests), return_exceptions=True)
        self.errors, self.concurrency = asker.errors, asker.rate_limiter.concurrency
        await endpoint.close()

    @property
    def results(self) -> list[CallResult]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, CallResult)]

    @property
    def error(self) -> BaseException:
        return next(outcome for outcome in self.outcomes if isinstance(outcome, BaseException))


def ask(
    count: int, who: Teacher, *, key: str = KEY, budget: Budget | None = None, dialect: Dialect = NEW, **body: Any
) -> Asked:
    return Asked(who, [request(n, **body) for n in range(count)], key, budget or Budget(), dialect)
