"""Scores of predictions against gold: pure functions on integer labels and confusion matrices."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from tutelage.core.arrays import Floats, Ints

Z95 = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""

RESAMPLES = 2000


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"[{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class LabelScore:
    """One label's scores, 0 to 1; ``support`` is the number of rows whose gold label it is."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Scores:
    """What predictions are worth. ``confusion`` has gold labels as rows; its last column is 'no label'."""

    rows: int
    accuracy: float
    accuracy_interval: Interval
    macro_f1: float
    macro_f1_interval: Interval
    per_label: tuple[LabelScore, ...]
    confusion: tuple[tuple[int, ...], ...]


def score(gold: Ints, said: Ints, label_names: tuple[str, ...], *, seed: int = 0) -> Scores:
    """Scores of predictions of shape (N,); -1 says no label, which is wrong whatever the gold label."""
    matrix = confusion(gold, said, len(label_names))
    right = int(np.trace(matrix))
    return Scores(
        rows=len(gold),
        accuracy=right / len(gold),
        accuracy_interval=wilson(right, len(gold)),
        macro_f1=macro_f1(matrix),
        macro_f1_interval=bootstrap_macro_f1(matrix, seed=seed),
        per_label=_per_label(matrix, label_names),
        confusion=tuple(tuple(map(int, row)) for row in matrix),
    )


def confusion(gold: Ints, said: Ints, n_labels: int) -> Ints:
    """Counts of shape (K, K+1): gold label by prediction, the last column for 'no label' (-1)."""
    columns = np.where(said < 0, n_labels, said)
    flat = np.bincount(gold * (n_labels + 1) + columns, minlength=n_labels * (n_labels + 1))
    return np.asarray(flat.reshape(n_labels, n_labels + 1), dtype=np.int64)


def f1_scores(matrix: Ints) -> Floats:
    """F1 per label, shape (..., K), of matrices (..., K, K+1); NaN for a label neither in gold nor predicted."""
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    return _f1(right, matrix.sum(axis=-1) + matrix[..., :-1].sum(axis=-2))


def _f1(right: Any, involved: Any) -> Floats:
    return np.asarray(np.divide(2 * right, involved, out=np.full(right.shape, np.nan), where=involved > 0))


def macro_f1(matrix: Ints) -> float:
    """Mean F1 of the labels that occur in gold or predictions, as scikit-learn's default."""
    return float(np.nanmean(f1_scores(matrix)))


def wilson(right: int, rows: int) -> Interval:
    """95 % interval of a proportion (Wilson 1927, without continuity correction)."""
    p, z2 = right / rows, Z95**2
    middle = (p + z2 / (2 * rows)) / (1 + z2 / rows)
    half = Z95 / (1 + z2 / rows) * sqrt(p * (1 - p) / rows + z2 / (4 * rows**2))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def bootstrap_macro_f1(matrix: Ints, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """95 % percentile interval; drawing rows with replacement is drawing the matrix's cells."""
    filled = matrix > 0
    filled[-1, -1] = True  # where it is the last, drawing all cells gives the very same rows
    gold, said = np.nonzero(filled)
    counts = matrix[gold, said]
    drawn = np.random.default_rng(seed).multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    return percentiles(macro_f1_of_draws(gold, said, drawn, len(matrix)))


def macro_f1_of_draws(gold: Ints, said: Ints, drawn: Ints, n_labels: int) -> Floats:
    """Macro-F1, shape (R,), of R draws of shape (R, C) from C kinds of rows: ``gold`` label and what was ``said``."""
    of_gold, of_said = (np.asarray(part)[:, None] == np.arange(n_labels) for part in (gold, said))
    counts = drawn.astype(np.float64)  # a product of integers takes a hundred times as long
    right = counts @ (of_gold & of_said).astype(np.float64)
    involved = counts @ (of_gold.astype(np.float64) + of_said)
    return np.asarray(np.nanmean(_f1(right, involved), axis=1))


def percentiles(values: Floats) -> Interval:
    """The middle 95 % of resampled values."""
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))


def _per_label(matrix: Ints, label_names: tuple[str, ...]) -> tuple[LabelScore, ...]:
    right, support, predicted = np.diag(matrix), matrix.sum(axis=1), matrix[:, :-1].sum(axis=0)
    f1 = np.nan_to_num(f1_scores(matrix))
    return tuple(
        LabelScore(name, _ratio(right[i], predicted[i]), _ratio(right[i], support[i]), float(f1[i]), int(support[i]))
        for i, name in enumerate(label_names)
    )


def _ratio(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else 0.0
