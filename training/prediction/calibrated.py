"""The probabilities that ``predict`` and ``serve-student`` give: calibrated where the student's manifest says so."""

from __future__ import annotations

from typing import Any

from tutelage.core.arrays import Floats
from tutelage.training.manifest import StudentManifest
from tutelage.training.measures.calibration import with_temperature
from tutelage.training.prediction.engines.engine import Classifier


class CalibratedClassifier:
    """A student on an engine, its probabilities scaled with a temperature."""

    def __init__(self, classifier: Classifier, temperature: float) -> None:
        self.name, self.prepare = classifier.name, classifier.prepare
        self._classifier, self._temperature = classifier, temperature

    def compute(self, prepared: Any) -> Floats:
        """Calibrated probabilities of shape (N, K)."""
        return with_temperature(self._classifier.compute(prepared), self._temperature)


def calibrated(manifest: StudentManifest, classifier: Classifier) -> Classifier:
    """The classifier with the probabilities that the student is to give."""
    temperature = manifest.applied_temperature
    return classifier if temperature is None else CalibratedClassifier(classifier, temperature)
