"""Which record is in which fold: equal texts and near-duplicates together, each label spread over all folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tutelage.core.arrays import NO_LABEL, Ints
from tutelage.loaders.rows import normalised

NO_FOLD = -1
"""The fold of a text of whose group nothing is labelled: every model may predict it."""


def equal_texts(texts: Sequence[str]) -> Ints:
    """The number of each text's group, shape (N,): texts that differ in white space or Unicode form are equal."""
    place: dict[str, int] = {}
    return np.array([place.setdefault(normalised(text), len(place)) for text in texts], dtype=np.int64)


def assign_folds(labels: Ints, groups: Ints, folds: int, seed: int) -> Ints:
    """The fold of each row, shape (N,), from 0; ``NO_FOLD`` for a group without a label, or where there is one group.

    Groups are dealt out by the label of their first row, the largest first, so that a label's rows are in all folds
    alike; among groups of one size the seed decides.
    """
    labelled = np.flatnonzero(labels != NO_LABEL)
    found, first, sizes = np.unique(groups[labelled], return_index=True, return_counts=True)
    fold = np.full(len(labels), NO_FOLD, dtype=np.int64)
    if len(found) < 2:
        return fold
    draw = np.random.default_rng(seed).permutation(len(found))
    order = np.lexsort((draw, -sizes, labels[labelled][first]))
    fold_of_group = np.empty(len(found), dtype=np.int64)
    fold_of_group[order] = np.arange(len(found)) % folds
    place = np.minimum(np.searchsorted(found, groups), len(found) - 1)
    known = found[place] == groups
    fold[known] = fold_of_group[place[known]]
    return fold
