"""Champion against challenger on the task's holdout."""

from __future__ import annotations

import numpy as np

from tutelage.core.arrays import decide
from tutelage.core.workspace import Workspace
from tutelage.training.evaluation.evaluate import check_student, predicted
from tutelage.training.evaluation.gold_set import GoldSet
from tutelage.training.evaluation.slices import SMALLEST, parts_of
from tutelage.training.measures.gate import GateDecision, Rows, decide_promotion
from tutelage.training.registry import Entry


def compare_with_champion(
    workspace: Workspace, champion: Entry, challenger: Entry, holdout: GoldSet, *, margin: float
) -> GateDecision:
    """Whether the challenger takes the champion's place, as the same holdout rows say.

    Raises
    ------
    StudentError
        When one of them was trained on one of the rows, a near-duplicate, or other labels.
    """
    for entry in (champion, challenger):
        check_student(workspace, entry, holdout)
    names = workspace.task.label_names
    before, after = (decide(predicted(entry, holdout.texts)) for entry in (champion, challenger))
    return decide_promotion(holdout.gold(names), before, after, len(names), _rows_of_slices(holdout), margin=margin)


def _rows_of_slices(gold_set: GoldSet) -> dict[str, Rows]:
    """The rows of each slice that is large enough to be judged, and smaller than the whole."""
    masks = {
        f"{by} = {value.strip()}": np.array(values) == value
        for by, values in parts_of(gold_set).items()
        for value in sorted(set(values) - {""})
    }
    return {name: rows for name, rows in masks.items() if SMALLEST <= rows.sum() < len(rows)}
