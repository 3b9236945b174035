"""What a student says about texts that it never trained on: the only ones on which its word counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tutelage.core.arrays import Floats
from tutelage.core.records import ProgressCallback, Record, tracked, unreported
from tutelage.loaders.rows import text_key
from tutelage.training.registry import Entry

_AT_ONCE = 500


def unseen_by(entry: Entry, records: Iterable[Record]) -> list[Record]:
    """The records whose text the student was neither trained nor validated on.

    Raises
    ------
    StudentError
        When its training texts are unknown.
    """
    seen = entry.seen()
    return [record for record in records if text_key(record.text) not in seen]


def probabilities(entry: Entry, texts: Sequence[str], *, progress: ProgressCallback = unreported) -> Floats:
    """The student's probabilities of shape (N, K), columns in the order of its labels."""
    if not texts:
        return np.empty((0, len(entry.manifest.labels)))
    student, starts = entry.load(), range(0, len(texts), _AT_ONCE)
    steps = tracked(starts, progress, f"predicting with {entry.id}", len(starts), f"times {_AT_ONCE} texts")
    return np.concatenate([student.predict_proba(texts[start : start + _AT_ONCE]) for start in steps])
