"""The learning curve: what a student would be worth with fewer labels, and whether more would help."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from feedback.snapshot import load_snapshot
from training.fit import fit
from training.holdout import held_out
from training.material import gather
from training.metrics import Interval, score
from training.recipe import Recipe
from training.registry import Entry
from training.sheet import Sheet, refuse_seen
from training.train import seen
from tutelage.workspace import Workspace

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)


@dataclass(frozen=True)
class Point:
    """Scores of a student trained on so many rows."""

    rows: int
    accuracy: float
    accuracy_interval: Interval
    macro_f1: float
    macro_f1_interval: Interval


def learning_curve(
    workspace: Workspace,
    entry: Entry,
    sheet: Sheet,
    *,
    shares: Sequence[float] = SHARES,
    progress: Callable[[str], None] = lambda _words: None,
) -> list[Point]:
    """Train the student's recipe again on growing parts of its snapshot, each part within the next.

    The students are measured on ``sheet`` and not kept.
    """
    names = workspace.task.label_names
    refuse_seen(sheet, seen(entry), entry.id)
    recipe = Recipe(**entry.manifest["recipe"])
    frame = load_snapshot(workspace.snapshots, entry.manifest["snapshot"]).frame()
    material, _ = gather(frame, names, held_out(workspace), recipe)
    order = np.random.default_rng(recipe.seed).permutation(len(material))
    gold, points = sheet.gold(names), []
    for share in shares:
        part = material.take(order[: max(1, round(share * len(order)))])
        progress(f"learning curve: {len(part)} rows")
        with tempfile.TemporaryDirectory() as work:
            student, _, _ = fit(recipe, part, names, Path(work), progress)
        s = score(gold, student.predict_proba(sheet.texts).argmax(axis=1), names)
        points.append(Point(len(part), s.accuracy, s.accuracy_interval, s.macro_f1, s.macro_f1_interval))
    return points
