"""Predictions for texts at hand, as a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tutelage.core.errors import SourceError
from tutelage.core.workspace import Workspace
from tutelage.training.prediction.calibrated import calibrated
from tutelage.training.prediction.engines.selection import Say, choose_engine
from tutelage.training.prediction.job import check_min_probability
from tutelage.training.prediction.outputs import labels_at_least
from tutelage.training.prediction.predict import computed
from tutelage.training.registry import find_student

if TYPE_CHECKING:
    import pandas as pd


def predict_texts(
    workspace: Workspace,
    texts: Sequence[str],
    *,
    student: str = "",
    engine: str = "auto",
    min_probability: float = 0.0,
    say: Say = lambda _words: None,
) -> pd.DataFrame:
    """A label and a probability for each label.

    Returns
    -------
    One row a text, in the order and with the index of ``texts`` where that is a Series; columns: label, None where
    its probability is below ``min_probability``, and ``prob_LABEL`` for each label in the task's order.

    Raises
    ------
    SourceError
        When a text is none, or is empty.
    StudentError
        When there is no student, it is not of this task, or the engine cannot be had.
    """
    import pandas as pd

    rows = [texts] if isinstance(texts, str) else list(texts)
    _check(rows)
    entry = find_student(workspace.students, student)
    check_min_probability(min_probability)
    names = entry.manifest.labels
    entry.manifest.check_labels(workspace.task.label_names)
    _, classifier = choose_engine(entry.load(), entry.manifest.kind, entry.path, rows, engine, say)
    classifier = calibrated(entry.manifest, classifier)
    probs = computed(classifier, classifier.prepare(rows))
    columns = {f"prob_{name}": probs[:, place] for place, name in enumerate(names)}
    index = texts.index if isinstance(texts, pd.Series) else None
    return pd.DataFrame({"label": labels_at_least(probs, names, min_probability), **columns}, index=index)


def _check(texts: Sequence[object]) -> None:
    for place, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise SourceError(f"texts[{place}] is {text!r}, which is no text; leave it out")
