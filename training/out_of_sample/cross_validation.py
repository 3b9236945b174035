"""Out-of-sample predicted probabilities: cross-validation, with equal texts in one fold."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tutelage.core.arrays import NO_LABEL, Floats, Ints, one_hot
from tutelage.core.records import ProgressCallback, tracked, unreported
from tutelage.loaders.rows import normalised
from tutelage.training.students.fit import fit_student
from tutelage.training.students.recipe import parse_student
from tutelage.training.students.student import Predictor
from tutelage.training.students.training_set import TrainingSet

Fit = Callable[[Sequence[str], Ints], Predictor]
"""Trains a model with K output columns on texts and labels 0 to K-1."""


def out_of_sample(
    texts: Sequence[str],
    labels: Ints,
    n_labels: int,
    *,
    folds: int = 5,
    seed: int = 0,
    fit: Fit | None = None,
    progress: ProgressCallback = unreported,
) -> Floats:
    """Out-of-sample probabilities of shape (N, K), by cross-validation.

    Parameters
    ----------
    labels
        Shape (N,): 0 to K-1, or -1 for no label. Texts without a label get the mean over all folds'
        models, unless an equal text has a label: then the prediction of its fold's model.
    folds
        Number of folds; equal texts (ignoring white space and Unicode form) are in the same fold.
        With fewer distinct texts there are fewer folds.
    fit
        Trains a fold's model; TF-IDF and logistic regression by default.

    Without labels, the probabilities are uniform.
    """
    groups = np.unique([normalised(text) for text in texts], return_inverse=True)[1] if len(texts) else np.empty(0, int)
    labelled = np.flatnonzero(labels != NO_LABEL)
    fit = fit or _default_fit(n_labels)
    total, count = np.zeros((len(texts), n_labels)), np.zeros(len(texts))
    splits = list(_splits(labels[labelled], groups[labelled], folds, seed))
    for train, test in tracked(splits, progress, "out-of-sample probabilities", len(splits), "folds"):
        rows = _rows_of_fold(labelled[train], labelled[test], groups, labels)
        model = fit([texts[i] for i in labelled[train]], labels[labelled[train]])
        total[rows] += model.predict_proba([texts[i] for i in rows])
        count[rows] += 1
    total[count == 0] = 1.0  # no model
    return np.asarray(total / total.sum(axis=1, keepdims=True))


def _default_fit(n_labels: int) -> Fit:
    from tutelage.training.students.linear import fit_linear

    names = tuple(map(str, range(n_labels)))
    return lambda texts, labels: fit_linear(texts, labels, names)


def fit_of(student: str, label_names: tuple[str, ...], *, seed: int, progress: ProgressCallback) -> Fit:
    """A ``Fit`` for the student that ``student`` names (as for ``train``), with equal weights for all rows."""
    recipe = parse_student(student, seed=seed)

    def fit_fold(texts: Sequence[str], labels: Ints) -> Predictor:
        with TemporaryDirectory() as work:
            rows = _training_set(texts, labels, len(label_names))
            return fit_student(recipe, rows, label_names, Path(work), progress).student

    return fit_fold


def _training_set(texts: Sequence[str], labels: Ints, n_labels: int) -> TrainingSet:
    ids = tuple(map(str, range(len(texts))))
    return TrainingSet(
        ids=ids, texts=tuple(texts), labels=labels, weights=np.ones(len(texts)), targets=one_hot(labels, n_labels)
    )


def _rows_of_fold(train: Ints, test: Ints, groups: Ints, labels: Ints) -> Ints:
    """The rows that the fold's model predicts: its test rows, and unlabelled texts that it was not trained on."""
    unlabelled = (labels == NO_LABEL) & ~np.isin(groups, groups[train])
    return np.union1d(test, np.flatnonzero(unlabelled))


def _splits(labels: Ints, groups: Ints, folds: int, seed: int) -> Iterator[tuple[Ints, Ints]]:
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    folds = min(folds, len(np.unique(groups)))
    if folds < 2:
        return
    stratified = np.bincount(labels).max() >= folds
    splitter = (StratifiedGroupKFold if stratified else GroupKFold)(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A label with fewer rows than folds is missing in some, where its column is 0.
        warnings.filterwarnings("ignore", message="The least populated class in y", category=UserWarning)
        splits = list(splitter.split(labels, labels, groups))
    yield from ((train, test) for train, test in splits if len(train) and len(test))
