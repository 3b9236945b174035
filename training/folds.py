"""Any student as the model of a fold: what ``rank --student`` trains for its out-of-sample probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from training.fit import fit
from training.material import Material
from training.pred_probs import Fit
from training.recipe import parse_student
from training.student import Ints, Predictor, one_hot


def fold_fit(student: str, label_names: tuple[str, ...], *, seed: int, progress: Callable[[str], None]) -> Fit:
    """How to train the student that ``student`` names (as for ``train``) on a fold's rows, all weighing the same."""
    recipe = parse_student(student, seed=seed)

    def fit_fold(texts: Sequence[str], labels: Ints) -> Predictor:
        with TemporaryDirectory() as work:
            rows = _material(texts, labels, len(label_names))
            return fit(recipe, rows, label_names, Path(work), progress)[0]

    return fit_fold


def _material(texts: Sequence[str], labels: Ints, n_labels: int) -> Material:
    ids = tuple(map(str, range(len(texts))))
    return Material(ids, tuple(texts), labels, np.ones(len(texts)), one_hot(labels, n_labels))
