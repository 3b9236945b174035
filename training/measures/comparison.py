"""Two predictors on the same rows: McNemar's exact test, paired intervals, and what may be said of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from tutelage.core.arrays import Ints
from tutelage.training.measures.metrics import RESAMPLES, Z95, Interval, macro_f1_of_draws, percentiles

MARGIN = 0.02
"""Difference in accuracy up to which two predictors count as on par."""

Verdict = Literal["better", "worse", "on par", "undecided"]


@dataclass(frozen=True)
class Comparison:
    """The first predictor against the second on the same rows; differences are first minus second.

    ``only_first`` and ``only_second`` count rows that one of them alone has right.
    """

    rows: int
    only_first: int
    only_second: int
    p_value: float
    accuracy_difference: float
    accuracy_difference_interval: Interval
    macro_f1_difference: float
    macro_f1_difference_interval: Interval
    margin: float
    verdict: Verdict


def compare(
    gold: Ints, first: Ints, second: Ints, n_labels: int, *, margin: float = MARGIN, seed: int = 0
) -> Comparison:
    """Compare two predictions of shape (N,); -1 says no label."""
    right, other = first == gold, second == gold
    only_first, only_second = int((right & ~other).sum()), int((other & ~right).sum())
    p_value = mcnemar_exact(only_first, only_second)
    interval = paired_interval(only_first, only_second, len(gold))
    difference = (only_first - only_second) / len(gold)
    f1_difference, f1_interval = bootstrap_f1_difference(gold, first, second, n_labels, seed=seed)
    verdict = judge(difference, interval, p_value, margin)
    return Comparison(
        len(gold), only_first, only_second, p_value, difference, interval, f1_difference, f1_interval, margin, verdict
    )


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p-value of McNemar's exact test: a binomial test of the rows on which one alone is right."""
    from scipy.stats import binomtest

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0


def paired_interval(only_first: int, only_second: int, rows: int) -> Interval:
    """95 % score interval of the difference of two paired proportions (Tango 1998).

    Without any disagreement it still is as wide as the number of rows makes it: a few rows that
    agree do not claim certainty.
    """
    from scipy.optimize import brentq

    middle = (only_first - only_second) / rows
    edge = 1 - 1e-9

    def off(difference: float, side: float) -> float:
        return _tango(only_first, only_second, rows, difference) - side * Z95

    low = brentq(off, -edge, middle, args=(1,)) if off(-edge, 1) > 0 > off(middle, 1) else -1.0
    high = brentq(off, middle, edge, args=(-1,)) if off(middle, -1) > 0 > off(edge, -1) else 1.0
    return Interval(float(low), float(high))


def _tango(only_first: int, only_second: int, rows: int, difference: float) -> float:
    """Tango's score statistic for this true difference; falls as the difference grows."""
    a = 2 * rows
    b = (2 * rows - only_first + only_second) * difference - only_first - only_second
    c = -only_second * difference * (1 - difference)
    q = (sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    spread = sqrt(max(1e-12, rows * (2 * q + difference * (1 - difference))))
    return (only_first - only_second - rows * difference) / spread


def bootstrap_f1_difference(
    gold: Ints, first: Ints, second: Ints, n_labels: int, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, Interval]:
    """Difference of macro-F1 and its 95 % percentile interval, rows drawn with replacement."""
    cells, counts = np.unique(np.stack([gold, first, second], axis=1), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(gold), counts / len(gold), size=resamples)
    every = np.vstack([counts[None, :], drawn])
    one, two = (macro_f1_of_draws(cells[:, 0], cells[:, i], every, n_labels) for i in (1, 2))
    differences = one - two
    return float(differences[0]), percentiles(differences[1:])


def judge(difference: float, interval: Interval, p_value: float, margin: float) -> Verdict:
    """What the test supports.

    "on par" needs the whole interval of the accuracy difference inside the margin (a test of
    equivalence); "better" and "worse" need p < 0.05; else the rows decide nothing.
    """
    if -margin < interval.low and interval.high < margin:
        return "on par"
    if p_value < 0.05:
        return "better" if difference > 0 else "worse"
    return "undecided"
