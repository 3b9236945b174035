"""Arrays of labels and of probabilities: their types, and the operations that all packages share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NO_LABEL = -1
"""The index of no label: an abstention, or a record without a suggestion."""


def indices(labels: Iterable[str | None], label_names: Sequence[str]) -> Ints:
    """The index of each label in ``label_names``, shape (N,); ``NO_LABEL`` for None.

    Raises
    ------
    KeyError
        When a label is not one of ``label_names``.
    """
    index = {name: i for i, name in enumerate(label_names)}
    return np.array([NO_LABEL if label is None else index[label] for label in labels], dtype=np.int64)


def decide(probs: Floats) -> Ints:
    """The index of the most probable label, shape (N,), of probabilities of shape (N, K); the first of equals."""
    return np.asarray(probs.argmax(axis=1), dtype=np.int64)


def one_hot(labels: Ints, n_labels: int) -> Floats:
    """One-hot rows of shape (N, K)."""
    return np.eye(n_labels)[labels]


def softmax(scores: Floats) -> Floats:
    """Row-wise softmax of shape (N, K); a score of minus infinity gives probability 0."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)
