"""A linear head: logistic regression as two arrays, with columns in the task's label order."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats, Ints, softmax

FILE = "head.npz"


@dataclass(frozen=True)
class Head:
    """``coef`` of shape (K, F), ``intercept`` of shape (K,); a label without training rows has intercept -inf."""

    coef: Floats
    intercept: Floats

    def predict_proba(self, features: Any) -> Floats:
        """Probabilities of shape (N, K) for features of shape (N, F), dense or sparse."""
        return softmax(np.asarray(features @ self.coef.T, dtype=np.float64) + self.intercept)

    def save(self, directory: Path) -> None:
        """Write ``head.npz``."""
        np.savez(directory / FILE, coef=self.coef, intercept=self.intercept)

    @classmethod
    def load(cls, directory: Path) -> Head:
        """Read ``head.npz``, without pickle."""
        with np.load(directory / FILE, allow_pickle=False) as arrays:
            return cls(arrays["coef"], arrays["intercept"])


def fit_head(
    features: Any, labels: Ints, n_labels: int, *, weights: Floats | None = None, balanced: bool = True, c: float = 10.0
) -> Head:
    """Logistic regression on features of shape (N, F); labels are 0 to K-1.

    Columns are aligned by the classes that occur in ``labels``. ``balanced`` sets balanced class
    weights. A single class gets probability 1. ``c`` is the inverse of the L2 regularisation strength.
    """
    seen = np.unique(labels)
    coef = np.zeros((n_labels, features.shape[1]))
    intercept = np.full(n_labels, -np.inf)
    if len(seen) == 1:
        intercept[seen] = 0.0
        return Head(coef, intercept)
    model = _regression(features, labels, weights, balanced=balanced, c=c)
    if len(seen) == 2:  # one row of coefficients, for the second class
        coef[seen[1]], intercept[seen[0]], intercept[seen[1]] = model.coef_[0], 0.0, model.intercept_[0]
    else:
        coef[model.classes_], intercept[model.classes_] = model.coef_, model.intercept_
    return Head(coef, intercept)


def _regression(features: Any, labels: Ints, weights: Floats | None, *, balanced: bool, c: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=c, class_weight="balanced" if balanced else None, max_iter=300)
    # The solver's vectors are short: several BLAS threads would be slower than one.
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits change no label
        return model.fit(features, labels, sample_weight=weights)
