"""Classification metrics with confidence intervals: pure functions on label indices and confusion matrices."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from tutelage.core.arrays import Floats, Ints

Z95 = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""

RESAMPLES = 2000
"""Bootstrap resamples of an interval."""


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"[{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """One label's precision, recall and F1, 0 to 1; ``support`` is the number of rows with this gold label."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Metrics of predictions. ``confusion`` is (K, K+1), gold labels as rows; its last column is 'no label'."""

    rows: int
    accuracy: float
    accuracy_interval: Interval
    macro_f1: float
    macro_f1_interval: Interval
    per_label: tuple[LabelScore, ...]
    confusion: tuple[tuple[int, ...], ...]


def score(gold: Ints, predictions: Ints, label_names: tuple[str, ...], *, seed: int = 0) -> Scores:
    """Metrics of predictions of shape (N,); -1 stands for no label, which is always wrong."""
    matrix = confusion(gold, predictions, len(label_names))
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


def confusion(gold: Ints, predictions: Ints, n_labels: int) -> Ints:
    """Confusion matrix of shape (K, K+1): gold label by prediction, the last column for 'no label' (-1)."""
    columns = np.where(predictions < 0, n_labels, predictions)
    flat = np.bincount(gold * (n_labels + 1) + columns, minlength=n_labels * (n_labels + 1))
    return np.asarray(flat.reshape(n_labels, n_labels + 1), dtype=np.int64)


def f1_scores(matrix: Ints) -> Floats:
    """F1 per label, shape (..., K), of matrices (..., K, K+1); NaN for a label neither in gold nor predicted."""
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    return _f1(right, matrix.sum(axis=-1) + matrix[..., :-1].sum(axis=-2))


def _f1(right: Any, involved: Any) -> Floats:
    return np.asarray(np.divide(2 * right, involved, out=np.full(right.shape, np.nan), where=involved > 0))


def macro_f1(matrix: Ints) -> float:
    """Mean F1 of the labels that occur in gold or predictions, like scikit-learn's ``f1_score(average="macro")``."""
    return float(np.nanmean(f1_scores(matrix)))


def wilson(right: int, rows: int) -> Interval:
    """95 % confidence interval of a proportion (Wilson 1927, without continuity correction)."""
    p, z2 = right / rows, Z95**2
    middle = (p + z2 / (2 * rows)) / (1 + z2 / rows)
    half = Z95 / (1 + z2 / rows) * sqrt(p * (1 - p) / rows + z2 / (4 * rows**2))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def bootstrap_macro_f1(matrix: Ints, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """95 % percentile bootstrap interval of macro-F1: resampling rows is resampling the matrix's cells."""
    filled = matrix > 0
    filled[-1, -1] = True  # a last cell of probability 0 keeps the draws equal to those over all cells
    gold, predictions = np.nonzero(filled)
    counts = matrix[gold, predictions]
    resampled = np.random.default_rng(seed).multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    return percentiles(macro_f1_of_counts(gold, predictions, resampled, len(matrix)))


def macro_f1_of_counts(gold: Ints, predictions: Ints, counts: Ints, n_labels: int) -> Floats:
    """Macro-F1, shape (R,), of R resamples.

    ``gold`` and ``predictions``, shape (C,), are the labels of C cells; ``counts``, shape (R, C), how often each
    resample has each cell.
    """
    is_gold, is_predicted = (np.asarray(part)[:, None] == np.arange(n_labels) for part in (gold, predictions))
    weights = counts.astype(np.float64)  # a product of integers takes a hundred times as long
    right = weights @ (is_gold & is_predicted).astype(np.float64)
    involved = weights @ (is_gold.astype(np.float64) + is_predicted)
    return np.asarray(np.nanmean(_f1(right, involved), axis=1))


def percentiles(values: Floats) -> Interval:
    """The 2.5th and 97.5th percentile of resampled values."""
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))


def _per_label(matrix: Ints, label_names: tuple[str, ...]) -> tuple[LabelScore, ...]:
    right, support, predicted = np.diag(matrix), matrix.sum(axis=1), matrix[:, :-1].sum(axis=0)
    f1 = np.nan_to_num(f1_scores(matrix))
    return tuple(
        LabelScore(
            label=name,
            precision=_ratio(right[i], predicted[i]),
            recall=_ratio(right[i], support[i]),
            f1=float(f1[i]),
            support=int(support[i]),
        )
        for i, name in enumerate(label_names)
    )


def _ratio(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else 0.0
