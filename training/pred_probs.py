"""Out-of-sample probabilities, and the file through which the ranking gets them.

``pred_probs.parquet``: column ``id`` and one column of probabilities for each label, named by the
label, in the task's order; the schema's metadata hold that order as JSON under ``labels``.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from loaders.texts import normalised
from training.student import NO_LABEL, Floats, Ints, Predictor
from tutelage.workspace import replacing

Fit = Callable[[Sequence[str], Ints], Predictor]
"""Trains on texts and labels 0 to K-1; what it returns gives K columns."""


def out_of_sample(
    texts: Sequence[str],
    labels: Ints,
    n_labels: int,
    *,
    folds: int = 5,
    seed: int = 0,
    fit: Fit | None = None,
) -> Floats:
    """Probabilities of shape (N, K) for texts whose own label the model has not seen.

    Parameters
    ----------
    labels
        Shape (N,): 0 to K-1, or -1 where there is no label. Texts without a label get the mean of
        all folds' models, unless the same text stands elsewhere with one: then its fold's model.
    folds
        Number of folds; equal texts (white space and Unicode form aside) are in the same fold.
        With fewer different texts there are fewer folds.
    fit
        Trains a fold's model; TF-IDF and logistic regression by default.

    With nothing to learn from, every label is equally probable.
    """
    groups = np.unique([normalised(text) for text in texts], return_inverse=True)[1] if len(texts) else np.empty(0, int)
    labelled = np.flatnonzero(labels != NO_LABEL)
    fit = fit or _default_fit(n_labels)
    total, count = np.zeros((len(texts), n_labels)), np.zeros(len(texts))
    for train, test in _splits(labels[labelled], groups[labelled], folds, seed):
        rows = _rows_of_fold(labelled[train], labelled[test], groups, labels)
        model = fit([texts[i] for i in labelled[train]], labels[labelled[train]])
        total[rows] += model.predict_proba([texts[i] for i in rows])
        count[rows] += 1
    total[count == 0] = 1.0  # no model at all
    return np.asarray(total / total.sum(axis=1, keepdims=True))


def _default_fit(n_labels: int) -> Fit:
    from training.linear import fit_linear

    names = tuple(map(str, range(n_labels)))
    return lambda texts, labels: fit_linear(texts, labels, names)


def _rows_of_fold(train: Ints, test: Ints, groups: Ints, labels: Ints) -> Ints:
    """What the fold's model may judge: its test rows, and texts without label that it was not trained on."""
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
        # A label with fewer rows than folds is missing in some; that is handled by its column being 0.
        warnings.filterwarnings("ignore", message="The least populated class in y", category=UserWarning)
        splits = list(splitter.split(labels, labels, groups))
    yield from ((train, test) for train, test in splits if len(train) and len(test))


def write_pred_probs(path: Path, ids: Sequence[str], labels_order: Sequence[str], probs: Floats) -> None:
    """Write probabilities of shape (N, K), rows as in ``ids``, columns as in ``labels_order``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ["id", *labels_order]
    arrays = [pa.array(list(ids), pa.string()), *(pa.array(column, pa.float64()) for column in probs.T)]
    schema = pa.schema([(name, array.type) for name, array in zip(names, arrays, strict=True)])
    table = pa.Table.from_arrays(arrays, schema=schema.with_metadata({"labels": json.dumps(list(labels_order))}))
    with replacing(path) as temporary:
        pq.write_table(table, temporary)
