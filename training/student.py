"""What every student can do, and how one comes back from its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import StudentError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NO_LABEL = -1
MANIFEST = "student.json"
"""Written last: a folder without it is not a student."""

_CLASSES = {
    "linear": "training.linear:LinearStudent",
    "encoder": "training.encoder:EncoderStudent",
    "frozen": "training.frozen:FrozenStudent",
    "setfit": "training.frozen:FrozenStudent",
}
"""The class of each kind. What SetFit leaves behind is an encoder and a linear head, as ``frozen`` does."""


class Predictor(Protocol):
    """Something that gives probabilities."""

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Shape (N, K): a row for each text, in the order given; columns in the task's label order."""
        ...


class Student(Predictor, Protocol):
    """A classifier of texts that can be kept in a folder."""

    label_names: tuple[str, ...]

    def save(self, directory: Path) -> None:
        """Write what ``load`` needs into an existing directory: no pickle in it."""
        ...

    @classmethod
    def load(cls, directory: Path, label_names: tuple[str, ...]) -> Self:
        """The student that was saved there."""
        ...


def read_manifest(directory: Path) -> dict[str, Any]:
    """``student.json`` of a student's folder.

    Raises
    ------
    StudentError
        When it is missing or damaged.
    """
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StudentError(
            f"{directory}: holds no whole student ({error}); remove the folder and train again"
        ) from None
    return manifest


def load_student(directory: Path) -> Student:
    """The student in this folder, ready to predict.

    Raises
    ------
    StudentError
        When the folder holds none, or files of it are missing or damaged.
    """
    manifest = read_manifest(directory)
    module, name = _CLASSES[manifest["kind"]].split(":")
    try:
        student: Student = getattr(import_module(module), name).load(directory, tuple(manifest["labels"]))
    except (OSError, ValueError, KeyError) as error:
        raise StudentError(f"{directory}: cannot be loaded: {error}; remove the folder and train again") from None
    return student


def check_labels(labels: Sequence[str], expected: Sequence[str], where: str) -> None:
    """Refuse a student whose columns are not the task's labels in the task's order."""
    if tuple(labels) != tuple(expected):
        raise StudentError(
            f"{where}: was trained on the labels {list(labels)}, the task has {list(expected)}; train a new student"
        )


def one_hot(labels: Ints, n_labels: int) -> Floats:
    """Shape (N, K): 1 at each row's label."""
    return np.eye(n_labels)[labels]


def softmax(scores: Floats) -> Floats:
    """Row-wise softmax of shape (N, K); a score of minus infinity gives probability 0."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)
