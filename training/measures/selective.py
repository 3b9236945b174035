"""Selective prediction: what a least probability leaves, and how often that is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.core.arrays import Floats, Ints, decide
from tutelage.training.measures.metrics import Interval, wilson

DIGITS = 6
"""Decimals of a probability that count, and that predictions are written with."""

SHARES = tuple(percent / 100 for percent in range(100, 4, -5))
"""Shares of the rows, the most probable ones, that the curve has points at."""

_STEP = 10_000
"""A threshold has four decimals."""


def is_kept(probs: Floats, min_probability: float) -> NDArray[np.bool_]:
    """Whether each row's most probable label reaches ``min_probability``, shape (N,); ``probs`` of shape (N, K)."""
    return np.asarray(np.round(probs.max(axis=1), DIGITS) >= min_probability, dtype=np.bool_)


@dataclass(frozen=True, kw_only=True)
class CoveragePoint:
    """Of the rows whose probability is at least ``threshold``: their number and share, and the share that is right.

    The accuracy has Wilson's 95 % interval.
    """

    threshold: float
    rows: int
    share: float
    accuracy: float
    interval: Interval


def risk_coverage(probs: Floats, gold: Ints, shares: Sequence[float] = SHARES) -> tuple[CoveragePoint, ...]:
    """Risk against coverage (El-Yaniv and Wiener 2010), a point for each share, from all rows to the surest.

    A threshold is rounded down, and what it keeps is counted with the rounded one: where probabilities are equal or
    close, it keeps more than the share. Shares with the same threshold are one point.

    Parameters
    ----------
    probs, gold
        Of shape (N, K) and (N,).
    """
    surest = -np.sort(-probs.max(axis=1))
    places = [max(0, int(np.ceil(share * len(surest))) - 1) for share in shares]
    thresholds = dict.fromkeys(float(np.floor(surest[place] * _STEP) / _STEP) for place in places)
    correct = decide(probs) == gold
    return tuple(_point(threshold, correct[is_kept(probs, threshold)], len(gold)) for threshold in thresholds)


def _point(threshold: float, correct: NDArray[np.bool_], of: int) -> CoveragePoint:
    rows, right = len(correct), int(correct.sum())
    return CoveragePoint(
        threshold=threshold, rows=rows, share=rows / of, accuracy=right / rows, interval=wilson(right, rows)
    )
