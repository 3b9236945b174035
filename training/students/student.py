"""What every student can do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tutelage.core.arrays import Floats


class Predictor(Protocol):
    """Something that gives probabilities."""

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Shape (N, K): a row for each text, in the order given; columns in the task's label order."""
        ...


class Student(Predictor, Protocol):
    """A classifier of texts that can be kept in a folder."""

    label_names: tuple[str, ...]

    def save(self, directory: Path) -> None:
        """Write what its kind's ``load`` needs into an existing directory: no pickle in it."""
        ...
