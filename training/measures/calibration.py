"""Calibration: expected calibration error, and temperature scaling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.core.arrays import Floats, Ints, softmax
from tutelage.training.measures.metrics import Interval, wilson

BINS = 15
_TINY = 1e-12
_TEMPERATURES = (0.05, 20)


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Rows whose confidence is in a bin: their mean confidence, and the share that is right, with its interval."""

    rows: int
    confidence: float
    accuracy: float
    interval: Interval


def reliability_bins(probs: Floats, gold: Ints, *, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """The bins of equal width that hold rows, from the least confident; ``probs`` of shape (N, K)."""
    confidence, correct = probs.max(axis=1), probs.argmax(axis=1) == gold
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    return tuple(_bin(confidence[index == number], correct[index == number]) for number in np.unique(index))


def _bin(confidence: Floats, correct: NDArray[np.bool_]) -> ReliabilityBin:
    rows, right = len(correct), int(correct.sum())
    return ReliabilityBin(
        rows=rows, confidence=float(confidence.mean()), accuracy=right / rows, interval=wilson(right, rows)
    )


def expected_calibration_error(probs: Floats, gold: Ints, *, bins: int = BINS) -> float:
    """Expected calibration error with bins of equal width (Guo et al. 2017), 0 to 1; ``probs`` of shape (N, K)."""
    confidence, correct = probs.max(axis=1), probs.argmax(axis=1) == gold
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.abs(np.bincount(index, correct - confidence, minlength=bins))
    return float(gap.sum() / len(gold))


def with_temperature(probs: Floats, temperature: float | None) -> Floats:
    """Probabilities of shape (N, K) after temperature scaling: softmax of their logarithms over ``temperature``.

    None leaves them as they are. The order of a row's labels stays.
    """
    return probs if temperature is None else softmax(np.log(np.maximum(probs, _TINY)) / temperature)


def fit_temperature(probs: Floats, gold: Ints) -> float | None:
    """The temperature, 0.05 to 20, with the lowest log loss on these rows (Guo et al. 2017).

    None for rows without an error, where the lower the better, and where the minimum is at a bound: they do not
    determine it.
    """
    from scipy.optimize import minimize_scalar

    if (probs.argmax(axis=1) == gold).all():
        return None
    rows = np.arange(len(gold))

    def loss(log_temperature: float) -> float:
        scaled = with_temperature(probs, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(scaled[rows, gold], _TINY)).mean())

    low, high = np.log(_TEMPERATURES)
    minimum = minimize_scalar(loss, bounds=(low, high), method="bounded").x
    return float(np.exp(minimum)) if low + 0.01 < minimum < high - 0.01 else None
