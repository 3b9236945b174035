"""Out-of-sample predicted probabilities: cross-validation, with equal texts in one fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tutelage.core.arrays import NO_LABEL, Floats, Ints
from tutelage.core.records import ProgressCallback, tracked, unreported
from tutelage.training.out_of_sample.folds import NO_FOLD, assign_folds, equal_texts
from tutelage.training.students.student import Predictor

FOLDS = 5

MOST_ROWS = 10_000
"""Rows that a fold's model learns from, drawn from the others: what more of them add is little, and costs much."""

_AT_ONCE = 5_000

Fit = Callable[[Sequence[str], Ints], Predictor]
"""Trains a model with K output columns on texts and labels 0 to K-1."""

Predict = Callable[[Ints], Floats]
"""The probabilities of rows, by their number."""

FitFold = Callable[[int, Ints], Predict]
"""Trains the model of a fold (its number, from 0) on rows."""


def out_of_sample(
    texts: Sequence[str],
    labels: Ints,
    n_labels: int,
    *,
    folds: int = FOLDS,
    seed: int = 0,
    fit: Fit | None = None,
    groups: Ints | None = None,
    progress: ProgressCallback = unreported,
) -> Floats:
    """Out-of-sample probabilities of shape (N, K), by cross-validation.

    Parameters
    ----------
    labels
        Shape (N,): 0 to K-1, or -1 for no label. Texts without a label get the mean over all folds'
        models, unless one of their group has a label: then the prediction of its fold's model.
    folds
        Number of folds; with fewer groups there are fewer folds.
    fit
        Trains a fold's model; TF-IDF and logistic regression by default.
    groups
        Shape (N,): texts of one group are in the same fold; by default those that are equal, ignoring
        white space and Unicode form.

    Without labels, the probabilities are uniform.
    """
    fold = assign_folds(labels, equal_texts(texts) if groups is None else groups, folds, seed)
    train = fit_texts(texts, labels, fit or _default_fit(n_labels))
    return cross_validated(labels, fold, n_labels, train, seed=seed, progress=progress)


def fit_texts(texts: Sequence[str], labels: Ints, fit: Fit) -> FitFold:
    """Trains folds on texts."""

    def fit_fold(_fold: int, rows: Ints) -> Predict:
        model = fit([texts[row] for row in rows], labels[rows])
        return lambda asked: model.predict_proba([texts[row] for row in asked])

    return fit_fold


def _default_fit(n_labels: int) -> Fit:
    from tutelage.training.students.linear import fit_linear

    names = tuple(map(str, range(n_labels)))
    return lambda texts, labels: fit_linear(texts, labels, names)


def cross_validated(
    labels: Ints,
    fold: Ints,
    n_labels: int,
    fit: FitFold,
    *,
    seed: int,
    asked: Ints | None = None,
    progress: ProgressCallback = unreported,
) -> Floats:
    """The probabilities of the rows ``asked`` (all by default), each by a model that saw nothing of its group.

    ``fold`` is as of ``assign_folds``. Each fold's model is fitted on the other folds' rows, at most ``MOST_ROWS``.
    """
    asked = np.arange(len(labels)) if asked is None else asked
    total, count = np.zeros((len(asked), n_labels)), np.zeros(len(asked))
    numbers = np.unique(fold[(fold != NO_FOLD) & (labels != NO_LABEL)])
    for number in tracked(numbers, progress, "out-of-sample probabilities", len(numbers), "folds"):
        mine = np.flatnonzero((fold[asked] == number) | (fold[asked] == NO_FOLD))
        if not len(mine):
            continue
        predict = fit(int(number), training_rows(labels, fold, int(number), seed))
        for part in np.split(mine, range(_AT_ONCE, len(mine), _AT_ONCE)):
            total[part] += predict(asked[part])
        count[mine] += 1
    total[count == 0] = 1.0  # no model
    return np.asarray(total / total.sum(axis=1, keepdims=True))


def training_rows(labels: Ints, fold: Ints, number: int, seed: int) -> Ints:
    """The rows that the model of a fold is fitted on."""
    rows = np.flatnonzero((labels != NO_LABEL) & (fold != number))
    if len(rows) <= MOST_ROWS:
        return rows
    return np.sort(np.random.default_rng([seed, number]).choice(rows, MOST_ROWS, replace=False))
