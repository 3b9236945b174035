"""Whether probabilities mean what they say: expected calibration error, and a temperature that mends them."""

from __future__ import annotations

import numpy as np

from tutelage.core.arrays import Floats, Ints, softmax

BINS = 15
_TINY = 1e-12
_TEMPERATURES = (0.05, 20)


def expected_calibration_error(probs: Floats, gold: Ints, *, bins: int = BINS) -> float:
    """Mean gap between confidence and accuracy over bins of equal width (Guo et al. 2017), 0 to 1."""
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == gold
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.abs(np.bincount(place, right - confidence, minlength=bins))
    return float(gap.sum() / len(gold))


def with_temperature(probs: Floats, temperature: float) -> Floats:
    """Probabilities of shape (N, K) as if the scores behind them were divided by ``temperature``."""
    return softmax(np.log(np.maximum(probs, _TINY)) / temperature)


def fit_temperature(probs: Floats, gold: Ints) -> float | None:
    """The temperature, 0.05 to 20, with the lowest log loss (Guo et al. 2017).

    None where the loss falls up to a bound, as it does when these rows hold no error: they determine none.
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(gold))

    def loss(log_temperature: float) -> float:
        scaled = with_temperature(probs, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(scaled[rows, gold], _TINY)).mean())

    low, high = np.log(_TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded")
    return float(np.exp(found.x)) if low + 0.01 < found.x < high - 0.01 else None
