"""The learning curve: what a student would be worth with fewer labels, and whether more would help."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tutelage.core.arrays import Ints
from tutelage.core.records import Progress, ProgressCallback, unreported
from tutelage.core.workspace import Workspace
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.holdout import held_out
from tutelage.loaders.rows import text_key
from tutelage.training.evaluation.gold_set import GoldSet, check_unseen
from tutelage.training.measures.metrics import Interval, score
from tutelage.training.registry import Entry
from tutelage.training.students.fit import fit
from tutelage.training.students.training_set import SnapshotRows

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)


@dataclass(frozen=True)
class CurvePoint:
    """Scores of a student trained on so many rows."""

    rows: int
    accuracy: float
    accuracy_interval: Interval
    macro_f1: float
    macro_f1_interval: Interval


def learning_curve(
    workspace: Workspace,
    entry: Entry,
    sheet: GoldSet,
    *,
    shares: Sequence[float] = SHARES,
    progress: ProgressCallback = unreported,
) -> list[CurvePoint]:
    """Train the student's recipe again on growing parts of its snapshot, each part within the next.

    The students are measured on ``sheet`` and not kept. A part that lacks a label is left out.
    """
    names = workspace.task.label_names
    recipe = entry.manifest.recipe
    frame = load_snapshot(workspace.snapshots, entry.manifest.snapshot).frame()
    training_set, _ = SnapshotRows(frame, names, held_out(workspace)).select(recipe)
    check_unseen(sheet, {text_key(text) for text in training_set.texts}, training_set.texts, entry.id)
    order = growing(training_set.labels, recipe.seed)
    gold, points = sheet.gold(names), []
    for number, share in enumerate(shares):
        part = training_set.take(order[: max(1, round(share * len(order)))])
        if len(np.unique(part.labels)) < len(np.unique(training_set.labels)):
            progress(Progress(f"learning curve: {len(part)} rows lack a label and are left out", number, len(shares)))
            continue
        progress(Progress(f"learning curve, {len(part)} rows", number, len(shares), "students"))
        with tempfile.TemporaryDirectory() as work:
            student = fit(recipe, part, names, Path(work), progress).student
        s = score(gold, student.predict_proba(sheet.texts).argmax(axis=1), names)
        points.append(CurvePoint(len(part), s.accuracy, s.accuracy_interval, s.macro_f1, s.macro_f1_interval))
    return points


def growing(labels: Ints, seed: int) -> Ints:
    """Row numbers in an order whose every beginning has the labels in proportion, each at least once if it can."""
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        place[rows] = np.arange(len(rows)) / len(rows)
    return order[np.argsort(place[order], kind="stable")]
