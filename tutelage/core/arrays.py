"""Arrays of labels and of probabilities: their types, and what every room does with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NO_LABEL = -1
"""The index of no label: an abstention, or a record without a suggestion."""


def indices(labels: Iterable[str | None], label_names: Sequence[str]) -> Ints:
    """The place of each label in the task's order, shape (N,); ``NO_LABEL`` for None.

    Raises
    ------
    KeyError
        When a label is not one of ``label_names``.
    """
    places = {name: place for place, name in enumerate(label_names)}
    return np.array([NO_LABEL if label is None else places[label] for label in labels], dtype=np.int64)


def decide(probs: Floats) -> Ints:
    """The label that probabilities of shape (N, K) decide for, shape (N,): the most probable, the first of equals."""
    return np.asarray(probs.argmax(axis=1), dtype=np.int64)


def one_hot(labels: Ints, n_labels: int) -> Floats:
    """Shape (N, K): 1 at each row's label."""
    return np.eye(n_labels)[labels]


def softmax(scores: Floats) -> Floats:
    """Row-wise softmax of shape (N, K); a score of minus infinity gives probability 0."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)
