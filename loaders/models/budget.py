"""The cost of calls, and a budget that is not exceeded, calls in flight included."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tutelage.core.teachers import Price

_MILLION = 1_000_000


class BudgetReached(Exception):  # noqa: N818 - a planned stop, not an error
    """The next call could exceed the budget."""


def cost_of(price: Price | None, tokens_in: int | None, tokens_out: int | None) -> float | None:
    """US dollars for a call; None where the price or the token counts are unknown."""
    if price is None or tokens_in is None or tokens_out is None:
        return None
    return (tokens_in * price.input + tokens_out * price.output) / _MILLION


@dataclass
class Budget:
    """US dollars that a run may spend; ``limit`` None means no limit.

    A call reserves its maximum cost before it starts and settles its actual cost when it has ended.
    A call that was lost (timeout, dropped connection) stays counted at its maximum cost, because
    the endpoint may have charged for it.
    """

    limit: float | None = None
    spent: float = 0.0
    lost: float = 0.0

    def __post_init__(self) -> None:
        self._reserved = 0.0
        self._changed = asyncio.Event()

    async def reserve(self, most: float) -> None:
        """Reserve a call's maximum cost; waits for calls in flight that may release enough.

        Raises
        ------
        BudgetReached
            When the budget does not suffice and no call in flight could release any.
        """
        while self.limit is not None and self.spent + self.lost + self._reserved + most > self.limit:
            if not self._reserved:
                raise BudgetReached
            self._changed.clear()
            await self._changed.wait()
        self._reserved += most

    def settle(self, most: float, cost: float) -> None:
        """Replace a call's reservation with its actual cost; 0 for a call without an answer."""
        self.spent += cost
        self._release(most)

    def lose(self, most: float) -> None:
        """Count a lost call, which may have been charged, at its maximum cost; settle it as well."""
        self.lost += most

    def _release(self, most: float) -> None:
        self._reserved = max(0.0, self._reserved - most)
        if self._reserved < 1e-12:  # rounding errors
            self._reserved = 0.0
        self._changed.set()
