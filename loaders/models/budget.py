"""The cost of calls, and a budget that is not exceeded, calls in flight included."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from tutelage.core.teachers import Price
from tutelage.loaders.models.model import Reply

_MILLION = 1_000_000
_CAUTION = 4.0  # times its maximum that is held back for a call while there is no answer to go by


class BudgetReached(Exception):  # noqa: N818 - a planned stop, not an error
    """The next call could exceed the budget."""


def cost_of(price: Price | None, tokens_in: int | None, tokens_out: int | None) -> float | None:
    """US dollars for a call; None where the price or the token counts are unknown."""
    if price is None or tokens_in is None or tokens_out is None:
        return None
    return (tokens_in * price.input + tokens_out * price.output) / _MILLION


def cost_of_reply(price: Price | None, reply: Reply) -> float | None:
    """US dollars for an answer, cached input and thinking at prices of their own where there are such."""
    cost = cost_of(price, reply.tokens_in, reply.tokens_out)
    if price is None or cost is None:
        return None
    cached = 0.0 if price.cached is None else price.cached - price.input
    reasoning = 0.0 if price.reasoning is None else price.reasoning - price.output
    return cost + (reply.cached * cached + reply.reasoning * reasoning) / _MILLION


def highest_cost(price: Price | None, tokens_in: int, tokens_out: int) -> float | None:
    """US dollars for a call at most, whatever kind of tokens these will be."""
    if price is None:
        return None
    dearest = {"input": max(price.input, price.cached or 0), "output": max(price.output, price.reasoning or 0)}
    return cost_of(price.model_copy(update=dearest), tokens_in, tokens_out)


@dataclass
class Budget:
    """US dollars that a run may spend; ``limit`` None means no limit.

    A call reserves its maximum cost before it starts and settles its actual cost when it has ended.
    A call that was lost (timeout, dropped connection) stays counted at its maximum cost, because
    the endpoint may have charged for it. Because an answer may cost more than its maximum, as when an
    endpoint does not keep ``max_tokens``, more than that is held back for calls that run at the same
    time: the fewer answers there are to go by, the more.
    """

    limit: float | None = None
    spent: float = 0.0
    lost: float = 0.0

    def __post_init__(self) -> None:
        self._reserved, self._answers = 0.0, 0
        self._changed = asyncio.Event()

    async def reserve(self, most: float) -> None:
        """Reserve a call's maximum cost; waits for calls in flight that may release enough.

        Raises
        ------
        BudgetReached
            When the budget does not suffice and no call in flight could release any.
        """
        while self.limit is not None and not self._has_room(most, self.limit):
            if not self._reserved:
                raise BudgetReached
            self._changed.clear()
            await self._changed.wait()
        self._reserved += most

    def _has_room(self, most: float, limit: float) -> bool:
        caution = 1 + _CAUTION / math.sqrt(self._answers + 1) if self._reserved else 1.0
        return self.spent + self.lost + (self._reserved + most) * caution <= limit

    def settle(self, most: float, cost: float) -> None:
        """Replace a call's reservation with its actual cost; 0 for a call without an answer."""
        self.spent += cost
        self._answers += cost > 0
        self._release(most)

    def lose(self, most: float) -> None:
        """Count a lost call, which may have been charged, at its maximum cost; settle it as well."""
        self.lost += most

    def _release(self, most: float) -> None:
        self._reserved = max(0.0, self._reserved - most)
        if self._reserved < 1e-12:  # rounding errors
            self._reserved = 0.0
        self._changed.set()
