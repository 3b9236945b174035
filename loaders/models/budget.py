"""What calls cost, and a budget that is not exceeded, calls in flight included."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tutelage.core.teachers import Price

_MILLION = 1_000_000


class BudgetReached(Exception):  # noqa: N818 - the end that the user asked for
    """The next call could exceed the budget."""


def cost_of(price: Price | None, tokens_in: int | None, tokens_out: int | None) -> float | None:
    """US dollars for a call; None where the price or the tokens are not known."""
    if price is None or tokens_in is None or tokens_out is None:
        return None
    return (tokens_in * price.input + tokens_out * price.output) / _MILLION


@dataclass
class Budget:
    """US dollars that a run may spend; ``limit`` None is without end.

    A call is counted at its worst before it starts and at its true cost when it has ended; one that
    was lost on the way (timeout, dropped connection) stays counted at its worst, because the
    endpoint may have charged for it.
    """

    limit: float | None = None
    spent: float = 0.0
    lost: float = 0.0

    def __post_init__(self) -> None:
        self._reserved = 0.0
        self._changed = asyncio.Event()

    async def reserve(self, worst: float) -> None:
        """Count a call at its worst; waits for calls in flight where they may leave room.

        Raises
        ------
        BudgetReached
            When there is no room and nothing in flight could make any.
        """
        while self.limit is not None and self.spent + self.lost + self._reserved + worst > self.limit:
            if not self._reserved:
                raise BudgetReached
            self._changed.clear()
            await self._changed.wait()
        self._reserved += worst

    def settle(self, worst: float, cost: float) -> None:
        """The call has ended and cost this much; 0 for a call that got no answer."""
        self.spent += cost
        self._release(worst)

    def lose(self, worst: float) -> None:
        """The call was lost on its way and may have been charged; settle it as well."""
        self.lost += worst

    def _release(self, worst: float) -> None:
        self._reserved = max(0.0, self._reserved - worst)
        if self._reserved < 1e-12:  # sums of fractions leave dust
            self._reserved = 0.0
        self._changed.set()
