"""From a recipe and a training set to a student, and from a folder back to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.arrays import Ints
from tutelage.core.errors import StudentError
from tutelage.core.records import ProgressCallback
from tutelage.core.task import DEFAULT_STUDENT
from tutelage.training.runs.trackers import Tracker
from tutelage.training.students.kinds import ENCODER, KINDS
from tutelage.training.students.recipe import Recipe, parse_student
from tutelage.training.students.student import Student
from tutelage.training.students.training_set import Fitted, TrainingSet

FEW = 50
"""Mean number of labels per class under which ``auto`` chooses SetFit over fine-tuning."""


def fit_student(
    recipe: Recipe,
    training_set: TrainingSet,
    label_names: tuple[str, ...],
    work: Path,
    progress: ProgressCallback,
    *,
    tracker: Tracker | None = None,
) -> Fitted:
    """Train a student; the same arguments give the same student, whatever the tracker.

    ``work`` is a folder for checkpoints, which survive a kill. A kind without losses ignores the tracker.
    """
    to_tracker = {"tracker": tracker} if tracker and KINDS[recipe.kind].tracked else {}
    fitted: Fitted = _module(recipe.kind).fit(recipe, training_set, label_names, work, progress, **to_tracker)
    return fitted


def load_student(directory: Path, kind: str, label_names: Sequence[str], *, windows: bool = False) -> Student:
    """The student in this folder, ready to predict; ``windows`` as in its recipe.

    Raises
    ------
    StudentError
        When its files are missing or damaged, or its kind is unknown.
    """
    if kind not in KINDS:
        raise StudentError(f"{directory}: unknown kind of student {kind!r}; upgrade tutelage")
    try:
        student: Student = _module(kind).load(directory, tuple(label_names), **({"windows": True} if windows else {}))
    except (OSError, ValueError, KeyError) as error:
        raise StudentError(f"{directory}: cannot be loaded: {error}; remove the folder and train again") from None
    return student


def _module(kind: str) -> Any:
    return import_module(f"tutelage.training.students.{KINDS[kind].module}")


def choose_recipe(labels: Ints, task_student: str, options: Mapping[str, Any]) -> tuple[Recipe, str]:
    """The recipe that ``auto`` chooses, and the reason.

    A fine-tuned encoder is the task's ``student``, where that is an encoder.
    """
    if not (find_spec("torch") and find_spec("transformers")):
        return parse_student(
            "linear", **options
        ), "linear, because torch is not installed: pip install 'tutelage[train]'"
    per_class = len(labels) / len(np.unique(labels))
    if per_class < FEW:
        return parse_student(
            "setfit", **options
        ), f"setfit, because {per_class:.0f} labels per class are fewer than {FEW}"
    own = parse_student(DEFAULT_STUDENT if task_student == "auto" else task_student)
    model = own.model if own.kind == ENCODER else DEFAULT_STUDENT
    recipe = Recipe(kind=ENCODER, model=model).with_options(**options)
    return recipe, f"{model}, because {per_class:.0f} labels per class are {FEW} or more"
