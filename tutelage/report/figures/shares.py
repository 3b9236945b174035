"""Counted shares with their intervals."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.training.measures.metrics import Interval, wilson


@dataclass(frozen=True)
class Share:
    """So many of so many rows, as a fraction with its 95 % Wilson interval."""

    hits: int
    rows: int
    value: float
    interval: Interval


def share_of(hits: int, rows: int) -> Share | None:
    """The share; None where there are no rows."""
    return Share(hits, rows, hits / rows, wilson(hits, rows)) if rows else None
