"""The interfaces of models and students."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tutelage.core.arrays import Floats


class Predictor(Protocol):
    """A model that predicts probabilities."""

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Shape (N, K): a row for each text, in the order given; columns in the task's label order."""
        ...


class Student(Predictor, Protocol):
    """A text classifier that can be saved to a folder."""

    label_names: tuple[str, ...]

    def save(self, directory: Path) -> None:
        """Write what its kind's ``load`` needs into an existing directory, without pickle."""
        ...
