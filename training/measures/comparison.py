"""Two classifiers on the same rows: McNemar's exact test, paired confidence intervals, and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from tutelage.core.arrays import Floats, Ints
from tutelage.training.measures.metrics import RESAMPLES, Z95, Interval, macro_f1_of_counts, percentiles

MARGIN = 0.02
"""Margin of equivalence: the difference in accuracy up to which two classifiers are on par."""

Verdict = Literal["better", "worse", "on par", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The first classifier against the second on the same rows; differences are first minus second.

    ``only_first`` and ``only_second`` count the discordant rows, which only one of them has right.
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
    """Compare two predictions of shape (N,); -1 stands for no label."""
    first_right, second_right = first == gold, second == gold
    only_first, only_second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    p_value = mcnemar_exact(only_first, only_second)
    interval = paired_interval(only_first, only_second, len(gold))
    difference = (only_first - only_second) / len(gold)
    f1_difference, f1_interval = bootstrap_f1_difference(gold, first, second, n_labels, seed=seed)
    verdict = verdict_of(difference, interval, p_value, margin)
    return Comparison(
        rows=len(gold),
        only_first=only_first,
        only_second=only_second,
        p_value=p_value,
        accuracy_difference=difference,
        accuracy_difference_interval=interval,
        macro_f1_difference=f1_difference,
        macro_f1_difference_interval=f1_interval,
        margin=margin,
        verdict=verdict,
    )


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p-value of McNemar's exact test: a binomial test of the discordant rows."""
    from scipy.stats import binomtest

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0


def paired_interval(only_first: int, only_second: int, rows: int) -> Interval:
    """95 % score interval for the difference of two paired proportions (Tango 1998).

    Without discordant rows its width still depends on the number of rows.
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
    """Tango's score statistic for this true difference; decreasing in it."""
    a = 2 * rows
    b = (2 * rows - only_first + only_second) * difference - only_first - only_second
    c = -only_second * difference * (1 - difference)
    q = (sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    spread = sqrt(max(1e-12, rows * (2 * q + difference * (1 - difference))))
    return (only_first - only_second - rows * difference) / spread


def bootstrap_f1_difference(
    gold: Ints, first: Ints, second: Ints, n_labels: int, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, Interval]:
    """Difference in macro-F1 and its 95 % percentile bootstrap interval."""
    differences = resampled_f1_differences(gold, first, second, n_labels, seed=seed, resamples=resamples)
    return float(differences[0]), percentiles(differences[1:])


def resampled_f1_differences(
    gold: Ints, first: Ints, second: Ints, n_labels: int, *, seed: int = 0, resamples: int = RESAMPLES
) -> Floats:
    """The difference in macro-F1, first minus second, and then that of each resample; shape (1 + resamples,)."""
    cells, counts = np.unique(np.stack([gold, first, second], axis=1), axis=0, return_counts=True)
    resampled = np.random.default_rng(seed).multinomial(len(gold), counts / len(gold), size=resamples)
    all_counts = np.vstack([counts[None, :], resampled])
    first_f1, second_f1 = (macro_f1_of_counts(cells[:, 0], cells[:, i], all_counts, n_labels) for i in (1, 2))
    return first_f1 - second_f1


def verdict_of(difference: float, interval: Interval, p_value: float, margin: float) -> Verdict:
    """The verdict on a difference in accuracy.

    "on par" needs the whole interval inside the margin (a test of equivalence); "better" and
    "worse" need p < 0.05; otherwise there is no significant difference, and the rows cannot
    establish parity: "undecided".
    """
    if -margin < interval.low and interval.high < margin:
        return "on par"
    if p_value < 0.05:
        return "better" if difference > 0 else "worse"
    return "undecided"
