"""What students hand to the ranking: ``pred_probs.parquet``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tutelage.core.arrays import Floats
from tutelage.core.pred_probs import write_pred_probs
from tutelage.core.records import Progress, ProgressCallback, Record
from tutelage.core.workspace import Workspace
from tutelage.training.out_of_sample.choice import AUTO, Chosen, choose_students
from tutelage.training.out_of_sample.student_probs import StudentProbs
from tutelage.training.registry import CHAMPION, Entry, champion_id, find_student
from tutelage.training.unseen import probabilities, unseen_by

CHAMPION_ASKED = 10_000
"""Texts on which the champion has the word in a ranking, the newest ones."""


def hand_to_ranking(
    workspace: Workspace,
    records: Sequence[Record],
    labels: Sequence[str | None],
    students: Sequence[str],
    *,
    seed: int,
    champion: Entry | None,
    progress: ProgressCallback,
) -> Chosen:
    """Write the mean of the students' out-of-sample probabilities for the ranking; returns which they were.

    Parameters
    ----------
    labels
        What is learned of each record, (N,): people's labels where they gave one.
    champion
        Has the word, in place of the students, on texts that it never trained on.
    """
    progress(Progress("out-of-sample probabilities"))
    task = workspace.task
    names = task.label_names
    probs = StudentProbs(
        texts=[record.text for record in records],
        labels=task.indices(labels),
        names=names,
        folder=workspace.out_of_sample,
        seed=seed,
        progress=progress,
    )
    promoted = _promoted(workspace) if {AUTO, CHAMPION} & set(students) else None
    chosen = choose_students(students, probs, task, promoted)
    mean = probs.mean(chosen.recipes)
    if champion:
        _ask_champion(champion, records, mean, progress)
    write_pred_probs(workspace.pred_probs, [record.id for record in records], names, mean)
    return chosen


def _promoted(workspace: Workspace) -> Entry | None:
    return find_student(workspace.students, CHAMPION) if champion_id(workspace.students) else None


def _ask_champion(champion: Entry, records: Sequence[Record], probs: Floats, progress: ProgressCallback) -> None:
    """Put the champion's probabilities in place of those in shape (N, K) for the texts that it never trained on."""
    from tutelage.training.measures.calibration import with_temperature

    place = {record.id: row for row, record in enumerate(records)}
    unseen = unseen_by(champion, records)[-CHAMPION_ASKED:]
    said = probabilities(champion, [record.text for record in unseen], progress=progress)
    rows = np.array([place[record.id] for record in unseen], dtype=np.int64)
    probs[rows] = with_temperature(said, champion.manifest.temperature or 1.0)
