"""How the folds of each kind of student are fitted: on texts, on kept embeddings, or to models that are kept."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tutelage.core.arrays import Floats, Ints, one_hot
from tutelage.core.files import make_folder, new_folder, write_text
from tutelage.core.records import ProgressCallback
from tutelage.training.out_of_sample.cross_validation import FitFold, Predict
from tutelage.training.out_of_sample.kept_folds import KeptFolds
from tutelage.training.students.fit import fit_student, load_student
from tutelage.training.students.head import fit_head
from tutelage.training.students.recipe import Recipe
from tutelage.training.students.student import Predictor
from tutelage.training.students.training_set import TrainingSet

_COMPLETE = "fold.json"
"""Written last into the folder of a fold's model."""


def fit_fold(
    recipe: Recipe, texts: Sequence[str], labels: Ints, names: tuple[str, ...], progress: ProgressCallback
) -> FitFold:
    """Folds whose models are thrown away."""

    def fit(_fold: int, rows: Ints) -> Predict:
        with TemporaryDirectory() as work:
            model = fit_student(recipe, _rows(texts, labels, rows, names), names, Path(work), progress).student
        return _predict(model, texts)

    return fit


def fit_embedded(recipe: Recipe, vectors: Floats, labels: Ints, n_labels: int) -> FitFold:
    """Folds that are a head on embeddings of all rows, (N, D)."""

    def fit(_fold: int, rows: Ints) -> Predict:
        head = fit_head(vectors[rows].astype(np.float64), labels[rows], n_labels, balanced=recipe.balanced)
        return lambda asked: head.predict_proba(vectors[asked])

    return fit


def fit_kept(
    recipe: Recipe,
    texts: Sequence[str],
    labels: Ints,
    names: tuple[str, ...],
    kept: KeptFolds,
    progress: ProgressCallback,
) -> FitFold:
    """Folds whose models are kept; one that is there already is loaded, one that was cut short goes on."""

    def fit(fold: int, rows: Ints) -> Predict:
        folder = kept.model(fold)
        if not (folder / _COMPLETE).exists():
            work = folder.with_name(f"{folder.name}.work")
            make_folder(work)
            model = fit_student(recipe, _rows(texts, labels, rows, names), names, work, progress).student
            with new_folder(folder, _COMPLETE) as new:
                model.save(new)
                write_text(new / _COMPLETE, "{}\n")
            shutil.rmtree(work, ignore_errors=True)
        return _predict(load_student(folder, recipe.kind, names, windows=recipe.windows), texts)

    return fit


def _predict(model: Predictor, texts: Sequence[str]) -> Predict:
    return lambda asked: model.predict_proba([texts[row] for row in asked])


def _rows(texts: Sequence[str], labels: Ints, rows: Ints, names: tuple[str, ...]) -> TrainingSet:
    """The training set of these rows, all of equal weight."""
    return TrainingSet(
        ids=tuple(map(str, rows)),
        texts=tuple(texts[row] for row in rows),
        labels=labels[rows],
        weights=np.ones(len(rows)),
        targets=one_hot(labels[rows], len(names)),
    )
