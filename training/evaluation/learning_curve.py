"""The learning curve: the scores of a student trained on parts of its snapshot."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tutelage.core.arrays import Ints, decide
from tutelage.core.records import Progress, ProgressCallback, named, unreported
from tutelage.core.workspace import Workspace
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.holdout import held_out
from tutelage.loaders.rows import text_key
from tutelage.training.evaluation.gold_set import GoldSet, check_unseen
from tutelage.training.measures.metrics import Interval, score
from tutelage.training.registry import Entry
from tutelage.training.students.fit import fit_student
from tutelage.training.students.training_set import SnapshotRows

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """Scores of a student trained on ``rows`` rows."""

    rows: int
    accuracy: float
    accuracy_interval: Interval
    macro_f1: float
    macro_f1_interval: Interval


def learning_curve(
    workspace: Workspace,
    entry: Entry,
    gold_set: GoldSet,
    *,
    shares: Sequence[float] = SHARES,
    progress: ProgressCallback = unreported,
) -> list[CurvePoint]:
    """Train the student's recipe on growing, nested parts of its snapshot.

    The students are evaluated on ``gold_set`` and not kept. Parts without rows of every label are skipped.
    """
    names = workspace.task.label_names
    recipe = entry.manifest.recipe
    frame = load_snapshot(workspace.snapshots, entry.manifest.snapshot).frame()
    training_set, _ = SnapshotRows(frame, names, held_out(workspace), progress).select(recipe)
    check_unseen(gold_set, {text_key(text) for text in training_set.texts}, training_set.texts, entry.id, progress)
    order = stratified_order(training_set.labels, recipe.seed)
    gold, points = gold_set.gold(names), []
    for number, share in enumerate(shares):
        part = training_set.take(order[: max(1, round(share * len(order)))])
        if len(np.unique(part.labels)) < len(np.unique(training_set.labels)):
            skipped = f"learning curve: skipped {len(part)} rows, which do not have every label"
            progress(Progress(skipped, number, len(shares)))
            continue
        said = f"learning curve, student {number + 1} of {len(shares)} on {len(part)} rows"
        progress(Progress(said))
        with tempfile.TemporaryDirectory() as work:
            student = fit_student(recipe, part, names, Path(work), named(progress, said)).student
        scores = score(gold, decide(student.predict_proba(gold_set.texts)), names)
        points.append(
            CurvePoint(
                rows=len(part),
                accuracy=scores.accuracy,
                accuracy_interval=scores.accuracy_interval,
                macro_f1=scores.macro_f1,
                macro_f1_interval=scores.macro_f1_interval,
            )
        )
    return points


def stratified_order(labels: Ints, seed: int) -> Ints:
    """Row indices in a random order whose prefixes are stratified by label."""
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        place[rows] = np.arange(len(rows)) / len(rows)
    return order[np.argsort(place[order], kind="stable")]
